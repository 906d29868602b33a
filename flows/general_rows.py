"""Load a training mixture's general rows: from a user's file, or from the world's expert."""

from __future__ import annotations

import random
from pathlib import Path

from agent_r.algorithm.rows import Row
from agent_r.errors import ConfigError
from agent_r.settings import Config, TextCraftEnv, env_specs
from agent_r.training.mixture import read_general
from env_adapters.textcraft.demonstrations import demonstrations

ROWS_PER_EPISODE = 2  # one of acting, one of judging


async def general_rows(config: Config, *, seed: int) -> list[Row]:
    """Rows that keep what the model could do before; none where none are configured.

    Raises:
        ConfigError: the file cannot be read.
    """
    if not config.train.general:
        return []
    if config.train.general != "demonstrations":
        rows, most = read_general(Path(config.train.general)), config.train.general_rows
        return random.Random(seed).sample(rows, most) if len(rows) > most else rows
    episodes = -(-config.train.general_rows // ROWS_PER_EPISODE)
    return await demonstrations(_textcraft(config), episodes=episodes, seed=seed)


def check_general(config: Config) -> None:
    """Find out before hours of work whether they can be had.

    Raises:
        ConfigError: the file cannot be read, or no world has an expert for them.
    """
    if config.train.general == "demonstrations":
        _textcraft(config)
    elif config.train.general:
        read_general(Path(config.train.general))


def _textcraft(config: Config) -> TextCraftEnv:
    crafted = [world for world in env_specs(config.env) if isinstance(world, TextCraftEnv)]
    if not crafted:
        raise ConfigError(
            "train.general = 'demonstrations' is TextCraft's own: name a JSONL file instead"
        )
    return crafted[0]
