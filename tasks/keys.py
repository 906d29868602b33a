"""What lets requests in at an endpoint: from blocks of Prefect's, else from the environment."""

from __future__ import annotations

from agent_r.config import read_held, read_key
from agent_r.settings import OpenAIEndpoint


async def key_of(endpoint: OpenAIEndpoint) -> str:
    """The key; Prefect is imported for a block alone.

    Raises:
        ConfigError: there is no such block, or it keeps no secret.
    """
    if not endpoint.api_key_block:
        return read_key(endpoint)
    from tasks.blocks import secret_of

    return await secret_of(endpoint.api_key_block)


async def held_of(endpoint: OpenAIEndpoint) -> dict[str, str]:
    """What its headers name, by `NAME` of a variable and `block:NAME`.

    Raises:
        ConfigError: a variable is not set, or there is no such block.
    """
    held = read_held(endpoint)
    for name in endpoint.blocks:
        from tasks.blocks import secret_of

        held[f"block:{name}"] = (await secret_of(name)).strip()
    return held
