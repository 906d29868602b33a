"""What a user says of a request to a server beyond its conversation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

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
_LOOKS_SECRET = re.compile(r"\b(bearer|basic)\s|\b(sk|gsk|xai|hf|nvapi)[-_]\w{8}|[\w+/-]{32}", re.I)
_HELD = re.compile(r"\$\{?([A-Za-z_]\w*)\}?|\bblock:([a-z0-9-]+(?:/[a-z0-9-]+)?)")


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
        {}, description="after the address of each request, as Azure's api-version"
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
        try:
            json.dumps(body, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"this is no JSON: {error}") from error
        return body

    @field_validator("headers", "query", mode="before")
    @classmethod
    def _a_date_is_a_text_too(cls, values: Any) -> Any:
        """TOML reads 2024-10-21 as a date, and 3 as a number."""
        if not isinstance(values, dict):
            return values
        return {n: v if isinstance(v, str | dict | list) else str(v) for n, v in values.items()}

    @field_validator("headers", "query")
    @classmethod
    def _no_secret_is_a_setting(
        cls, values: dict[str, str], info: ValidationInfo
    ) -> dict[str, str]:
        """Settings are shown and stored, by Prefect too; addresses are in every log."""
        for name, value in values.items():
            if not re.fullmatch(r"[!-9;-~]+", name) or not value.isprintable():
                raise ValueError(f"{name!r} cannot be sent: no white space in a name, one line")
            secret = _SECRET.search(name) or _LOOKS_SECRET.search(value)
            held = info.field_name == "headers" and _HELD.search(value)
            if value and secret and not held:
                raise ValueError(
                    f"the value of `{name}` may be a secret, and a secret is never a setting: in "
                    "headers write '$NAME' for a variable, 'block:NAME' for a Prefect block"
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
    def variables(self) -> list[str]:
        """The environment variables that hold values of headers."""
        return [variable for variable, _ in self._holders() if variable]

    @property
    def blocks(self) -> list[str]:
        """The Prefect blocks that do."""
        return [block for _, block in self._holders() if block]

    def _holders(self) -> list[tuple[str, str]]:
        found = (holder for value in self.headers.values() for holder in _HELD.findall(value))
        return list(dict.fromkeys(found))

    def replies_depend_on(self) -> dict[str, Any]:
        """What of all this changes a reply: not how a request is let in, or where to."""
        changing = {
            "extra_body": {k: v for k, v in self.extra_body.items() if k not in BOOKKEEPING},
            "top_p": self.top_p,
            "stop": list(self.stop),
        }
        return {name: value for name, value in changing.items() if value not in (None, {}, [])}


def filled(values: Mapping[str, str], held: Mapping[str, str]) -> dict[str, str]:
    """Headers with what their values name.

    >>> filled({"X-Key": "Key $MINE", "X-Title": "mine"}, {"MINE": "abc"})
    {'X-Key': 'Key abc', 'X-Title': 'mine'}
    """
    return {
        name: _HELD.sub(lambda holder: held[holder[1] or f"block:{holder[2]}"], value)
        for name, value in values.items()
    }
