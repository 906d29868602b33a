"""Make a live actor from an endpoint's settings; only this file knows all its kinds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent_r.actor import Actor
from agent_r.config import read_key
from agent_r.endpoint.client import EndpointActor
from agent_r.local_model.model_folder import PACKAGED, model_name
from agent_r.local_model.server_process import serving
from agent_r.run_worlds import Worlds
from agent_r.settings import Config, EmbeddedEndpoint, OpenAIEndpoint, ScriptedEndpoint
from flows.world_factory import scripted
from tasks.secret_blocks import secret_of


def first_model(config: Config) -> Path | None:
    """The folder of the model that the first iteration starts from; None where it is not ours."""
    if not isinstance(config.endpoint, EmbeddedEndpoint):
        return None
    return Path(config.endpoint.checkpoint) if config.endpoint.checkpoint else PACKAGED


def actor_name(config: Config, *, model: Path | None, trained: int) -> str:
    """Who acts after `trained` fine-tunings: known without asking, it names folders and rows."""
    endpoint = config.endpoint
    if isinstance(endpoint, ScriptedEndpoint):
        return f"scripted-{endpoint.error_rate:g}"
    if isinstance(endpoint, OpenAIEndpoint):
        served = after(endpoint, trained)
        return served.alias or served.model
    if model is None:
        raise ValueError("an embedded actor needs a model folder")
    return model_name(model)


def fine_tunings(trained: int | None, iteration: int) -> int:
    """How many an iteration's actor has had: one after each iteration before it, unless given.

    >>> fine_tunings(None, 2), fine_tunings(0, 2)
    (1, 0)
    """
    return iteration - 1 if trained is None else trained


def after(endpoint: OpenAIEndpoint, trained: int) -> OpenAIEndpoint:
    """The endpoint's model as it is called after so many fine-tunings.

    Where the server calls it by a path of its machine, datasets call it by the last part of that.
    """
    model, alias = (
        name.replace("{iteration}", str(trained)) for name in (endpoint.model, endpoint.alias)
    )
    if not alias and model.startswith(("/", "~", ".")):
        alias = model.rstrip("/").rpartition("/")[2]
    return endpoint.model_copy(update={"model": model, "alias": alias})


def as_trained(config: Config, *, model: Path | None, trained: int) -> Config:
    """The settings with the endpoint that really acts: what is stored is named by that."""
    endpoint = config.endpoint
    if isinstance(endpoint, OpenAIEndpoint):
        return config.model_copy(update={"endpoint": after(endpoint, trained)})
    if isinstance(endpoint, EmbeddedEndpoint) and model is not None:
        chosen = endpoint.model_copy(update={"checkpoint": str(model)})
        return config.model_copy(update={"endpoint": chosen})
    return config


def served_name(config: Config, *, trained: int) -> str:
    """The model's name as a `command` trainer gets it, where it is no folder of ours."""
    endpoint = config.endpoint
    if isinstance(endpoint, OpenAIEndpoint):
        return after(endpoint, trained).model
    return actor_name(config, model=first_model(config), trained=trained)


@asynccontextmanager
async def acting(
    config: Config,
    *,
    model: Path | None,
    trained: int = 0,
    worlds: Worlds | None = None,
    checked: bool = True,
) -> AsyncIterator[Actor]:
    """Open an actor, checked before any work begins; closed at the end.

    The scripted one follows the experts of the `worlds` in which it acts.

    Raises:
        EndpointError: nothing answers there, or not that model.
    """
    endpoint = config.endpoint
    if isinstance(endpoint, ScriptedEndpoint):
        if worlds is None:
            raise ValueError("a scripted actor follows the experts of worlds")
        yield scripted(endpoint, worlds)
    elif isinstance(endpoint, OpenAIEndpoint):
        block = endpoint.api_key_block
        key = await secret_of(block) if block else read_key(endpoint)
        async with EndpointActor(after(endpoint, trained), api_key=key) as actor:
            if checked:
                await actor.check()
            yield actor
    else:
        if model is None:
            raise ValueError("an embedded actor needs a model folder")
        name = model_name(model)
        async with serving(model, threads=endpoint.threads) as base_url:
            local = OpenAIEndpoint(base_url=base_url, model=name, concurrency=endpoint.concurrency)
            async with EndpointActor(local, api_key="none") as actor:
                yield actor
