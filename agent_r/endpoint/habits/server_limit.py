"""Ask a server how long its context is, in each of the ways in which servers say so."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeAlias

import openai

from agent_r.endpoint.habits.token_estimate import TokenEstimate
from agent_r.endpoint.responses import Server

# GET or POST (where there is a body) of an address; the answer's text, "" where there is none.
Fetch: TypeAlias = Callable[[str, Mapping[str, str] | None], Awaitable[str]]

# vLLM and SGLang; LM Studio, as loaded; OpenRouter, Together; Groq; Mistral; LiteLLM; Gemini.
_NAMES = (
    *("max_model_len", "loaded_context_length", "context_length", "context_window"),
    *("max_context_length", "max_input_tokens", "inputTokenLimit"),
)
_NUM_CTX = re.compile(r"^num_ctx\s+(\d+)", re.MULTILINE)


class ServerLimit:
    """Asks one server once, when somebody wants to know."""

    def __init__(self, client: openai.AsyncOpenAI, server: Server, estimate: TokenEstimate) -> None:
        self._client, self._server, self._estimate = client, server, estimate
        self._tokens: int | None = None
        self._asked = False

    async def tokens(self) -> int | None:
        """Of its context; None where it does not say."""
        if not self._asked:
            self._asked = True
            self._tokens = await context_limit(self._page, self._server.url, self._server.model)
        return self._tokens

    async def chars(self) -> float | None:
        """That it holds, about."""
        tokens = await self.tokens()
        return tokens and tokens * self._estimate.chars_a_token

    async def _page(self, url: str, body: Mapping[str, str] | None) -> str:
        try:
            if body is None:
                return await self._client.get(url, cast_to=str)
            return await self._client.post(url, body=dict(body), cast_to=str)
        except openai.OpenAIError:
            return ""


async def context_limit(fetch: Fetch, base_url: str, model: str) -> int | None:
    """Tokens of the context that the model is served with; None where nobody says.

    What a model could have (Ollama's `context_length` of its weights) is not what it is served
    with, and is not asked for.
    """
    root = re.sub(r"/v1/?$", "", base_url.rstrip("/"))
    asked: list[tuple[str, Mapping[str, str] | None, Callable[[Any, str], int | None]]] = [
        (f"{base_url.rstrip('/')}/models", None, _of_list),
        (f"{root}/props", None, _of_props),
        (f"{root}/api/v0/models", None, _of_list),
        (f"{root}/api/ps", None, _of_list),
        (f"{root}/api/show", {"model": model}, _of_show),
    ]
    for url, body, read in asked:
        try:
            page = json.loads(await fetch(url, body))
        except (ValueError, RecursionError):
            continue
        if limit := read(page, model):
            return limit
    return None


def _of_list(page: Any, model: str) -> int | None:
    """A row of the model's own; Ollama's running ones have theirs under `models`."""
    for row in _rows(page):
        names = {str(row.get(key, "")) for key in ("id", "name", "model", "root")}
        if not names & {model, f"{model}:latest", f"models/{model}"}:
            continue
        places = (row, row.get("top_provider"), row.get("meta"))
        for place in places:
            for name in _NAMES:
                if isinstance(place, dict) and (limit := _count(place.get(name))):
                    return limit
    return None


def _rows(page: Any) -> Iterator[dict[str, Any]]:
    rows = page
    if isinstance(page, dict):
        rows = page.get("data") or page.get("models")
    yield from (row for row in rows if isinstance(row, dict)) if isinstance(rows, list) else ()


def _of_props(page: Any, model: str) -> int | None:
    """llama.cpp: of a slot, which is what one conversation has."""
    settings = page.get("default_generation_settings") if isinstance(page, dict) else None
    return _count(settings.get("n_ctx")) if isinstance(settings, dict) else None


def _of_show(page: Any, model: str) -> int | None:
    """Ollama: a setting in the model's file."""
    parameters = page.get("parameters") if isinstance(page, dict) else None
    found = _NUM_CTX.search(parameters) if isinstance(parameters, str) else None
    return int(found[1]) if found else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
