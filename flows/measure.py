"""Measure an actor on held-out tasks, how it recovers from errors, and how it stands mistakes."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from prefect import flow
from pydantic import TypeAdapter

from agent_r import files
from agent_r.algorithm.prompts import prompt_digest
from agent_r.collection.identity import of_world, unnamed
from agent_r.config import digest
from agent_r.evaluation.evaluate import EpisodePrefix, Measurement
from agent_r.evaluation.injection import LedTask
from agent_r.run_worlds import Worlds
from agent_r.settings import Config
from flows.actor_factory import acting
from flows.form.asked import asked
from flows.form.hiding import hides
from flows.form.parameters import Base, Dataset, Endpoint, Overrides, World
from flows.page.orphans import close_what_it_left
from flows.page.run_log import tell, warn
from flows.page.run_names import name_run
from flows.preflight import Needs, preflight
from flows.run_context import RunContext
from flows.states import fails_in_one_line
from tasks.score import score

_log = logging.getLogger("agent_r.progress")
MEASUREMENT = TypeAdapter(Measurement)


@hides("openings", "led")
@flow(
    name="measure",
    persist_result=False,
    validate_parameters=False,
    on_crashed=[close_what_it_left],
)
@fails_in_one_line
async def measure(
    settings: Base = "default",
    world: World = None,
    endpoint: Endpoint = None,
    model: str = "",
    trained: int = 0,
    dataset: Dataset = "",
    overrides: Overrides = (),
    *,
    openings: list[EpisodePrefix] | None = None,
    led: list[LedTask] | None = None,
) -> Measurement:
    """Success with its 95 % interval on tasks never explored; recovery; share kept after mistakes.

    Args:
        model: Folder of the embedded model to measure; empty: the endpoint's own.
        trained: How many fine-tunings the actor has had; fills {iteration} in the model's name.
        openings: Failures to continue, from an earlier measurement; empty: this actor's own.
        led: Tasks led to a step, with mistakes to inject, from an earlier one; empty: found anew.
    """
    config = await asked(settings, overrides, world=world, endpoint=endpoint, dataset=dataset)
    context = RunContext.of(config, trained + 1, model)
    await name_run("measure", context, f"iteration {trained}" if trained else "start")
    await preflight(context, Needs(acts=True))
    key = measurement_key(context, context.worlds, openings)
    path = context.work_folder / f"measure-{trained}-{_whole_key(key, config, led)}.json"
    measured = files.load(path, MEASUREMENT)
    if measured is None or measured.can_go_on:
        tell(f"{config.measure.tasks} held-out tasks to play")
        episodes = context.work_folder / f"episodes-{trained}-{key}"
        async with context.worlds as worlds, acting(context) as actor:
            measured = await score(actor, worlds, config, openings, led, episodes)
        files.save(path, MEASUREMENT, measured)
    warn(measured.faults())
    for line in measured.robustness.notes():
        _log.info("%s", line)
    tell(measured.line())
    return measured


def measurement_key(
    context: RunContext, worlds: Worlds, openings: Sequence[EpisodePrefix] | None
) -> str:
    """Names all that a measurement's episodes depend on, beside their own openings."""
    config = context.as_trained
    prefixes = [o.model_dump_json() for o in openings] if openings is not None else ["own"]
    known = [part for info in worlds.infos for part in of_world(info)]
    return digest(
        context.actor_name,
        *unnamed(config).values(),
        *known,
        prompt_digest(),
        config.measure.model_dump(mode="json", exclude={"robustness_tasks", "control"}),
        config.search,
        config.seed,
        *prefixes,
    )


def _whole_key(key: str, config: Config, led: Sequence[LedTask] | None) -> str:
    """Names a measurement; one without robustness is called as before there was any."""
    count = config.measure.robustness_tasks
    found = [task.model_dump_json() for task in led] if led is not None else ["own"]
    return digest(key, count, *found) if count or led else key
