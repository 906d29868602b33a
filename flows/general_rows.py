"""Load a training mixture's general rows: chats of a file or the Hub, or of the world's expert."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from agent_r import files
from agent_r.algorithm.rows import Row
from agent_r.config import digest
from agent_r.errors import ConfigError
from agent_r.settings import Config, TextCraftEnv, env_specs
from agent_r.training.general import GeneralSource, check_readable, draw_general
from env_adapters.textcraft.demonstrations import demonstrations

DEMONSTRATIONS = "demonstrations"
ROWS_PER_EPISODE = 2  # one of acting, one of judging


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
        episodes = -(-train.general_rows // ROWS_PER_EPISODE)
        rows = await demonstrations(_textcraft(config), episodes=episodes, seed=seed)
        return General(rows=rows, source=GeneralSource(name=DEMONSTRATIONS, drawn=len(rows)))
    if folder is None or Path(train.general).exists():
        return await asyncio.to_thread(_drawn, config, seed)
    asked = digest(train.general, train.general_split, train.general_subset, train.general_rows)
    kept = folder / f"general-{seed}-{asked}.json"
    if (known := files.load(kept, GENERAL)) is None:
        known = await asyncio.to_thread(_drawn, config, seed)
        files.save(kept, GENERAL, known)
    return known


def _drawn(config: Config, seed: int) -> General:
    rows, source = draw_general(config.train, seed=seed)
    return General(rows=rows, source=source)


def check_general(config: Config) -> None:
    """Find out before hours of work whether they can be had.

    Raises:
        ConfigError: they cannot be read, or no world has an expert for them.
    """
    if config.train.general == DEMONSTRATIONS:
        _textcraft(config)
    elif config.train.general:
        check_readable(config.train)


def _textcraft(config: Config) -> TextCraftEnv:
    crafted = [world for world in env_specs(config.env) if isinstance(world, TextCraftEnv)]
    if not crafted:
        raise ConfigError(
            "train.general = 'demonstrations' is TextCraft's own: name a file or a dataset instead"
        )
    return crafted[0]
