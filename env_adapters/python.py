"""A world of one's own, by import path: a factory of an Environment, or of a World."""

from __future__ import annotations

from typing import Any, cast

from agent_r.environment import Embedded, Environment, World
from agent_r.errors import ConfigError
from agent_r.loading import call
from agent_r.settings import PythonEnv

_ENVIRONMENT = ("info", "tasks", "reset", "step", "close")
_WORLD = ("environment", "check", "aclose")


def python(spec: PythonEnv) -> World:
    """The world that a factory makes; of environments, each call makes a fresh one.

    Raises:
        ConfigError: the factory fails, or what it makes lacks something.
    """
    made = call(spec.factory, spec.arguments)
    if hasattr(made, "environment"):
        _require(made, _WORLD, "a World", spec.factory)
        return cast(World, made)
    _require(made, _ENVIRONMENT, "an Environment", spec.factory)
    return Embedded(lambda: cast(Environment, call(spec.factory, spec.arguments)))


def _require(made: Any, names: tuple[str, ...], what: str, factory: str) -> None:
    missing = [name for name in names if not hasattr(made, name)]
    if missing:
        raise ConfigError(
            f"'{factory}' made {type(made).__name__}, which is not {what}: "
            f"it lacks {', '.join(missing)} (docs/worlds.md)"
        )
