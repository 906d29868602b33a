"""Make the worlds of a run from its settings."""

from __future__ import annotations

from agent_r.actor import Actor
from agent_r.errors import ConfigError
from agent_r.run_worlds import Member, Worlds
from agent_r.settings import Config, ScriptedEndpoint, TextCraftEnv
from env_adapters import world_of
from env_adapters.scripted_actor import ScriptedCast, ScriptedPlayer
from env_adapters.textcraft.scripted import ScriptedCrafter


def worlds_of(config: Config) -> Worlds:
    """All worlds of a run; nothing is begun, and so nothing to close, before their first episode.

    Raises:
        ConfigError, ExtraMissing: one of them is not to be had here.
    """
    return Worlds.of(config.env, world_of)


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
