"""One arm under one seed, in a process of its own: explore, train, measure, and again.

`python -m benchmarks.paper.one_arm EXPERIMENT.json SEED PARENT_PID ARM [--trees-only]`; says a
line for each finished result.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from pathlib import Path

from pydantic import TypeAdapter

from agent_r import files
from agent_r.algorithm.rows import Row
from agent_r.collection.plan import tasks_of_iteration, work_folder
from agent_r.dataset.build import BuildResult
from agent_r.dataset.shards import read_rows
from agent_r.errors import AgentRError
from agent_r.local_model.parent_watch import end_with
from agent_r.settings import Config, TextCraftEnv
from benchmarks.paper.arms import ARMS, Arm
from benchmarks.paper.corrected import corrected_episodes
from benchmarks.paper.experiment import Experiment, training_seed
from benchmarks.paper.exploring import explored
from benchmarks.paper.measuring import first_actor, measured
from benchmarks.paper.results import Result, finished, save
from benchmarks.paper.training import Made, trained
from flows.run_context import worlds_of

_MADE = TypeAdapter(Made)


async def run_arm(experiment: Experiment, seed: int, arm: Arm) -> None:
    """All iterations; what is there is not made again."""
    first, seconds = await first_actor(experiment, seed)
    if not arm.trains:
        if finished(experiment, seed, arm.name, 0) is None:
            _leave(experiment, Result.of(experiment, seed, arm.name, 0, first, seconds=seconds))
        return
    made = Made()
    for iteration in range(1, experiment.config.iterations + 1):
        made = await _iterate(experiment, seed, arm, iteration, made)
        if finished(experiment, seed, arm.name, iteration) is not None:
            continue
        began, config = time.monotonic(), experiment.settings(seed, arm)
        key = f"{iteration}-{experiment.key(arm)}"
        last = await measured(config, made.model, key, first)
        _leave(
            experiment,
            Result.of(
                experiment,
                seed,
                arm.name,
                iteration,
                last,
                seconds=time.monotonic() - began,
                training=made.training,
            ),
        )


async def _iterate(
    experiment: Experiment, seed: int, arm: Arm, iteration: int, before: Made
) -> Made:
    """Explore with the actor so far, and train the first one anew on all rows."""
    config = experiment.settings(seed, arm)
    path = work_folder(config) / f"made-{iteration}-{experiment.key(arm)}.json"
    if (found := files.load(path, _MADE)) is not None:
        return found
    began, built = time.monotonic(), None
    if arm.explores:
        earlier = Path(before.version) if before.version else None
        built = await explored(config, iteration, before.model, earlier)
    explored_s = time.monotonic() - began
    own = await _own_rows(config, arm, iteration, built)
    pairs = _pairs(built) if arm.preference else []
    made = await trained(experiment, seed, arm, iteration, own, pairs)
    if built is not None:
        made.version = built.dataset.path
        made.training.counts = built.counts
        made.training.revision_length = built.revision_length
        made.training.seconds["explore"] = round(explored_s, 1)
    files.save(path, _MADE, made)
    return made


def _pairs(built: BuildResult | None) -> list[Row]:
    assert built is not None, "an arm that trains on preference explores"
    return list(read_rows(Path(built.dataset.path), "preference", "train"))


async def _own_rows(
    config: Config, arm: Arm, iteration: int, built: BuildResult | None
) -> list[Row]:
    if built is not None:
        rows = read_rows(Path(built.dataset.path), "sft", "train")
        return [row for row in rows if not arm.kinds or row["kind"] in arm.kinds]
    if arm.own != "corrected":
        return []
    assert isinstance(config.env, TextCraftEnv), "the experiment is of TextCraft"
    worlds = worlds_of(config)  # the tasks that other arms have explored by now
    tasks = [t.id for i in range(1, iteration + 1) for t in tasks_of_iteration(worlds, config, i)]
    return await corrected_episodes(config.env, tasks, seed=training_seed(config.seed, iteration))


def _leave(experiment: Experiment, result: Result) -> None:
    save(experiment, result)
    print(result, flush=True)


def main() -> None:
    path, seed, parent, name, *rest = sys.argv[1:]
    end_with(int(parent))
    logging.getLogger("agent_r").setLevel(logging.INFO)
    logging.basicConfig(format="%(asctime)s %(message)s", stream=sys.stderr, force=True)
    experiment = Experiment.model_validate_json(Path(path).read_bytes())
    arm = ARMS[name]
    work = (
        explored(experiment.settings(int(seed), arm), 1, "", None)
        if rest == ["--trees-only"]
        else run_arm(experiment, int(seed), arm)
    )
    try:
        asyncio.run(work)
    except AgentRError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
