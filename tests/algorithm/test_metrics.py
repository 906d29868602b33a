"""Numbers against values worked out elsewhere."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from agent_r.algorithm.metrics import loop_rate, mean_reward, paired_gain, success, wilson
from agent_r.algorithm.pairing import loops
from agent_r.algorithm.trajectory import Step, StopReason, Trajectory
from agent_r.environment import TaskSpec
from agent_r.evaluation.evaluate import cut_failures


def episode(reward: float, *actions: str, task: str = "t") -> Trajectory:
    steps = tuple(Step(f"Action: {a}", a, "seen") for a in actions)
    return Trajectory(task, "p", steps, reward, StopReason.STEP_LIMIT)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [  # Wilson (1927) without continuity correction, as in Newcombe (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0000),
    ],
)
def test_wilsons_interval_is_newcombes(successes: int, n: int, low: float, high: float) -> None:
    rate = wilson(successes, n)
    assert (round(rate.low, 4), round(rate.high, 4)) == (low, high)
    assert rate.rate == successes / n


def test_nothing_measured_is_everything_possible() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high, wilson(0, 0).n) == (0.0, 1.0, 0)
    assert (mean_reward([]), loop_rate([]), success([]).n) == (0.0, 0.0, 0)


def test_success_is_the_full_reward_and_the_mean_is_of_all() -> None:
    episodes = [episode(1.0), episode(0.99), episode(0.0)]
    assert success(episodes).rate == pytest.approx(1 / 3)
    assert mean_reward(episodes) == pytest.approx(1.99 / 3)


@pytest.mark.parametrize(
    ("actions", "looping"),
    [
        ("a a a", True),
        ("b a a a b", True),
        ("a a b a", False),
        ("a b a b a b", False),
        ("", False),
    ],
)
def test_a_loop_is_one_step_three_times_in_a_row(actions: str, looping: bool) -> None:
    assert loops(episode(0.0, *actions.split()).steps) is looping


def test_an_action_that_is_answered_otherwise_is_no_loop() -> None:
    assert not loops([Step("", "east", f"room {i}") for i in range(5)])
    assert loop_rate([episode(0, "a", "a", "a"), episode(0, "a")]) == 0.5


def test_a_gain_is_the_mean_difference_of_pairs() -> None:
    gain, half = paired_gain([0, 0, 1, 1], [1, 0, 1, 1])
    assert gain == 0.25
    assert half == pytest.approx(1.959964 * 0.5 / 2)  # s = 0.5, n = 4


def test_equal_gains_are_certain_and_one_pair_is_not() -> None:
    assert paired_gain([0.0, 0.5], [0.5, 1.0]) == (0.5, 0.0)
    assert paired_gain([0.0], [1.0]) == (1.0, 1.0)
    assert paired_gain([], []) == (0.0, 1.0)
    with pytest.raises(ValueError, match="zip"):
        paired_gain([0.0], [])


def test_the_recovery_test_continues_failures_without_reward_alone() -> None:
    rng = random.Random(1)
    episodes = [
        episode(rng.choice([0.0, 0.3, 1.0]), *"abcdef"[: rng.randint(0, 6)], task=str(i))
        for i in range(60)
    ]
    tasks = [TaskSpec(one.task, "test", world="corridor") for one in episodes]
    opened = cut_failures(tasks, episodes, seed=0, count=10)
    assert len(opened) == 10
    for one in opened:
        whole = episodes[int(one.task)]
        assert whole.reward == 0.0
        assert one.responses == [s.response for s in whole.steps][: len(one.responses)]
        assert one.responses
        assert one.world == "corridor"
    assert opened == cut_failures(tasks, episodes, seed=0, count=10)
    assert opened != cut_failures(tasks, episodes, seed=1, count=10)


def test_what_a_server_ended_is_no_failure_to_recover_from() -> None:
    tasks = [TaskSpec("a", "test"), TaskSpec("b", "test")]
    cut = replace(episode(0.0, "east", task="b"), stop=StopReason.CUT)
    opened = cut_failures(tasks, [episode(0.0, "east", task="a"), cut], seed=0, count=10)
    assert [one.task for one in opened] == ["a"]
