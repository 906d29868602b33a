"""Measure an actor on held-out tasks, how it recovers from errors, and how it stands mistakes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from agent_r import files
from agent_r.algorithm.prompts import prompt_digest
from agent_r.collection.identity import of_world, unnamed
from agent_r.config import digest
from agent_r.evaluation.evaluate import EpisodePrefix, Measurement
from agent_r.evaluation.injection import LedTask
from agent_r.run_worlds import Worlds
from agent_r.settings import Config, ScriptedEndpoint
from flows.acting.actor_factory import acting
from flows.form.asked import asked
from flows.form.hiding import hides
from flows.form.parameters import Base, Dataset, Endpoint, Overrides, World
from flows.page.measured import show_measurement
from flows.page.orphans import close_what_it_left
from flows.page.run_log import tell, warn
from flows.page.run_names import name_run
from flows.preflight import Needs, preflight
from flows.run_context import RunContext
from flows.states import fails_in_one_line
from tasks.orchestration import flow
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
    config = await asked(settings, overrides, world=world, endpoint=endpoint, dataset=dataset,
                         folders=(model,))  # fmt: skip
    context = RunContext.of(config, trained + 1, model)
    await name_run("measure", context, f"iteration {trained}" if trained else "start")
    await preflight(context, Needs(acts=True))
    warn(alike_attempts(config))
    places = places_of(context, openings, led)
    measured = files.load(places.file, MEASUREMENT)
    if measured is None or measured.can_go_on or (measured.is_older and places.episodes.is_dir()):
        times = f", {config.measure.attempts} times each" if config.measure.attempts > 1 else ""
        tell(f"{config.measure.tasks} held-out tasks to play{times}")
        async with context.worlds as worlds, acting(context) as actor:
            measured = await score(actor, worlds, config, openings, led, places.episodes)
        measured.episodes = places.episodes.name
        files.save(places.file, MEASUREMENT, measured)
    warn(measured.faults())
    for line in measured.robustness.notes():
        _log.info("%s", line)
    await show_measurement(measured, config, places.file, places.episodes)
    tell(measured.line())
    return measured


@dataclass(frozen=True, slots=True)
class Places:
    """Where a measurement is kept, and its episodes."""

    file: Path
    episodes: Path


def places_of(
    context: RunContext,
    openings: Sequence[EpisodePrefix] | None = None,
    led: Sequence[LedTask] | None = None,
) -> Places:
    """By all that it depends on, so that different ones never share a file."""
    work, trained = context.work_folder, context.trained
    key = measurement_key(context, context.worlds, openings)
    whole = _whole_key(key, context.config, led)
    return Places(work / f"measure-{trained}-{whole}.json", work / f"episodes-{trained}-{key}")


def alike_attempts(config: Config) -> list[str]:
    """A note where several attempts would be one and the same."""
    attempts, hot = config.measure.attempts, config.measure.temperature > 0
    if attempts == 1 or hot or isinstance(config.endpoint, ScriptedEndpoint):
        return []
    return [
        f"measure.attempts = {attempts} at measure.temperature = 0: the attempts of a task are "
        "alike, but for what the server does by chance; set a temperature for them to differ"
    ]


def measurement_key(
    context: RunContext, worlds: Worlds, openings: Sequence[EpisodePrefix] | None
) -> str:
    """Names all that a measurement's episodes depend on, beside their own openings.

    More attempts later are played beside those that are there.
    """
    config = context.as_trained
    prefixes = [o.model_dump_json() for o in openings] if openings is not None else ["own"]
    known = [part for info in worlds.infos for part in of_world(info)]
    return digest(
        context.actor_name,
        *unnamed(config).values(),
        *known,
        prompt_digest(),
        config.measure.model_dump(mode="json", exclude={"attempts", "robustness_tasks", "control"}),
        config.search,
        config.seed,
        *prefixes,
    )


def _whole_key(key: str, config: Config, led: Sequence[LedTask] | None) -> str:
    """Names a measurement; one without robustness, or of one attempt, as before there were any."""
    count, attempts = config.measure.robustness_tasks, config.measure.attempts
    found = [task.model_dump_json() for task in led] if led is not None else ["own"]
    key = digest(key, count, *found) if count or led else key
    return digest(key, attempts) if attempts > 1 else key
