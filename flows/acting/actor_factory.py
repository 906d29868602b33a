"""Make a live actor from a run's endpoint; only this file knows all kinds of endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from agent_r.actor import Actor
from agent_r.config import digest
from agent_r.endpoint.access import Access
from agent_r.endpoint.client import EndpointActor
from agent_r.endpoint.habits.learnt import Learnt
from agent_r.endpoint.responses import Server
from agent_r.errors import ConfigError
from agent_r.local_model.server_process import serving
from agent_r.local_model.token_count import TokenCounter
from agent_r.run_worlds import Member, Worlds
from agent_r.settings import OpenAIEndpoint, ScriptedEndpoint, TextCraftEnv
from agent_r.training.serving.adapter_servers import AdapterServer
from agent_r.training.serving.switch import switch
from env_adapters.scripted_actor import ScriptedCast, ScriptedPlayer
from env_adapters.textcraft.scripted import ScriptedCrafter
from flows.run_context import RunContext
from tasks.keys import held_of, key_of

# By endpoint: its check before a run, the run and each of its stages open an actor of their own.
_learnt: dict[str, Learnt] = {}


@asynccontextmanager
async def acting(context: RunContext, *, checked: bool = True) -> AsyncIterator[Actor]:
    """Open an actor, checked before any work begins; closed at the end.

    The scripted one follows the experts of the run's worlds.

    Raises:
        EndpointError: nothing answers there, or not that model.
        TrainerError: the server cannot be made to serve it.
    """
    endpoint = context.as_trained.endpoint
    if isinstance(endpoint, ScriptedEndpoint):
        yield scripted(endpoint, context.worlds)
    elif isinstance(endpoint, OpenAIEndpoint):
        key, held = await key_of(endpoint), await held_of(endpoint)
        if endpoint.serving is not None and context.model is not None:
            known = Server.of(endpoint, key, held)
            headers = Access.of(endpoint, known, held).headers
            by, url = endpoint.serving.by, endpoint.base_url
            await switch(endpoint, context.model, AdapterServer(by, url, headers, known.key))
        counter = partial(TokenCounter.of, context.config)
        name = digest(endpoint.model_copy(update={"headers": {}}))
        async with EndpointActor(
            endpoint, api_key=key, held=held, learnt=_learnt.get(name), tokenizer=counter
        ) as actor:
            _learnt[name] = actor.learnt
            if checked:
                await actor.check()
            yield actor
    else:
        name = context.actor_name
        async with serving(Path(endpoint.checkpoint), threads=endpoint.threads) as base_url:
            local = OpenAIEndpoint(base_url=base_url, model=name, concurrency=endpoint.concurrency)
            async with EndpointActor(local, api_key="none") as actor:
                yield actor


def scripted(endpoint: ScriptedEndpoint, worlds: Worlds) -> Actor:
    """The actor without a model, for one world or several.

    Raises:
        ConfigError: a world has no expert to follow.
    """
    actors: dict[str, Actor] = {}
    for member in worlds.members.values():
        if member.info.instruction in actors:
            raise ConfigError(
                f"{member.info.name} has the instruction of another world of this run: the "
                "scripted actor cannot tell them apart"
            )
        actors[member.info.instruction] = _player(endpoint, member)
    return ScriptedCast(actors) if len(actors) > 1 else next(iter(actors.values()))


def _player(endpoint: ScriptedEndpoint, member: Member) -> Actor:
    if isinstance(member.spec, TextCraftEnv):
        return ScriptedCrafter(endpoint, member.spec)
    if member.world.expert is None:
        raise ConfigError(
            f"endpoint.kind = 'scripted' follows a world's own expert, and {member.info.name} has "
            "none: use 'embedded' or 'openai'"
        )
    return ScriptedPlayer(endpoint, member.world.expert)
