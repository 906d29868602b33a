"""The experiment: equal budgets of trained tokens, and nothing that is finished is done again."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from agent_r.algorithm.rows import Row
from agent_r.config import load
from agent_r.errors import ConfigError
from agent_r.local_model.model_folder import PACKAGED
from agent_r.settings import TextCraftEnv
from benchmarks.paper.__main__ import experiment_of, main, parser
from benchmarks.paper.arms import ARMS, DEFAULT, HALF, THIRD
from benchmarks.paper.corrected import corrected_episodes
from benchmarks.paper.experiment import Experiment
from benchmarks.paper.mixtures import counter, mixture
from benchmarks.paper.preference import by_preference, conversations_of
from benchmarks.paper.results import Result, finished, save
from benchmarks.paper.schedule import Job, run_all

ROOT = Path(__file__).parents[2]


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    config = load(ROOT / "configs" / "paper-experiment.toml")
    return Experiment(config=config, tokens=1000, out=tmp_path / "out", work=tmp_path / "work")


def result(experiment: Experiment, arm: str, iteration: int) -> Result:
    return Result(
        seed=0,
        arm=arm,
        iteration=iteration,
        key=experiment.key(ARMS[arm]),
        actor="a",
        rewards={"x": 1.0},
        recovery={},
        led={0: {"x": 1.0}, 1: {"x": 0.0}},
        loops=0.0,
        recovery_loops=0.0,
        mean_steps=1.0,
        unplayed={},
        seconds=1.0,
    )


def row(kind: str, size: int) -> Row:
    return {"kind": kind, "messages": [{"role": "assistant", "content": "x" * size, "train": True}]}


def size(row: Row) -> int:
    return len(row["messages"][0]["content"])


@pytest.mark.parametrize("own", [["good"], ["good", "revision"], []])
def test_every_arm_is_trained_on_as_many_tokens(own: list[str]) -> None:
    rng = random.Random(0)
    rows = [row(kind, rng.randint(5, 80)) for kind in own for _ in range(30)]
    demonstrations = [{"messages": row("", rng.randint(5, 80))["messages"]} for _ in range(40)]
    for share in (THIRD, HALF):
        mixed = mixture(rows, demonstrations, 9000, size, share=share, seed=1)
        assert sum(map(size, mixed.rows)) == mixed.tokens.total() == pytest.approx(9000, rel=0.002)
        if own:
            assert mixed.tokens["demonstration"] == pytest.approx(9000 * (1 - share), rel=0.002)


def test_good_ways_are_as_large_a_part_of_an_arms_own_rows_as_it_asks() -> None:
    rows = [row("good", 10) for _ in range(7)] + [row("interleaved", 10) for _ in range(500)]
    mixed = mixture(rows, [row("", 10)], 2000, size, good=0.6, seed=0)
    assert mixed.tokens == {"good": 600, "interleaved": 400, "": 1000}


def test_rows_are_repeated_evenly_and_cut() -> None:
    rows = [row("good", 10) for _ in range(7)]
    mixed = mixture(rows, [row("", 10)], 200, size, seed=0)
    assert mixed.drawn["good"] == 10
    assert mixed.distinct["good"] == 7


def test_rows_that_the_trainer_would_drop_are_not_counted() -> None:
    count = counter(PACKAGED, 64)
    said = {"role": "assistant", "content": "Action: inventory", "train": True}
    assert 0 < count({"messages": [{"role": "user", "content": "?"}, said]}) < 20
    assert count({"messages": [{"role": "user", "content": "? " * 100}, said]}) == 0


def test_both_sides_of_a_pair_are_counted_as_trained_and_its_prompt_is_not() -> None:
    count = counter(PACKAGED, 512)
    told = {"role": "user", "content": "Goal: craft ash boards."}
    sides = [{"role": "assistant", "content": f"Action: get {n} ash log"} for n in (1, 40)]
    pair = {"prompt": [told], "chosen": sides[:1], "rejected": sides[1:], "task": "ash boards"}
    (row,) = conversations_of([pair])
    apart = [count({"messages": [told, side | {"train": True}]}) for side in sides]
    assert count(row) == sum(apart) > max(apart)
    assert row["pair"] == {side: pair[side] for side in ("prompt", "chosen", "rejected")}


def test_without_rows_there_is_one_clear_line() -> None:
    with pytest.raises(ConfigError, match="explore more trees"):
        mixture([row("good", 500)], [row("", 5)], 100, size, seed=0)


async def test_the_experts_mistakes_are_corrected_and_not_trained_on() -> None:
    rows = await corrected_episodes(TextCraftEnv(), ["ash boards", "emmer bread"], seed=3)
    assert rows
    assert rows == await corrected_episodes(TextCraftEnv(), ["ash boards", "emmer bread"], seed=3)
    for one in rows:
        replies = [m for m in one["messages"] if m["role"] == "assistant"]
        assert any(not m["train"] for m in replies)
        assert replies[-1]["train"]  # the goal is reached


def test_arms_explore_alike_and_differ_in_what_they_make_of_it(experiment: Experiment) -> None:
    settings = {name: experiment.settings(3, arm) for name, arm in ARMS.items()}
    assert len({config.search.model_dump_json() for config in settings.values()}) == 1
    assert len({config.dataset.store for config in settings.values()}) == 1
    assert len({config.dataset.name for config in settings.values()}) == len(ARMS)
    assert {config.seed for config in settings.values()} == {3}
    assert not settings["paper"].revision.verify
    assert settings["direct"].critique.localiser == "direct"
    ways = [(c.revision.verify, c.revision.prune) for c in map(settings.get, ("good", "ours")) if c]
    assert ways == [(True, True)] * 2  # they have the same good ways
    assert {name for name, config in settings.items() if not config.revision.interleaved} == {
        *("good", "direct", "paper", "paper-verified"),
        *("revisions", "actor", "value", "replay", "signals", "turns"),
    }
    assert settings["ours"].revision == experiment.config.revision
    assert by_preference(experiment.config.train).epochs == experiment.config.train.epochs
    assert len({experiment.key(arm) for arm in ARMS.values() if arm.trains}) == len(ARMS) - 1
    assert set(DEFAULT) <= set(ARMS)


def test_a_finished_result_is_not_done_again(experiment: Experiment, tmp_path: Path) -> None:
    words = ["--seeds", "0", "--iterations", "1", "--arms", "ours", "--tokens", "1000"]
    words += ["--config", str(ROOT / "configs" / "paper-experiment.toml")]
    given = parser().parse_args([*words, "--out", str(experiment.out)])
    assert experiment_of(given).key(ARMS["ours"]) == experiment.key(ARMS["ours"])
    for arm, iteration in (("start", 0), ("ours", 1)):
        save(experiment, result(experiment, arm, iteration))
    assert main([*words, "--out", str(experiment.out)]) == 0
    assert not any((tmp_path / "work").glob("seed-*"))


def test_the_tables_are_of_the_arms_seeds_and_iterations_that_are_asked_for(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    for arm, iteration in (("start", 0), ("ours", 1), ("ours", 2), ("good", 1)):
        save(experiment, result(experiment, arm, iteration))
    save(experiment, result(experiment, "start", 0).model_copy(update={"seed": 1}))
    save(experiment, result(experiment, "ours", 1).model_copy(update={"seed": 1}))
    words = ["--only-tables", "--out", str(experiment.out), "--arms", "ours"]
    assert main(words) == 0
    assert "Seeds 0, 1 (iteration 2: 0); 1 held-out tasks" in capsys.readouterr().out
    assert main([*words, "good", "--seeds", "0", "--iterations", "1"]) == 0
    said = capsys.readouterr().out
    assert "Seeds 0; 1 held-out" in said and "| good |" in said and "after iteration 1," in said


def test_results_of_other_settings_are_never_mixed(experiment: Experiment) -> None:
    save(experiment, result(experiment, "ours", 1))
    other = experiment.model_copy(update={"tokens": 2000})
    assert finished(experiment, 0, "ours", 1) is not None
    with pytest.raises(ConfigError, match="other settings"):
        finished(other, 0, "ours", 1)


async def test_a_job_waits_for_its_needs_and_another_goes_on(tmp_path: Path) -> None:
    said: list[str] = []
    log = tmp_path / "log"
    jobs = [
        Job("a", "platform", (), log, ("late",)),
        Job("b", "no_such_module_anywhere", (), tmp_path / "b"),
        Job("c", "platform", (), log, ("b",)),
        Job("late", "this", (), log),
    ]
    failed = await run_all(jobs, at_once=2, on_line=said.append)
    assert failed.keys() == {"b", "c"}
    assert "no_such_module_anywhere" in failed["b"]
    assert said[0].startswith("The Zen")
    assert sys.platform[:3] in said[-1].lower()
