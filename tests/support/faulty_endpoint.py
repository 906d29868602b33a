"""A real OpenAI-compatible server on loopback whose failures are scripted, and a client of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeAlias

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from agent_r.actor import Completion, Message, SamplingParams
from agent_r.endpoint.client import EndpointActor
from agent_r.settings import OpenAIEndpoint

KEY = "sk-test-0123456789"
HELLO = [Message("user", "Hello")]
PARAMS = SamplingParams(seed=7)
NOON = 1_700_000_000.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to go wrong; what is not set is as in a normal reply."""

    status: int = 200
    body: str | None = None  # sent as it is
    headers: Mapping[str, str] = field(default_factory=dict)
    content: str | None = "reply {k}"  # of each choice; k is its seed plus its place
    finish_reason: str = "stop"
    choices: int | None = None  # however many were asked for
    hang: bool = False  # until the client gives up
    drip: bool = False  # a byte now and then, for ever: never silent, never done
    cut: bool = False  # the connection ends in the middle of the reply

    @property
    def replaces_completion(self) -> bool:
        failed = self.status >= 400 or self.body is not None
        return failed or self.hang or self.drip or self.cut


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it arrived."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    query: dict[str, str] = field(default_factory=dict)


Script: TypeAlias = Iterable[Fault | None] | Callable[[Received], Fault | None]

HANG = Fault(hang=True)
DRIP = Fault(drip=True)
CUT = Fault(cut=True)
MALFORMED_JSON = Fault(body='{"choices": [{"mess')
NO_CHOICES = Fault(body='{"object": "chat.completion"}')
EMPTY_CHOICES = Fault(choices=0)
ONE_CHOICE = Fault(choices=1)
NULL_CONTENT = Fault(content=None)
MEGABYTE = Fault(content="x" * 1_000_000)
LONE_SURROGATES = Fault(content="a\ud800b\udfffc")  # json.dumps escapes them


def refusal(
    status: int,
    message: str = "scripted",
    *,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Fault:
    """An error in OpenAI's shape."""
    error = {"message": message, "type": "scripted_error", "param": None, "code": code}
    return Fault(status=status, body=json.dumps({"error": error}), headers=headers or {})


class FaultyEndpoint:
    """Serves `/v1/chat/completions` and `/v1/models`; use as a context manager.

    Args:
        script: faults of the first completions, in order of arrival (all later ones succeed), or
            a function of any request that gives its fault, None where there is none.
        models: names that `/v1/models` lists, and the only ones served; None: no such route, and
            any name is served.
        any_model: all others are served as well.
        prefix: of its routes, in place of `/v1`.
        ignores_n: every reply has one choice.
        says: the text of a choice, by the request's body and its place, in place of "reply …"; or
            the message with all that is odd about it, its `finish_reason` among it.
        delay_s: how long each completion takes.
        more: further routes, their paths with the prefix.
    """

    def __init__(
        self,
        script: Script = (),
        *,
        models: Sequence[str] | None = ("tiny",),
        any_model: bool = False,
        prefix: str = "/v1",
        ignores_n: bool = False,
        delay_s: float = 0.0,
        says: Callable[[dict[str, Any], int], str | dict[str, Any]] | None = None,
        more: Sequence[Route] = (),
    ) -> None:
        self._says = says
        self.received: list[Received] = []
        self.most_in_flight = 0
        self._in_flight = 0
        self._unseeded = itertools.count(1_000_000)
        self._fault = script if callable(script) else _in_order(script)
        self._models, self._ignores_n, self._delay_s = models, ignores_n, delay_s
        self._served = None if any_model else models
        # asyncio switches Nagle's delay off (40 ms a reply) only where the protocol is spelt out.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen()
        self.base_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}{prefix}"
        routes = [
            Route(f"{prefix}/chat/completions", self._complete, methods=["POST"]),
            Route(f"{prefix}/models", self._list_models),
            *more,
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), http="h11", ws="none", lifespan="off", log_config=None
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def completions(self) -> list[Received]:
        """The completion requests that arrived, in order."""
        return [r for r in self.received if r.path.endswith("/chat/completions")]

    def __enter__(self) -> Self:
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            if time.monotonic() > deadline:
                raise TimeoutError("the scripted server did not start")
            time.sleep(0.002)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Not joined: uvicorn takes a fifth of a second to go, and a test need not wait for it.
        self._server.should_exit = self._server.force_exit = True

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])

    async def _list_models(self, request: Request) -> Response:
        received = await self._receive(request)
        if fault := self._fault(received):
            return await _faulty(request, fault)
        if self._models is None:
            return Response(status_code=404)
        return JSONResponse({"object": "list", "data": [{"id": name} for name in self._models]})

    async def _complete(self, request: Request) -> Response:
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            received = await self._receive(request)
            fault = self._fault(received)
            await asyncio.sleep(self._delay_s)
            model = received.body["model"]
            if fault is None and self._served is not None and model not in self._served:
                fault = refusal(404, f"The model `{model}` does not exist.", code="model_not_found")
            if fault and fault.replaces_completion:
                return await _faulty(request, fault)
            return self._completion(received.body, fault or Fault())
        finally:
            self._in_flight -= 1

    async def _receive(self, request: Request) -> Received:
        body = await request.body()
        received = Received(
            request.url.path,
            json.loads(body) if body else {},
            dict(request.headers),
            dict(request.query_params),
        )
        self.received.append(received)
        return received

    def _completion(self, asked: dict[str, Any], fault: Fault) -> Response:
        n = 1 if self._ignores_n else asked.get("n", 1)
        n = n if fault.choices is None else fault.choices
        seed = asked["seed"] if "seed" in asked else next(self._unseeded)
        content = fault.content
        texts: list[Any] = [
            content and content.replace("{k}", str(seed + place)) for place in range(n)
        ]
        if self._says is not None and content == Fault().content:
            texts = [self._says(asked, place) for place in range(n)]
        said = [
            {"role": "assistant"} | (text if isinstance(text, dict) else {"content": text})
            for text in texts
        ]
        page = {
            "object": "chat.completion",
            "choices": [
                {
                    "index": place,
                    "finish_reason": message.pop("finish_reason", fault.finish_reason),
                    "message": message,
                }
                for place, message in enumerate(said)
            ],
            "usage": {
                "prompt_tokens": 10,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens": 3 * n,
                "total_tokens": 10 + 3 * n,
            },
        }
        # Not a JSONResponse: it refuses lone surrogates, which json.dumps escapes.
        return Response(json.dumps(page), media_type="application/json", headers=fault.headers)


def _in_order(faults: Iterable[Fault | None]) -> Callable[[Received], Fault | None]:
    """The faults go to completions alone: a list of models takes none of them."""
    left = iter(faults)
    return lambda received: next(left, None) if received.path.endswith("/completions") else None


async def _faulty(request: Request, fault: Fault) -> Response:
    if fault.hang:
        await request.receive()  # the body is read: the next message is that the client left
    if fault.drip:
        return StreamingResponse(_drops())
    if fault.cut:
        # Fewer bytes than were announced: the server can only close the connection.
        return StreamingResponse(_stump(), headers={"content-length": "1000"})
    return Response(
        fault.body or "", fault.status, dict(fault.headers), media_type="application/json"
    )


async def _drops() -> AsyncIterator[bytes]:
    while True:
        yield b" "
        await asyncio.sleep(0.02)


async def _stump() -> AsyncIterator[bytes]:
    yield b'{"choices": ['


class Bench:
    """A client of a scripted server, with the waits it would have made."""

    def __init__(self, server: FaultyEndpoint | None, settings: dict[str, Any]) -> None:
        self.waits: list[float] = []
        base_url = server.base_url if server else settings.pop("base_url")
        key = settings.pop("api_key", KEY)
        tokenizer = settings.pop("tokenizer", None)
        given = {"base_url": base_url, "model": "tiny", "attempts": 3, "timeout_s": 5.0}
        self.actor = EndpointActor(
            OpenAIEndpoint.model_validate(given | settings),
            api_key=key,
            tokenizer=tokenizer,
            rng=random.Random(0),
            sleep=self._sleep,
            clock=lambda: NOON,
        )

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def ask(self, n: int = 1, params: SamplingParams = PARAMS) -> list[Completion]:
        return await self.actor.complete(HELLO, n=n, params=params)


@asynccontextmanager
async def bench(
    script: Script = (), *, serve: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[tuple[Bench, FaultyEndpoint]]:
    with FaultyEndpoint(script, **(serve or {})) as server:
        made = Bench(server, settings)
        async with made.actor:
            yield made, server


def texts(replies: list[Completion]) -> list[str]:
    return [reply.text for reply in replies]
