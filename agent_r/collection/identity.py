"""Identify what a stored file was made from, so that different inputs never share a file."""

from __future__ import annotations

from pathlib import Path

from agent_r.config import digest
from agent_r.environment import EnvInfo
from agent_r.local_model.model_folder import PACKAGED, model_digest
from agent_r.settings import (
    Config,
    EmbeddedEndpoint,
    OpenAIEndpoint,
    PythonEnv,
    ScriptedEndpoint,
    env_specs,
)


def unnamed(config: Config) -> dict[str, str]:
    """What a run depends on beside the actor's name and the world's version.

    The name may be an alias, the last part of a path, or a few digits of the weights; a world of
    one's own may not know what it was called with. What that was may be a secret: it is a digest.

    Args:
        config: its endpoint is the one that acts (`flows.run_context.RunContext.as_trained`).

    Raises:
        StoreError: the embedded model's folder holds none.
    """
    parts = {}
    if isinstance(config.endpoint, OpenAIEndpoint):
        parts["model"] = config.endpoint.model
        if config.endpoint.reasoning_tags or config.endpoint.send_reasoning:
            reasoning = config.endpoint.model_dump(include={"reasoning_tags", "send_reasoning"})
            parts["reasoning"] = repr(sorted(reasoning.items()))
        if shape := config.endpoint.replies_depend_on():
            parts["request"] = digest(shape)
    if isinstance(config.endpoint, EmbeddedEndpoint):
        folder = Path(config.endpoint.checkpoint) if config.endpoint.checkpoint else PACKAGED
        parts["model"] = model_digest(folder)
    if isinstance(config.endpoint, ScriptedEndpoint):
        parts["error_rate"] = repr(config.endpoint.error_rate)
    arguments = arguments_of(config)
    grammars = [getattr(world, "grammar", None) for world in env_specs(config.env)]
    if any(grammars):
        parts["grammar"] = digest(repr(grammars))
    if arguments:
        parts["arguments"] = "/".join(arguments)
    return parts


def arguments_of(config: Config) -> list[str]:
    """What each world of one's own is called with, as a digest."""
    return [
        digest(repr(sorted(world.arguments.items())))
        for world in env_specs(config.env)
        if isinstance(world, PythonEnv)
    ]


def of_world(info: EnvInfo) -> list[str]:
    """What an episode in a world depends on, beside its task."""
    return [info.name, info.version, info.instruction, repr(info.grammar)]
