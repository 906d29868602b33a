"""Secrets that Prefect keeps: blocks, named in the settings."""

from __future__ import annotations

from typing import Any

from agent_r.errors import ConfigError


async def secret_of(block: str) -> str:
    """What a Prefect Secret block holds.

    Raises:
        ConfigError: there is no such block.
    """
    from prefect.blocks.system import Secret

    try:
        held: Any = await Secret.aload(block)
    except ValueError as error:
        raise ConfigError(f"no Prefect Secret block '{block}'") from error
    return str(held.get())
