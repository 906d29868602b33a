"""A world of one's own, by import path: a factory of an Environment, or of a World."""

from __future__ import annotations

from typing import cast

from agent_r.environment import Embedded, Environment, World
from agent_r.loading import call, require
from agent_r.settings import PythonEnv

_ENVIRONMENT = ("info", "tasks", "reset", "step", "close")
_WORLD = ("expert", "environment", "check", "aclose")


def python(spec: PythonEnv) -> World:
    """The world that a factory makes; of environments, each call makes a fresh one.

    Raises:
        ConfigError: the factory fails, or what it makes lacks something.
    """
    made = call(spec.factory, spec.arguments)
    if hasattr(made, "environment"):
        require(made, _WORLD, "a World (agent_r/environment.py)", spec.factory)
        return cast(World, made)
    require(made, _ENVIRONMENT, "an Environment (docs/worlds.md)", spec.factory)
    return Embedded(lambda: cast(Environment, call(spec.factory, spec.arguments)))
