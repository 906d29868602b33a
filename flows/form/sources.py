"""Find the settings that a run stands on, by the one name that a person gives for them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from agent_r.collection.object_store import ObjectStore
from agent_r.config import PRESETS, Table, read_table, toml_table
from agent_r.errors import ConfigError
from tasks.blocks import AgentRSettings, load

CONFIGS = Path("configs")
BLOCK = f"{AgentRSettings.get_block_type_slug()}/"


async def table_of(base: str) -> Table:
    """The settings of a preset, a file, a store, a block, or of the text itself.

    Raises:
        ConfigError: nothing is to be had under this name, or it is not TOML.
        StoreError: the store does not answer.
    """
    name = base.strip()
    if name in PRESETS or not name:
        return PRESETS[name or "default"]
    if re.match(r"\w+://", name):
        return toml_table(await _stored(name), source=name)
    if name.startswith("{"):
        return _json(name)
    if "=" in name:
        return toml_table(name, source="settings")
    if name.startswith(BLOCK):
        block = await load(AgentRSettings, name.removeprefix(BLOCK))
        return toml_table(block.toml, source=name)
    for path in (Path(name), CONFIGS / f"{name}.toml"):
        if path.is_file():
            return read_table(path)
    here = ", ".join([*PRESETS, *sorted(path.stem for path in CONFIGS.glob("*.toml"))])
    raise ConfigError(f"no settings are called '{name}': here are {here}; or give a TOML file")


async def _stored(address: str) -> str:
    folder, _, name = address.rpartition("/")
    content = await ObjectStore.at(folder).read(name)
    if content is None:
        raise ConfigError(f"there is no file {address}")
    return content.decode(errors="replace")


def _json(text: str) -> Table:
    """As another run hands them on."""
    try:
        table: Table = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"settings: that is neither TOML nor JSON: {error}") from error
    return table
