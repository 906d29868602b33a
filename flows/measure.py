"""Measure an actor on held-out tasks, and how well it recovers from an error."""

from __future__ import annotations

from pathlib import Path

from prefect import flow
from pydantic import TypeAdapter

from agent_r.config import digest
from agent_r.services import store
from agent_r.services.evaluation import Measurement, Opened
from agent_r.services.plan import work_folder
from agent_r.settings import Config
from flows.actors import acting, actor_name, first_model
from flows.results import JSON
from flows.worlds import worlds_of
from tasks.score import score

MEASUREMENT = TypeAdapter(Measurement)


@flow(
    name="measure",
    flow_run_name="measure-{config.dataset.name}-{trained}",
    persist_result=True,
    result_serializer=JSON,
)
async def measure(
    config: Config = Config(),
    model: str = "",
    trained: int = 0,
    openings: list[Opened] | None = None,
) -> Measurement:
    """Success with its 95 % interval on tasks never explored; recovery on failures continued.

    Args:
        config: All settings; `measure` is what matters here.
        model: Folder of the embedded model to measure; empty means the endpoint's own.
        trained: How many fine-tunings the actor has had; fills {iteration} in the model's name.
        openings: Failures to continue, from an earlier measurement; empty: this actor's own.
    """
    folder = Path(model) if model else first_model(config)
    worlds = worlds_of(config)
    name = actor_name(config, model=folder, trained=trained)
    given = [o.model_dump_json() for o in openings] if openings is not None else ["own"]
    known = [f"{info.name} {info.version}" for info in worlds.infos]
    key = digest(name, *known, config.measure, config.search, config.seed, *given)
    path = work_folder(config) / f"measure-{trained}-{key}.json"
    if (found := store.load(path, MEASUREMENT)) is not None:
        return found
    store.require_writable(work_folder(config))
    async with worlds, acting(config, model=folder, trained=trained, worlds=worlds) as actor:
        measured = await score(actor, worlds, config, openings)
    store.save(path, MEASUREMENT, measured)
    return measured
