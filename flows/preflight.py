"""Check before a run begins what can be known to be wrong; one line for each problem."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from agent_r.collection.nights import Ground
from agent_r.collection.plan import tasks_of_iteration
from agent_r.errors import ConfigError, ExtraMissing
from agent_r.files import require_writable
from agent_r.local_model.model_folder import model_name
from agent_r.local_model.token_count import TokenCounter
from agent_r.run_worlds import Worlds
from agent_r.settings import (
    Config,
    EmbeddedEndpoint,
    Endpoint,
    OpenAIEndpoint,
    ScriptedEndpoint,
    TrlConfig,
)
from agent_r.training.backends.choice import check_backend
from agent_r.training.backends.trl_backend import require_trl
from flows.acting.actor_factory import acting, scripted
from flows.acting.probe import probe
from flows.general_rows import check_general
from flows.run_context import RunContext, worlds_of


@dataclass(frozen=True, slots=True)
class Needs:
    """What a flow is going to do."""

    acts: bool = False
    asks: bool = True  # whether it may ask its endpoint: a worker's run has done so
    trains: bool = False
    publishes: bool = False
    versions: Sequence[str] = ()  # of datasets, that it reads


def loops(config: Config, run: str = "") -> tuple[RunContext, Needs]:
    """What the whole loop needs; a `continual` one begins with the last night's model."""
    ground = Ground.ahead(config, "self-train", run)
    needs = Needs(acts=True, trains=True, publishes=bool(config.hub.repo))
    return RunContext.of(config, ground.first, ground.model), needs


# A flow's subflows, and the flow of a command that has looked already, do not look again.
_looked: ContextVar[bool] = ContextVar("looked", default=False)


async def preflight(context: RunContext, needs: Needs) -> None:
    """Look before anything is done: every flow begins with it; inside another it does nothing.

    Raises:
        AgentRError: the first thing found wrong.
    """
    if not _looked.get():
        await look(context, needs)
        _looked.set(True)


def look_ahead(context: RunContext, needs: Needs) -> None:
    """The same before Prefect is started; a key in one of its blocks leaves the rest to the flow.

    Raises:
        AgentRError: the first thing found wrong.
    """
    config = context.config
    asyncio.run(look(context, needs, blocks=False))
    _looked.set(not config.hub.token_block and not _in_blocks(config.endpoint))


@contextmanager
def looking_once() -> Iterator[None]:
    """Within, one look is enough; what comes after it looks for itself."""
    before = _looked.get()
    try:
        yield
    finally:
        _looked.set(before)


async def look(context: RunContext, needs: Needs, *, blocks: bool = True) -> None:
    """Trainer, folder, datasets, worlds, endpoint and Hub; the last two are really asked.

    Raises:
        AgentRError: the first thing found wrong.
    """
    config = context.config
    if needs.trains:
        check_trainer(context)
        pool = config.train.pool
        if pool is not None:
            from flows.workers.pool_backend import PoolBackend  # Prefect: seconds, and its folder

            await PoolBackend(pool).check()
        else:
            await check_backend(config.train)
    if needs.trains or needs.acts:
        require_writable(context.work_folder)
    for version in needs.versions:
        check_version(version, here=needs.publishes)
    if needs.acts:
        if config.dataset.tokenizer:
            TokenCounter.of(config)
        check_runner(config)
        await check_worlds(config)
        if needs.asks:
            await check_actor(context, blocks=blocks)
    if needs.publishes and (blocks or not config.hub.token_block):
        from flows.hub_client import ask_hub, hub_of  # 30 MB

        ask_hub(await hub_of(config.hub))


def check_trainer(context: RunContext) -> None:
    """The training back end, the model that it starts from, and its general rows."""
    config = context.config
    if config.train.backend == "local":
        if context.model is None:
            raise ConfigError(
                f"train.backend = 'local' trains the embedded model, not a {config.endpoint.kind} "
                "endpoint's: set train.backend = 'trl', or 'command' and train.command"
            )
        if config.train.pool is None and importlib.util.find_spec("torch") is None:
            raise ExtraMissing("fine-tuning on this machine", "local")
    if config.train.backend == "provider" and not isinstance(config.endpoint, OpenAIEndpoint):
        raise ConfigError(
            "train.backend = 'provider' trains a model that the provider serves, and not one of "
            f"this machine: set endpoint.kind = 'openai', not '{config.endpoint.kind}'"
        )
    if config.train.trl is not None:
        if config.train.backend == "trl" and config.train.pool is None:
            require_trl()
        if isinstance(config.endpoint, EmbeddedEndpoint) and not servable(config.train.trl):
            raise ConfigError(
                "the embedded actor is served from whole weights: set train.trl.lora.merge = true"
            )
    check_general(config)


def servable(trl: TrlConfig) -> bool:
    """Whether what is trained can be served without the model that it was trained from."""
    return trl.full or trl.lora.merge


def check_version(version: str, *, here: bool) -> None:
    """A version's folder; where it may be an address on the Hub, that is read when it is needed."""
    # Parquet is 60 MB, which who only grows trees does without.
    from agent_r.dataset.manifest import read_manifest
    from flows.versions import published_address

    if here or published_address(version) is None:
        read_manifest(Path(version))


def check_runner(config: Config) -> None:
    """What runs several workers is installed; whether a server has them, only Prefect can tell."""
    used = config.workers > 1 and config.runner != "prefect"
    if used and importlib.util.find_spec(f"prefect_{config.runner}") is None:
        raise ExtraMissing(f"runner = '{config.runner}'", config.runner)


async def check_worlds(config: Config) -> None:
    """Each world can be had, and has tasks; the scripted actor can follow its expert."""
    worlds: Worlds = worlds_of(config)
    tasks_of_iteration(worlds, config, 1)
    async with worlds:
        await worlds.check()
    if isinstance(config.endpoint, ScriptedEndpoint):
        scripted(config.endpoint, worlds)


async def check_actor(context: RunContext, *, blocks: bool = True) -> None:
    """The embedded model is there, or the endpoint answers."""
    endpoint = context.config.endpoint
    if isinstance(endpoint, EmbeddedEndpoint):
        if importlib.util.find_spec("torch") is None:
            raise ExtraMissing("the embedded actor", "local")
        if context.model is not None:
            model_name(context.model)
    if isinstance(endpoint, OpenAIEndpoint) and (blocks or not _in_blocks(endpoint)):
        async with acting(context) as actor:
            await probe(actor, context.config)


def _in_blocks(endpoint: Endpoint) -> bool:
    """Whether Prefect keeps a part of what lets requests in."""
    if not isinstance(endpoint, OpenAIEndpoint):
        return False
    return bool(endpoint.api_key_block or endpoint.blocks)
