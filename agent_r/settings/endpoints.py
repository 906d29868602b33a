"""Who acts, and where it is asked."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from agent_r.settings.base import Fraction, Positive, Settings, is_none
from agent_r.settings.grammars import check_tags
from agent_r.settings.request_shape import RequestShape
from agent_r.settings.serving import ServingConfig


class EmbeddedEndpoint(Settings):
    """The small model that comes with this package, served on loopback for the length of a run."""

    kind: Literal["embedded"] = Field("embedded", description="nothing to set up")
    checkpoint: str = Field("", description="a model folder; empty: the one in the package")
    threads: Positive = Field(2, description="CPU threads of the model's server")
    concurrency: Positive = Field(48, description="requests in flight, at most")


class OpenAIEndpoint(RequestShape):
    """Any OpenAI-compatible server."""

    kind: Literal["openai"] = Field("openai", description="a server of your own, or a provider's")
    base_url: str = Field(description="with its /v1, e.g. http://localhost:8000/v1")
    alias: str = Field(
        "",
        description="what datasets call the model, where the server's name for it is a path",
    )
    model: str = Field(
        description="the model's name as the server knows it; `{iteration}` becomes the number of "
        "fine-tunings so far (0 at first), so that your training job can register the next one"
    )
    api_key_env: str = Field("OPENAI_API_KEY", description="environment variable with the key")
    api_key_block: str = Field(
        "", description="Prefect block with the key: NAME of a Secret, or agent-r-endpoint/NAME"
    )
    concurrency: Positive | Literal["auto"] = Field(
        32, description="requests in flight, at most; `auto` finds out how many are answered best"
    )
    timeout_s: float = Field(120.0, gt=0, description="seconds that one reply may take")
    attempts: Positive = Field(6, description="tries of one request before it is given up")
    patience_s: float = Field(
        180.0, gt=0, description="seconds in which nobody is answered, until the run is stopped"
    )
    reasoning_tags: tuple[str, ...] = Field(
        (),
        description="tags that the model reasons in, besides `think` and the other usual ones: "
        "`mull` for <mull>…</mull>, or two marks with a space between, `[MULL] [/MULL]`",
    )
    send_reasoning: bool = Field(
        False,
        description="send the actor's reasoning back with each of its turns, as "
        "`reasoning_content`: only for servers that demand it",
    )
    system: Literal["auto", "keep", "merge"] = Field(
        "auto",
        description="the instruction as a system message; `merge`: in the first user turn; `auto` "
        "finds out what the model's chat template takes",
    )
    stream: Literal["auto", "never", "always"] = Field(
        "auto", description="replies in pieces; `auto`: where the server gives none otherwise"
    )
    serving: ServingConfig | None = Field(
        None,
        exclude_if=is_none,
        description="what is done so that the server answers with the newly trained model",
    )
    prompt_price: float = Field(0.0, ge=0, description="money for a million prompt tokens")
    completion_price: float = Field(0.0, ge=0, description="money for a million sampled tokens")

    _found = field_validator("reasoning_tags")(check_tags)

    @field_validator("base_url")
    @classmethod
    def _no_secret_in_the_address(cls, url: str) -> str:
        """Settings are shown and stored, by Prefect too."""
        if re.match(r"(https?://)?[^/?#]*@", url):
            raise ValueError("no user or password belongs in an address: api_key_env names the key")
        if not url.isprintable() or " " in url:
            raise ValueError("white space or control characters in an address")
        return url


class ScriptedEndpoint(Settings):
    """No model at all: an expert with seeded mistakes, for tests and for checking a world."""

    kind: Literal["scripted"] = Field("scripted", description="no model, no server")
    error_rate: Fraction = Field(0.35, description="share of steps that are mistakes")
    concurrency: Positive = Field(8, description="trees at once, at most")


Endpoint = EmbeddedEndpoint | OpenAIEndpoint | ScriptedEndpoint
