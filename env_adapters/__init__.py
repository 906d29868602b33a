"""Worlds: one file each, translation only. `make_env` is the only registry."""

from __future__ import annotations

from typing import Any

from agent_r.environment import Environment
from agent_r.errors import ConfigError, DatasetError
from agent_r.settings import EnvSpec
from env_adapters.textcraft import TextCraft


def make_env(spec: EnvSpec) -> Environment:
    """A fresh environment; every tree and every episode has one of its own."""
    return TextCraft(spec)


def env_of_manifest(world: dict[str, Any], *, recipes: str = "") -> Environment:
    """A world that a dataset was made in, from its entry in the manifest.

    Raises:
        ConfigError: the world was made from a folder that is not given, or is another version now.
        DatasetError: the entry names no world of ours.
    """
    try:
        values = EnvSpec.model_validate(world["settings"]).model_dump()
        expected = str(world["version"])
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError("the manifest names a world that is not known here") from error
    if recipes:
        values["recipes"] = recipes
    if values["recipes"] == "folder":
        raise ConfigError("this dataset was made with a folder of recipes: name it with --recipes")
    env = make_env(EnvSpec.model_validate(values))
    if env.info.version != expected:
        raise ConfigError(
            f"the dataset was made in {env.info.name} {expected}, this is {env.info.version}"
        )
    return env
