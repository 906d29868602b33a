"""Load a training mixture's general rows: chats of a file or the Hub, or of the world's expert."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from agent_r import files
from agent_r.algorithm.rows import Row
from agent_r.config import digest
from agent_r.errors import ConfigError
from agent_r.settings import Config, SingleEnv, env_specs
from agent_r.training.general import GeneralSource, check_readable, draw_general
from env_adapters import DEMONSTRATED, ROWS_PER_EPISODE, demonstrations_of

DEMONSTRATIONS = "demonstrations"


class General(BaseModel):
    """The rows drawn, and where they come from."""

    rows: list[Row] = []
    source: GeneralSource | None = None


GENERAL = TypeAdapter(General)


async def general_rows(config: Config, *, seed: int, folder: Path | None = None) -> General:
    """Rows that keep what the model could do before; none where none are configured.

    What was drawn from a dataset on the Hub is kept in `folder`: a run that goes on mixes the same
    rows, whatever has become of the dataset since.

    Raises:
        ConfigError: they cannot be read.
    """
    train = config.train
    if not train.general:
        return General()
    if train.general == DEMONSTRATIONS:
        rows = await _demonstrations(config, seed)
        return General(rows=rows, source=GeneralSource(name=DEMONSTRATIONS, drawn=len(rows)))
    if folder is None or Path(train.general).exists():
        return await asyncio.to_thread(_drawn, config, seed)
    asked = digest(train.general, train.general_split, train.general_subset, train.general_rows)
    kept = folder / f"general-{seed}-{asked}.json"
    if (known := files.load(kept, GENERAL)) is None:
        known = await asyncio.to_thread(_drawn, config, seed)
        files.save(kept, GENERAL, known)
    return known


async def _demonstrations(config: Config, seed: int) -> list[Row]:
    """As many of each world that has them."""
    worlds = _demonstrated(config)
    episodes = -(-config.train.general_rows // (ROWS_PER_EPISODE * len(worlds)))
    rows = [await demonstrations_of(world, episodes=episodes, seed=seed) for world in worlds]
    return [row for of_world in rows for row in of_world]


def _drawn(config: Config, seed: int) -> General:
    rows, source = draw_general(config.train, seed=seed)
    return General(rows=rows, source=source)


def check_general(config: Config) -> None:
    """Find out before hours of work whether they can be had.

    Raises:
        ConfigError: they cannot be read, or no world has an expert for them.
    """
    if config.train.general == DEMONSTRATIONS:
        _demonstrated(config)
    elif config.train.general:
        check_readable(config.train)


def _demonstrated(config: Config) -> list[SingleEnv]:
    found = [world for world in env_specs(config.env) if world.kind in DEMONSTRATED]
    if not found:
        raise ConfigError(
            f"train.general = 'demonstrations' is for {' and '.join(DEMONSTRATED)} alone: name a "
            "file or a dataset instead"
        )
    return found
