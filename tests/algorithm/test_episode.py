"""One episode: what a response does to the world, and every way to end."""

from __future__ import annotations

import pytest

from agent_r.actor import SamplingParams
from agent_r.algorithm.episode import Opening, act, play
from agent_r.algorithm.prompts import REVISE
from agent_r.algorithm.trajectory import StopReason
from agent_r.environment import Environment, StepResult
from agent_r.errors import ContextOverflow, ConversationRefused, EnvironmentFault
from agent_r.testing import Corridor, ScriptedActor


@pytest.mark.parametrize(
    ("text", "observation"),
    [
        (f"Action: {REVISE}", "ok."),
        ("", "No action was found. Answer with a line that begins with `Action:`."),
        ("Action: east", "You are in room 1."),
    ],
)
async def test_what_holds_no_action_never_reaches_the_world(text: str, observation: str) -> None:
    env = Corridor()
    await env.reset("corridor 1")
    step, result = await act(env, text, reward=0.3)
    assert step.observation == observation
    asked = observation.startswith("You")
    assert (env.steps, result.reward) == ((1, 0.0) if asked else (0, 0.3))


async def test_an_episode_plays_its_opening_and_then_the_actor() -> None:
    actor = ScriptedActor(["Action: push", "Action: push"])
    opening = Opening("corridor 0", ("Action: take key",))
    env: Environment = Corridor()
    episode = await play(env, actor, opening, max_steps=3, params=SamplingParams())
    assert [step.action for step in episode.steps] == ["take key", "push", "push"]
    assert (episode.reward, episode.stop, actor.calls) == (1.0, StopReason.TERMINATED, 2)


@pytest.mark.parametrize(
    ("replies", "stop"),
    [
        (["Action: east"] * 9, StopReason.STEP_LIMIT),
        ([], StopReason.NO_REPLY),
        ([ContextOverflow("full", status=400)], StopReason.CONTEXT_OVERFLOW),
        ([ConversationRefused("risk", status=400)], StopReason.REFUSED),
        (["Action: jump"], StopReason.TERMINATED),
    ],
)
async def test_every_end_of_an_episode_is_data(
    replies: list[str | Exception], stop: StopReason
) -> None:
    episode = await play(
        Corridor(),
        ScriptedActor(replies),
        Opening("corridor 1"),
        max_steps=3,
        params=SamplingParams(),
    )
    assert (episode.stop, episode.reward) == (stop, 0.0)


class Odd(Corridor):
    """A world with a mistake in it."""

    result = StepResult("You are in room 1.", 0.0, terminated=False)

    async def step(self, action: str) -> StepResult:
        if action == "crash":
            raise KeyError("door")
        return self.result


@pytest.mark.parametrize(
    ("action", "result", "told"),
    [
        ("crash", Odd.result, r"the world 'corridor' fails: KeyError: 'door'"),
        ("east", StepResult("Here.", float("nan"), False), "reward of nan is not in"),
        ("east", StepResult("Here.", 2.0, False), "reward of 2.0 is not in"),
        ("east", StepResult(None, 0.0, False), "AttributeError"),  # type: ignore[arg-type]
    ],
)
async def test_a_worlds_mistake_is_a_fault_in_one_line(
    action: str, result: StepResult, told: str
) -> None:
    env = Odd()
    env.result = result
    with pytest.raises(EnvironmentFault, match=told):
        await act(env, f"Action: {action}", reward=0.0)


async def test_what_a_world_says_can_be_written_and_its_reward_is_a_fraction() -> None:
    env = Odd()
    env.result = StepResult("a\ud800b", 1.0 + 1e-9, terminated=True)
    step, result = await act(env, "Action: east", reward=0.0)
    assert (step.observation, result.observation, result.reward) == ("a\ufffdb", "a\ufffdb", 1.0)
