"""The OpenAI chat protocol: the fields of a request, and the JSON of a reply."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agent_r.local_model.generation import (
    MAX_SAMPLES,
    Generation,
    GenerationRequest,
    Sample,
)
from agent_r.local_model.text import ChatTokenizer
from agent_r.local_model.token_sampling import TOP_LOGPROBS

Json = dict[str, Any]

# Parameters that change an answer and are not implemented: refused, never silently ignored.
UNSUPPORTED = (
    "frequency_penalty",
    "functions",
    "logit_bias",
    "presence_penalty",
    "response_format",
    "tools",
)


class ApiError(Exception):
    """An error of a request, in OpenAI's shape."""

    def __init__(self, status: int, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def body(self) -> Json:
        """The JSON of the reply."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        message = " ".join(str(self).split())
        return {"error": {"message": message, "type": kind, "param": None, "code": self.code}}


class TextPart(BaseModel):
    """A piece of a message that is given as a list."""

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One turn of the conversation."""

    role: str
    content: str | list[TextPart]

    def plain(self) -> dict[str, str]:
        """The message as the chat template reads it: role and text."""
        if isinstance(self.content, str):
            return {"role": self.role, "content": self.content}
        return {"role": self.role, "content": "".join(part.text for part in self.content)}


class StreamOptions(BaseModel):
    """Options of a streamed reply."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """The body of POST /v1/chat/completions."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    n: Annotated[int, Field(ge=1, le=MAX_SAMPLES)] | None = None
    temperature: Annotated[float, Field(ge=0, le=100)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=TOP_LOGPROBS)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @model_validator(mode="after")
    def _refuse_what_is_ignored(self) -> ChatRequest:
        for name in UNSUPPORTED:
            value = (self.model_extra or {}).get(name)
            if value and value != {"type": "text"}:
                raise ValueError(f"{name} is not supported by this server")
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs to be true")
        return self

    def generation(self, tokenizer: ChatTokenizer) -> GenerationRequest:
        """Translate the request for the engine."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return GenerationRequest(
            prompt=tuple(tokenizer.encode_chat([message.plain() for message in self.messages])),
            n=self.n or 1,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=self.seed,
            stop=tuple(stop),
            top_logprobs=(self.top_logprobs or 0) if self.logprobs else None,
        )


def envelope(model: str, *, chunk: bool = False) -> Json:
    """The fields that every reply, or every chunk of one reply, begins with."""
    now = time.time_ns()
    return {
        "id": f"chatcmpl-{now:x}",
        "object": "chat.completion.chunk" if chunk else "chat.completion",
        "created": now // 10**9,
        "model": model,
    }


def usage(generation: Generation) -> Json:
    """Count the tokens read, written and found in the prefix cache; an end token counts too."""
    written = sum(len(sample.tokens) for sample in generation.samples)
    return {
        "prompt_tokens": generation.prompt_tokens,
        "completion_tokens": written,
        "total_tokens": generation.prompt_tokens + written,
        "prompt_tokens_details": {"cached_tokens": generation.cached_tokens},
    }


def reply(model: str, generation: Generation, tokenizer: ChatTokenizer, *, logs: bool) -> Json:
    """The JSON of a whole reply."""
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": sample.text},
            "finish_reason": sample.finish_reason,
            "logprobs": logprobs(sample, tokenizer) if logs else None,
        }
        for index, sample in enumerate(generation.samples)
    ]
    return envelope(model) | {"choices": choices, "usage": usage(generation)}


def delta(
    index: int, content: Json, *, finish: str | None = None, logs: Json | None = None
) -> Json:
    """The choices of one chunk of a streamed reply."""
    choice = {"index": index, "delta": content, "finish_reason": finish, "logprobs": logs}
    return {"choices": [choice]}


def logprobs(sample: Sample, tokenizer: ChatTokenizer) -> Json:
    """A sample's log-probabilities at temperature 1, one entry a token."""

    def entry(token: int, logprob: float) -> Json:
        text = tokenizer.token_text(token)
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    content = [
        entry(step.token, step.logprob) | {"top_logprobs": [entry(*best) for best in step.top]}
        for step in sample.logprobs
    ]
    return {"content": content}
