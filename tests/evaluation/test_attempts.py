"""Several attempts a task: each has its own seed and file, and the rates are the field's."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_r.algorithm.metrics import wilson
from agent_r.errors import EndpointRejected
from agent_r.evaluation.attempts import EpisodeCost, PassRates, TaskScore, pass_all, pass_at
from agent_r.evaluation.episodes import EPISODE
from agent_r.evaluation.evaluate import Measurement, measure_actor
from agent_r.evaluation.intervals import gain_over_tasks, mean_over_tasks
from agent_r.evaluation.score_tables import cost_lines, document, tables, unsteady_line
from agent_r.run_worlds import Worlds
from agent_r.settings import Config
from agent_r.testing import ScriptedActor
from env_adapters import world_of
from flows.acting.actor_factory import scripted
from flows.measure import alike_attempts
from tests.evaluation.test_episodes import BROKEN, CONFIG, Corridors, script
from tests.support.planting import only

ROOT = Path(__file__).parents[2]
MIXTURE: dict[str, Any] = {
    "endpoint": {"kind": "scripted", "error_rate": 0.3},
    "env": {"kind": "mixture", "worlds": [{"kind": "textcraft"}, {"kind": "shop"}]},
    "measure": {
        "tasks": 8, "attempts": 4, "recovery_tasks": 2, "robustness_tasks": 2, "max_steps": 10
    },
}  # fmt: skip


async def mixture(folder: Path, **over: Any) -> Measurement:
    config = Config.model_validate(MIXTURE | {"measure": MIXTURE["measure"] | over})
    worlds = Worlds.of(config.env, world_of)
    actor = scripted(config.endpoint, worlds)  # type: ignore[arg-type]
    return await measure_actor(actor, worlds, config, openings=None, parallel=4, folder=folder)


@pytest.mark.parametrize("n", range(1, 7))
def test_the_estimators_are_what_all_choices_of_k_attempts_come_to(n: int) -> None:
    for c, k in product(range(n + 1), range(1, n + 1)):
        drawn = list(combinations([True] * c + [False] * (n - c), k))
        assert pass_at(n, c, k) == pytest.approx(sum(map(any, drawn)) / len(drawn))
        assert pass_all(n, c, k) == pytest.approx(sum(map(all, drawn)) / len(drawn))


def test_the_estimator_is_the_one_that_its_paper_prints() -> None:
    for c, k in ((3, 10), (150, 100), (0, 1), (200, 5)):
        stable = 1.0 if 200 - c < k else 1 - np.prod(1 - k / np.arange(200 - c + 1, 201))
        assert pass_at(200, c, k) == pytest.approx(float(stable))


def test_shares_of_one_attempt_have_wilsons_interval() -> None:
    for won in range(11):
        assert mean_over_tasks([1.0] * won + [0.0] * (10 - won)) == wilson(won, 10)
    assert mean_over_tasks([]) == wilson(0, 0)
    nearly = mean_over_tasks([1.0] * 3 + [0.0] * 6 + [1e-9])  # one way leads into the other
    assert (nearly.low, nearly.high) == pytest.approx((wilson(3, 10).low, wilson(3, 10).high))


def test_shares_of_many_tasks_have_the_interval_of_a_mean() -> None:
    values = np.random.default_rng(1).choice([0.0, 0.25, 0.5, 1.0], size=2000).tolist()
    half = 1.96 * np.std(values) / 2000**0.5
    rate, mean = mean_over_tasks(values), np.mean(values)
    assert (rate.low, rate.high) == pytest.approx((mean - half, mean + half), abs=1e-3)
    gains = [2 * value - 1 for value in values]
    low, high = gain_over_tasks(gains)
    middle = 2 * mean - 1
    assert (low, high) == pytest.approx((middle - 2 * half, middle + 2 * half), abs=1e-3)


def test_the_gain_of_single_attempts_has_bonett_and_prices_interval() -> None:
    won, lost, n = 6, 1, 20
    one, other = (won + 1) / (n + 2), (lost + 1) / (n + 2)
    half = 1.959964 * ((one + other - (one - other) ** 2) / (n + 2)) ** 0.5
    gains = [1.0] * won + [-1.0] * lost + [0.0] * (n - won - lost)
    assert gain_over_tasks(gains) == pytest.approx((one - other - half, one - other + half))


def test_tasks_that_all_agree_leave_room_for_those_that_were_not_drawn() -> None:
    low, high = gain_over_tasks([0.0] * 20)
    assert -0.2 < low == -high < -0.1
    half = mean_over_tasks([0.5] * 20)
    assert 0.05 < half.rate - half.low < 0.15


def test_a_task_that_was_played_less_often_counts_where_it_can() -> None:
    scores = [TaskScore(task="a", rewards=[1, None, 0]), TaskScore(task="b", rewards=[1, 1, 1])]
    rates = PassRates.of(scores)
    assert [rates.at[k].n for k in (1, 2, 3)] == [2, 2, 1]
    assert [rates.at[k].rate for k in (1, 2, 3)] == [0.75, 1.0, 1.0]
    assert [rates.all[k].rate for k in (1, 2, 3)] == [0.75, 0.5, 1.0]


async def test_what_a_measurement_says_is_what_its_episodes_on_the_disk_come_to(
    tmp_path: Path,
) -> None:
    measured = await mixture(tmp_path)
    episodes = [EPISODE.validate_json(path.read_bytes()) for path in tmp_path.glob("*-*.json")
                if not path.name.startswith("led-")]  # fmt: skip
    won: dict[tuple[str, str], list[bool]] = {}
    for one in sorted(episodes, key=lambda one: one.attempt):
        if not one.opening:
            won.setdefault((one.world, one.task), []).append(one.reward >= 1)
    assert len(won) == 8 and {len(attempts) for attempts in won.values()} == {4}
    rates = PassRates.of(measured.scores)
    for k in range(1, 5):
        some, every = (
            np.mean([np.mean([how(c) for c in combinations(w, k)]) for w in won.values()])
            for how in (any, all)
        )
        assert (rates.at[k].rate, rates.all[k].rate) == pytest.approx((some, every))
    assert measured.success == rates.at[1]
    assert 0 < rates.all[4].rate < rates.at[1].rate < rates.at[4].rate  # this can fail: seeds
    total = sum(one.calls for one in episodes), sum(one.prompt_tokens for one in episodes)
    assert (measured.cost.calls, measured.cost.prompt_tokens) == total
    assert measured.cost.calls == sum(len(one.steps) - one.opening for one in episodes)


async def test_more_attempts_are_played_beside_those_that_are_there(tmp_path: Path) -> None:
    once = await mixture(tmp_path, attempts=1)
    first = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    thrice = await mixture(tmp_path, attempts=3)
    again = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.iterdir()}
    assert first.items() <= again.items()
    assert len(again) == len(first) + 16
    assert [score.rewards[:1] for score in thrice.scores] == [s.rewards for s in once.scores]
    assert (thrice.openings, thrice.robustness) == (once.openings, once.robustness)


@pytest.mark.parametrize("temperature", [0.0, 0.7])
async def test_a_failure_is_continued_by_other_draws_than_those_that_led_into_it(
    temperature: float,
) -> None:
    """At temperature 0 there is one draw, and the seeds are as they were."""
    actor = ScriptedActor(script({}))
    measure = {"tasks": 4, "recovery_tasks": 4, "robustness_tasks": 0, "temperature": temperature}
    config = Config.model_validate({"measure": measure | {"max_steps": 2, "attempts": 2}})
    measured = await measure_actor(actor, only(Corridors), config, openings=None, parallel=1)
    assert measured.recovery.n == 3
    seeds = [params.seed or 0 for params in actor.params]
    calls = sum(score.cost.calls for score in measured.scores)
    own, continued = set(seeds[:calls]), set(seeds[calls:])
    assert len(own) == 4  # two attempts of two steps
    assert (continued <= {7919 * step for step in range(5)}) == (temperature == 0)
    assert not own & continued or temperature == 0


async def test_files_of_before_are_read_and_their_cost_is_said_to_be_unknown(
    tmp_path: Path,
) -> None:
    whole = await mixture(tmp_path, attempts=1)
    added = ("world", "attempt", "opening", "calls", "prompt_tokens", "completion_tokens")
    for path in tmp_path.glob("*-*.json"):
        old = json.loads(path.read_bytes())
        path.write_text(
            json.dumps({key: old[key] for key in old if key not in added or "leader" in old})
        )
    again = await mixture(tmp_path, attempts=1)
    assert again.rewards == whole.rewards
    assert again.cost == EpisodeCost(unknown=len(list(tmp_path.glob("*-*.json"))) - 2)
    value = whole.model_dump(mode="json", exclude={"scores", "conditions", "cost"})
    assert Measurement.model_validate(value).is_older


@pytest.mark.parametrize(
    ("attempts", "temperature", "kind", "notes"),
    [(4, 0.0, "embedded", 1), (4, 0.7, "embedded", 0), (1, 0.0, "embedded", 0),
     (4, 0.0, "scripted", 0)],
)  # fmt: skip
def test_attempts_that_would_be_alike_are_noted(
    attempts: int, temperature: float, kind: str, notes: int
) -> None:
    measure = {"attempts": attempts, "temperature": temperature}
    config = Config.model_validate({"endpoint": {"kind": kind}, "measure": measure})
    assert len(alike_attempts(config)) == notes


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.evaluation.test_attempts import mixture
renamed = 0
def hook(event, args):
    global renamed
    renamed += event == "os.rename"
    if event == "os.rename" and renamed == 20:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
asyncio.run(mixture(Path(sys.argv[1])))
"""


def test_one_that_was_killed_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(killed)], env=environment, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    before = {path.name: path.stat().st_mtime_ns for path in killed.glob("[!.]*")}
    assert 0 < len(before) < 20
    again, once = asyncio.run(mixture(killed)), asyncio.run(mixture(whole))
    assert again.model_dump_json() == once.model_dump_json()
    assert {path.name: path.read_bytes() for path in killed.glob("[!.]*")} == {
        path.name: path.read_bytes() for path in whole.iterdir()
    }
    after = {path.name: path.stat().st_mtime_ns for path in killed.glob("[!.]*")}
    assert before.items() <= after.items()  # none was played again


async def test_tables_are_of_each_world_kind_and_depth_and_of_the_worst_tasks(
    tmp_path: Path,
) -> None:
    measured = await mixture(tmp_path)
    by_k, by_world, by_depth, worst = tables(measured)
    assert [row[0] for row in by_k.rows] == ["1", "2", "3", "4"]
    assert [row[:2] for row in by_world.rows] == [["shop", "4"], ["textcraft", "4"]]
    assert sum(int(row[1]) for row in by_depth.rows) == 8
    assert worst.rows[0][2] == "0 of 4"
    assert unsteady_line(measured).endswith("in none")
    assert cost_lines(measured, (1.0, 2.0))[0].endswith(" money")
    value = json.loads(json.dumps(document(measured, (0.0, 0.0))))
    assert value["summary"]["by"]["world"]["shop"]["pass^k"]["4"]["n"] == 4
    assert Measurement.model_validate(value) == measured


async def test_an_attempt_that_cannot_be_played_loses_no_other(tmp_path: Path) -> None:
    measure = CONFIG.measure.model_copy(update={"attempts": 2})
    config = CONFIG.model_copy(update={"measure": measure})
    actor = ScriptedActor(script({BROKEN: EndpointRejected("no", status=400)}))
    measured = await measure_actor(
        actor, only(Corridors), config, openings=None, parallel=4, folder=tmp_path
    )
    [broken] = [score for score in measured.scores if not score.played]
    assert (broken.task, broken.rewards) == ("corridor 3 ", [None, None])
    assert measured.unplayed == {"EndpointRejected": 2}
    assert (measured.success.n, len(measured.rewards), measured.attempts) == (19, 19, 2)
