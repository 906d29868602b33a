"""Map an endpoint's refusal, or its silence, to the setting that a person should change."""

from __future__ import annotations

import re

from agent_r.endpoint.habits.streaming import demands_stream
from agent_r.errors import (
    ContextOverflow,
    ConversationRefused,
    EndpointError,
    EndpointRejected,
    EndpointUnavailable,
)
from agent_r.settings import OpenAIEndpoint

_SYSTEM = re.compile(r"system.{0,40}(role|prompt|message|instruction|support)|"
                     r"(role|support).{0,40}\bsystem\b|roles must alternate",
                     re.IGNORECASE)  # fmt: skip
_TEMPLATE = re.compile(r"chat.?template", re.IGNORECASE)
_CREDIT = re.compile(r"credit|insufficient.?(balance|quota|funds)|billing|payment", re.IGNORECASE)
_KEY = re.compile(r"\bapi.?key\b.{0,20}\b(not (valid|found)|invalid|missing)|invalid.{0,5}api.?key",
                  re.IGNORECASE)  # fmt: skip
_NO_JSON = re.compile(r"not JSON|without choices")


def remedy(error: EndpointError, endpoint: OpenAIEndpoint, *, max_tokens: int) -> str:
    """What to change after a request could not be answered; `max_tokens` is what it asked for."""
    if isinstance(error, ContextOverflow):
        return (
            f"the world's first prompt and search.max_tokens = {max_tokens} do not fit the model's "
            "context: serve it with a longer one (vLLM --max-model-len, llama.cpp -c, Ollama "
            "num_ctx), lower search.max_tokens, or choose a world with shorter texts"
        )
    if isinstance(error, EndpointRejected):
        return _of_refusal(error, endpoint)
    if isinstance(error, EndpointUnavailable):
        return _of_silence(str(error), endpoint)
    return "the server's own words above say why"


def surely_refused(error: EndpointRejected) -> bool:
    """Whether every conversation would be refused as this one is: a policy's is its own."""
    if isinstance(error, ConversationRefused) and not isinstance(error, ContextOverflow):
        return bool(_SYSTEM.search(str(error)) or _TEMPLATE.search(str(error)))
    return True


def _of_refusal(error: EndpointRejected, endpoint: OpenAIEndpoint) -> str:
    words = str(error)
    if error.status == 402 or _CREDIT.search(words):
        return "the provider's account needs credit, or set another endpoint.model"
    forbidden = error.status == 403 and not _SYSTEM.search(words)
    if error.status == 401 or forbidden or _KEY.search(words):
        holder = f"the variable ${endpoint.api_key_env} (endpoint.api_key_env names it)"
        if endpoint.api_key_block:
            holder = f"the Prefect block '{endpoint.api_key_block}' (endpoint.api_key_block)"
        elsewhere = "; the header that holds it is endpoint.auth_header"
        return f"put a key that may use this model into {holder}{elsewhere}"
    if "does not serve the model" in words or "it serves " in words:
        return "set endpoint.model to a name that the server knows"
    if error.status == 404 and "/v1" not in endpoint.base_url:
        return f"set endpoint.base_url = '{endpoint.base_url.rstrip('/')}/v1'"
    if error.status in (404, 405):
        return (
            "correct endpoint.base_url: it ends where /chat/completions is to follow, mostly in /v1"
        )
    if error.status == 429:
        return "the provider's account needs credit, or set another endpoint.model"
    if _SYSTEM.search(words):
        return (
            "the model's chat template takes no system message: set endpoint.system = 'merge' or "
            "'auto', or start the server with a template that does (vLLM --chat-template, "
            "llama.cpp --chat-template-file)"
        )
    if demands_stream(words):
        return "set endpoint.stream = 'always'"
    if _TEMPLATE.search(words):
        return (
            "the model has no chat template: serve an instruct or chat model, or start the server "
            "with a template (vLLM --chat-template, llama.cpp --chat-template-file)"
        )
    return "the server does not take the request as it is sent: its own words above say what"


def _of_silence(cause: str, endpoint: OpenAIEndpoint) -> str:
    if "timed out" in cause:
        return (
            f"no reply within endpoint.timeout_s = {endpoint.timeout_s:g}: raise it, lower "
            "search.max_tokens, or turn the model's thinking off"
        )
    if _NO_JSON.search(cause):
        return "what answers is no chat completion: correct endpoint.base_url, mostly in /v1"
    if "HTTP 429" in cause:
        return "the server has too much to do: lower endpoint.concurrency, or try again later"
    if "HTTP 5" in cause:
        return "the server fails by itself: its log says why; try again when it is mended"
    return "nobody answers there: start the server, or correct endpoint.base_url"
