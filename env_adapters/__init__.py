"""Worlds: a folder or a file each, translation only. `world_of` is the only registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from pydantic import TypeAdapter

from agent_r.environment import Environment, World
from agent_r.errors import ConfigError, DatasetError
from agent_r.settings import SingleEnv

# kind: module and function that makes its world; loaded when needed, for extras may be missing.
WORLDS = {
    "textcraft": "textcraft.world:textcraft",
    "shop": "shop.environment:shop",
    "scienceworld": "scienceworld.environment:scienceworld",
    "textworld-express": "textworld_express:textworld_express",
    "agentgym": "agentgym.environment:agentgym",
    "openenv": "openenv.environment:openenv",
    "gymnasium": "gymnasium.environment:gymnasium",
    "python": "python_factory:python",
}
DEMONSTRATED = ("textcraft", "shop")  # their experts show rows to begin with, and to mix with
ROWS_PER_EPISODE = 2  # that are shown: one of acting, one of judging
_SPEC: TypeAdapter[SingleEnv] = TypeAdapter(SingleEnv)


def world_of(spec: SingleEnv) -> World:
    """The world that a setting asks for; it is the caller's to close.

    Raises:
        ConfigError, ExtraMissing: the setting, or an import, is not to be had here.
    """
    module, _, function = WORLDS[spec.kind].partition(":")
    make: Callable[[Any], World] = getattr(import_module(f"env_adapters.{module}"), function)
    return make(spec)


def make_env(spec: SingleEnv) -> Environment:
    """An environment of a world that shares nothing, and so has nothing else to close."""
    return world_of(spec).environment()


async def demonstrations_of(spec: SingleEnv, *, episodes: int, seed: int) -> list[dict[str, Any]]:
    """Training rows of a world's expert, on goals that are neither explored nor tested.

    Raises:
        KeyError: it is none of those `DEMONSTRATED`.
    """
    if spec.kind not in DEMONSTRATED:
        raise KeyError(spec.kind)
    shown: Any = import_module(f"env_adapters.{spec.kind}.demonstrations")
    rows: list[dict[str, Any]] = await shown.demonstrations(spec, episodes=episodes, seed=seed)
    return rows


def world_of_manifest(entry: dict[str, Any], own: Sequence[SingleEnv] = ()) -> World:
    """The world that a dataset was made in, from its entry in the manifest.

    `own` are worlds of the reader's own settings: one of the same name goes before the entry,
    which knows neither folders nor addresses.

    Raises:
        ConfigError: it needs an address or a folder, or is another version now.
        DatasetError: the entry names no world of ours.
    """
    try:
        name, expected, settings = entry["name"], entry["version"], dict(entry["settings"])
        kind = settings["kind"]
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError("the manifest names a world that is not known here") from error
    for spec in own:
        world = world_of(spec)
        if world.environment().info.name == name:
            return _checked(world, name, expected)
    if kind not in WORLDS:
        raise DatasetError(f"the manifest names a world of kind '{kind}', not known here")
    try:
        if settings.get("recipes") == "folder" or settings.get("arguments"):
            raise ValueError("a folder, or arguments, that the manifest does not say")
        world = world_of(_SPEC.validate_python(settings))
    except ValueError as error:
        raise ConfigError(
            f"'{name}' needs more than the manifest says (an address, a folder, arguments): "
            "give its [env] with --config"
        ) from error
    return _checked(world, name, expected)


def _checked(world: World, name: str, expected: str) -> World:
    version = world.environment().info.version
    if version != expected:
        raise ConfigError(f"the dataset was made in {name} {expected}, this is {version}")
    return world
