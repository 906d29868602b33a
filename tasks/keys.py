"""The key of an endpoint: from a block of Prefect's, else from the environment."""

from __future__ import annotations

from agent_r.config import read_key
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
