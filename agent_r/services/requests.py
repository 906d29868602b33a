"""What is sent to an OpenAI-compatible server, and by what client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai

from agent_r.actor import Message, SamplingParams
from agent_r.errors import ConfigError
from agent_r.services.replies import Server, encodable
from agent_r.settings import OpenAIEndpoint

CONNECT_S = 10.0  # a host that drops packets is found out long before a slow reply is
# As many as there may be requests in flight; idle ones end no later than at most servers (5 s).
CONNECTIONS = httpx2.Limits(
    max_connections=4096, max_keepalive_connections=4096, keepalive_expiry=5.0
)


def client_of(config: OpenAIEndpoint, server: Server) -> openai.AsyncOpenAI:
    """The library's client, without its retries.

    Raises:
        ConfigError: the address is no URL, or the key cannot be sent in a header.
    """
    key, patience = server.key.get_secret_value(), config.timeout_s
    if not _is_web_address(config.base_url):
        line = f"base_url '{server.url}' is not an http:// or https:// URL"
        raise ConfigError(server.line(line))
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(
            f"the key in {server.key_holder} has characters that no HTTP header can carry"
        )
    timeout = openai.Timeout(patience, connect=min(CONNECT_S, patience))
    client = openai.AsyncOpenAI(
        api_key=key,
        base_url=config.base_url,
        timeout=timeout,
        max_retries=0,
        # Its other transport looks at every connection for every request: with 64 in flight that
        # doubles the CPU of a call, and past 100 it opens connections anew (client_cpu.py).
        http_client=openai.DefaultAioHttpClient(timeout=timeout, limits=CONNECTIONS),
    )
    # The library takes these from the environment: what we send is ours to say.
    client.organization = client.project = None
    return client


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def body_of(model: str, messages: Sequence[Message], params: SamplingParams) -> dict[str, Any]:
    """A request for a chat completion."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": m.role, "content": encodable(m.content)} for m in messages],
        "temperature": params.temperature,
        "max_tokens": params.max_tokens,
        **seed_of(params, 0),
    }
    return body | ({"stop": list(params.stop)} if params.stop else {})


def seed_of(params: SamplingParams, k: int) -> dict[str, int]:
    """The seed of the k-th of several requests that together are one."""
    return {} if params.seed is None else {"seed": params.seed + k}


def without(refused: set[str], body: dict[str, Any]) -> dict[str, Any]:
    """The body less what the model does not take; its token limit goes by another name there."""
    renamed = {"max_completion_tokens": body["max_tokens"]} if "max_tokens" in refused else {}
    return {name: value for name, value in body.items() if name not in refused} | renamed
