"""Build the requests to an OpenAI-compatible server, and the client that sends them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import openai

from agent_r.actor import Message, SamplingParams, encodable
from agent_r.endpoint.access import Access
from agent_r.endpoint.responses import Server
from agent_r.endpoint.transport import Transport
from agent_r.errors import ConfigError
from agent_r.loopback import is_loopback
from agent_r.settings import OpenAIEndpoint

CONNECT_S = 10.0  # a host that drops packets is found out long before a slow reply is


def client_of(config: OpenAIEndpoint, server: Server, access: Access) -> openai.AsyncOpenAI:
    """The library's client, without its retries: for all that is asked only now and then.

    Raises:
        ConfigError: the address is no URL.
    """
    patience = config.timeout_s
    if not _is_web_address(config.base_url):
        line = f"base_url '{server.url}' is not an http:// or https:// URL"
        raise ConfigError(server.line(line))
    client = openai.AsyncOpenAI(
        api_key=server.key.get_secret_value(),
        base_url=config.base_url,
        default_query=access.query,
        timeout=openai.Timeout(patience, connect=min(CONNECT_S, patience)),
        max_retries=0,
        http_client=openai.DefaultAsyncHttpxClient(
            trust_env=not is_loopback(config.base_url), event_hooks={"request": [access.let_in]}
        ),
    )
    # The library takes these from the environment: what we send is ours to say.
    client.organization = client.project = None
    return client


def wire_of(config: OpenAIEndpoint, access: Access) -> Transport:
    """The connections that completions are requested over."""
    return Transport(
        config.base_url,
        access,
        timeout_s=config.timeout_s,
        connect_s=min(CONNECT_S, config.timeout_s),
    )


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def body_of(
    config: OpenAIEndpoint,
    messages: Sequence[Message],
    params: SamplingParams,
    *,
    reasoning: bool,
) -> dict[str, Any]:
    """A request for a chat completion; `reasoning` sends that of each turn back."""
    body: dict[str, Any] = {
        "model": config.model,
        "messages": [_turn(message, reasoning) for message in messages],
        "temperature": params.temperature,
        "max_tokens": params.max_tokens,
    }
    if params.seed is not None:
        body["seed"] = params.seed
    if config.top_p is not None:
        body["top_p"] = config.top_p
    if params.stop or config.stop:
        body["stop"] = [*params.stop, *config.stop]
    return body | config.extra_body


def _turn(message: Message, reasoning: bool) -> dict[str, str]:
    turn = {"role": message.role, "content": encodable(message.content)}
    if not (reasoning and message.role == "assistant"):
        return turn
    return turn | {"reasoning_content": encodable(message.reasoning)}


def reseeded(params: SamplingParams, k: int) -> SamplingParams:
    """Those of the k-th of several requests that together are one."""
    return params if params.seed is None else replace(params, seed=params.seed + k)
