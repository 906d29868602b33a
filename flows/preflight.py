"""What can be known to be wrong before a run begins, in one line each."""

from __future__ import annotations

import asyncio
import importlib.util

from agent_r.errors import ConfigError, ExtraMissing
from agent_r.services.local_model.process import model_name
from agent_r.services.plan import tasks_of_iteration, work_folder
from agent_r.services.store import require_writable
from agent_r.services.worlds import Worlds
from agent_r.settings import Config, EmbeddedEndpoint, OpenAIEndpoint, ScriptedEndpoint
from flows.actors import acting, first_model
from flows.hub_access import ask_hub, hub_of
from flows.worlds import scripted, worlds_of


def preflight(config: Config, *, trains: bool = False) -> None:
    """World, tasks, folder, extras, endpoint and Hub; the last two are really asked.

    Raises:
        AgentRError: the first thing found wrong.
    """
    if trains and config.train.backend == "local" and first_model(config) is None:
        raise ConfigError(
            f"train.backend = 'local' trains the embedded model, not a {config.endpoint.kind} "
            "endpoint's: set train.backend = 'command' and train.command"
        )
    worlds = worlds_of(config)
    tasks_of_iteration(worlds, config, 1)
    asyncio.run(_check(worlds))
    if isinstance(config.endpoint, ScriptedEndpoint):
        scripted(config.endpoint, worlds)
    require_writable(work_folder(config))
    if isinstance(config.endpoint, EmbeddedEndpoint):
        if importlib.util.find_spec("torch") is None:
            raise ExtraMissing("the embedded actor", "local")
        folder = first_model(config)
        if folder is not None:
            model_name(folder)
    if isinstance(config.endpoint, OpenAIEndpoint) and not config.endpoint.api_key_block:
        asyncio.run(_ask(config))
    if trains and config.hub.repo and not config.hub.token_block:
        ask_hub(asyncio.run(hub_of(config.hub)))


async def _check(worlds: Worlds) -> None:
    async with worlds:
        await worlds.check()


async def _ask(config: Config) -> None:
    async with acting(config, model=None):
        pass
