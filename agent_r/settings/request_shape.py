"""What a user says of a request to a server beyond its conversation."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from agent_r.settings.base import Settings

# Set elsewhere, where each of our requests says its own.
_ELSEWHERE = {
    "model": "endpoint.model",
    "messages": "the conversation",
    "n": "endpoint.n and search.candidates",
    "stream": "endpoint.stream",
    "temperature": "search.temperature and critique.temperature",
    "max_tokens": "search.max_tokens and critique.max_tokens",
    "max_completion_tokens": "search.max_tokens and critique.max_tokens",
    "seed": "seed",
    "top_p": "endpoint.top_p",
    "stop": "endpoint.stop",
}
# Of keys in a request's body, those that change no reply.
BOOKKEEPING = frozenset(
    "user metadata store service_tier prompt_cache_key safety_identifier priority usage "
    "cache_prompt id_slot keep_alive request_id timeout".split()
)
_SECRET = re.compile(r"auth|key|token|secret|passw|credential|cookie|signature", re.IGNORECASE)
_HELD = re.compile(r"\$\{?([A-Za-z_]\w*)\}?|\bblock:([a-z0-9-]+)")


class RequestShape(Settings):
    """Mixed into an endpoint's settings."""

    extra_body: dict[str, Any] = Field(
        {},
        description="more for the body of each request, any JSON: chat_template_kwargs, "
        "reasoning_effort, top_k, min_p, provider",
    )
    headers: dict[str, str] = Field(
        {},
        description="more headers; `$NAME` in a value is an environment variable, `block:NAME` a "
        "Prefect Secret block: a secret is never a setting",
    )
    query: dict[str, str] = Field(
        {},
        description="after the address of each request, as Azure's api-version; a value may name "
        "a variable or a block as those of headers do",
    )
    auth_header: str = Field(
        "",
        description="the header that holds the key, bare, such as api-key; empty: Authorization, "
        "after the word Bearer",
    )
    top_p: float | None = Field(
        None, gt=0, le=1, description="nucleus sampling; empty: as the server does"
    )
    stop: tuple[str, ...] = Field((), description="texts that end a reply")
    n: Literal["auto", 1] = Field(
        "auto", description="replies of one request: as many as are needed where the server can; 1"
    )

    @field_validator("extra_body")
    @classmethod
    def _each_setting_has_one_place(cls, body: dict[str, Any]) -> dict[str, Any]:
        for name in body.keys() & _ELSEWHERE.keys():
            raise ValueError(f"`{name}` is set by {_ELSEWHERE[name]}")
        return body

    @field_validator("headers", "query")
    @classmethod
    def _no_secret_is_a_setting(cls, values: dict[str, str]) -> dict[str, str]:
        """Settings are shown and stored, by Prefect too."""
        for name, value in values.items():
            if not re.fullmatch(r"[!-9;-~]+", name) or not value.isprintable():
                raise ValueError(f"{name!r} cannot be sent: a name without spaces, one line of text")
            if _SECRET.search(name) and value and not _HELD.search(value):
                raise ValueError(
                    f"the value of `{name}` may be a secret, and a secret is never a setting: "
                    "write \"$NAME\" for an environment variable, or \"block:NAME\" for a Prefect "
                    "Secret block"
                )
        return values

    @field_validator("auth_header")
    @classmethod
    def _a_header_has_a_name(cls, name: str) -> str:
        if name and not re.fullmatch(r"[\w-]+", name, re.ASCII):
            raise ValueError(f"{name!r} is no header's name")
        return name

    @model_validator(mode="after")
    def _stops_are_texts(self) -> Self:
        if not all(self.stop):
            raise ValueError("stop: an empty text would end each reply before it begins")
        return self

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that hold values of headers and the query."""
        return tuple(variable for variable, _ in self._holders() if variable)

    @property
    def blocks(self) -> tuple[str, ...]:
        """The Prefect Secret blocks that do."""
        return tuple(block for _, block in self._holders() if block)

    def _holders(self) -> list[tuple[str, str]]:
        values = [*self.headers.values(), *self.query.values()]
        return list(dict.fromkeys(held for value in values for held in _HELD.findall(value)))

    def replies_depend_on(self) -> dict[str, Any]:
        """What of all this changes a reply: not how a request is let in, or where to."""
        changing = {
            "extra_body": {k: v for k, v in self.extra_body.items() if k not in BOOKKEEPING},
            "top_p": self.top_p,
            "stop": list(self.stop),
        }
        return {name: value for name, value in changing.items() if value not in (None, {}, [])}


def filled(values: dict[str, str], variables: dict[str, str], blocks: dict[str, str]) -> dict[str, str]:
    """Headers or a query with what their values name.

    >>> filled({"X-Key": "Key $MINE", "X-Title": "mine"}, {"MINE": "abc"}, {})
    {'X-Key': 'Key abc', 'X-Title': 'mine'}
    """

    def value_of(holder: re.Match[str]) -> str:
        variable, block = holder.groups()
        return variables[variable] if variable else blocks[block]

    return {name: _HELD.sub(value_of, value) for name, value in values.items()}
