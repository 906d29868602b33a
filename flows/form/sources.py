"""Find the settings that a run stands on, by the one name that a person gives for them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from agent_r.collection.object_store import ObjectStore
from agent_r.config import PRESETS, Table, read_table, toml_table
from agent_r.errors import ConfigError
from flows.form.limits import inside
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
    if (path := _file(name)) is not None:
        return read_table(path)
    here = ", ".join([*PRESETS, *sorted(path.stem for path in CONFIGS.glob("*.toml"))])
    raise ConfigError(f"no settings are called '{name}': here are {here}; or give a TOML file")


def is_own(base: str) -> bool:
    """Whether these are settings of this machine's: a preset, or a file in the current folder."""
    name = base.strip()
    return not name or name in PRESETS or bool(file_of(name) and inside(file_of(name)[0]))


def file_of(base: str) -> tuple[str, ...]:
    """The file that these settings are read from, where it is one."""
    path = None if base.strip() in ("", *PRESETS) else _file(base.strip())
    return (str(path),) if path is not None else ()


def _file(name: str) -> Path | None:
    if not re.fullmatch(r"[^={]+", name):
        return None
    paths = (Path(name), CONFIGS / f"{name}.toml")
    return next((path for path in paths if path.is_file()), None)


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
