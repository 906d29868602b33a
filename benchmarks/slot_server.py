"""A model server with S slots that each take t seconds a request: what a client keeps busy of it.

The replies are those of the project's `ScriptedCrafter`, so trees and judgements are real, and one
request has one reply in whatever order requests come. The first line printed is the base URL.
A request waits first in, first out for a slot, and holds it for t: its reply is computed within
that time, not on top of it. `GET /stats` tells what the slots did, `POST /reset` forgets it, and
the prompts seen with it. Bare asyncio and a parser of the HTTP that clients send (a length, no
chunks), so that one core serves well over a thousand requests a second.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import math
import re
import socket
import time
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from agent_r.actor import Completion, Message, SamplingParams
from agent_r.errors import UnknownTask
from agent_r.settings import ScriptedEndpoint, TextCraftEnv
from env_adapters.textcraft.scripted import ScriptedCrafter

BUCKET_S = 0.5
BLOCK_CHARS = 64  # 16 tokens of 4 characters: what engines cache prompts by
CACHED_BLOCKS = 65_536  # a million tokens
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 429: "Too Many Requests"}
_LENGTH = re.compile(rb"\r\ncontent-length:\s*([0-9]+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:\s*close", re.IGNORECASE)


class PrefixCache:
    """Which beginnings of prompts an engine with automatic prefix caching would still hold."""

    def __init__(self) -> None:
        self._blocks: dict[int, None] = {}  # in order of last use

    def tokens(self, messages: Sequence[Message]) -> int:
        """Prompt tokens that earlier prompts left here; the prompt's own are kept from now on."""
        text = "".join(f"{m.role}\n{m.content}\n" for m in messages)
        seen, known, chain = 0, True, 0
        for end in range(BLOCK_CHARS, len(text) + 1, BLOCK_CHARS):
            chain = hash((chain, text[end - BLOCK_CHARS : end]))
            known = known and chain in self._blocks
            seen += known
            self._blocks.pop(chain, None)
            self._blocks[chain] = None
        while len(self._blocks) > CACHED_BLOCKS:
            del self._blocks[next(iter(self._blocks))]
        return seen * BLOCK_CHARS // 4


@dataclass(slots=True)
class Stats:
    """What the slots did with the requests that have ended; times are of the monotonic clock."""

    requests: int = 0
    samples: int = 0
    refused: int = 0  # 429: too many were waiting
    failed: int = 0  # 400: no conversation about TextCraft
    abandoned: int = 0  # their client left while they waited
    connections: int = 0  # accepted since the reset
    busy_slot_seconds: float = 0.0
    first_begin: float | None = None
    last_end: float = 0.0
    most_in_flight: int = 0  # running and waiting
    overran: int = 0  # replies that took longer to compute than t
    lag_s: float = 0.0  # by which replies went out after their slot's time was over, in all
    worst_lag_s: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    bucket_s: float = BUCKET_S
    busy_slots: list[float] = field(default_factory=list)  # slot-seconds in each bucket

    def occupied(self, begin: float, end: float) -> None:
        """A slot was held; the first to begin is the first to be told."""
        first = self.first_begin = begin if self.first_begin is None else self.first_begin
        self.last_end = max(self.last_end, end)
        self.busy_slot_seconds += end - begin
        at = begin - first
        while at < end - first:
            bucket = int(at / BUCKET_S)
            self.busy_slots += [0.0] * (bucket + 1 - len(self.busy_slots))
            until = min((bucket + 1) * BUCKET_S, end - first)
            self.busy_slots[bucket] += until - at
            at = until

    def report(self, slots: int) -> dict[str, Any]:
        """Means in place of sums; the last bucket is mostly a part of one."""
        span = self.last_end - (self.first_begin or 0.0)
        return asdict(self) | {
            "slots": slots,
            "occupancy": self.busy_slot_seconds / (slots * span) if span else 0.0,
            "busy_slots": [round(seconds / BUCKET_S, 2) for seconds in self.busy_slots],
            "mean_lag_s": self.lag_s / max(1, self.requests),
            "cached_share": self.cached_tokens / max(1, self.prompt_tokens),
        }


@dataclass(slots=True, eq=False)
class Call:
    """A request for completions, from its arrival until its reply is out."""

    connection: Connection
    body: bytes
    arrived: float
    stats: Stats  # of the time it came in: a reset does not see it
    begin: float = 0.0
    end: float = 0.0
    status: int = 200
    page: Any = None


class ConcurrencyLimiter:
    """The slots and their queue; `run` computes the replies, one after the other."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.actor = ScriptedCrafter(
            ScriptedEndpoint(error_rate=options.error_rate), TextCraftEnv()
        )
        self.loop = asyncio.get_running_loop()
        self.waiting: deque[Call] = deque()
        self.running = self.connected = 0
        self.to_compute: asyncio.Queue[Call] = asyncio.Queue()
        self.reset()

    def reset(self) -> None:
        self.stats, self.cache, self.passed = Stats(), PrefixCache(), 0
        self.cpu_before = time.process_time()

    def report(self) -> dict[str, Any]:
        return self.stats.report(self.options.slots) | {
            "seconds": self.options.seconds,
            "in_flight": self.running + len(self.waiting),
            "connected": self.connected,
            "server_cpu_s": time.process_time() - self.cpu_before,
        }

    def admit(self, connection: Connection, body: bytes) -> None:
        """Give a request a slot, a place in the queue, or a refusal."""
        counted = self.passed >= self.options.pass_over
        call = Call(connection, body, self.loop.time(), self.stats if counted else Stats())
        self.passed += 1
        if self.running < self.options.slots:
            self.begin(call, call.arrived)
        elif 0 < self.options.refuse_above <= len(self.waiting):
            self.refuse(call)
            return
        else:
            self.waiting.append(call)
        in_flight = self.running + len(self.waiting)
        self.stats.most_in_flight = max(self.stats.most_in_flight, in_flight)

    def refuse(self, call: Call) -> None:
        self.stats.refused += 1
        queued_s = len(self.waiting) / self.options.slots * self.options.seconds
        retry = f"retry-after: {max(1, math.ceil(queued_s))}\r\n"
        call.connection.answer(429, _error("too many requests are waiting"), headers=retry)

    def begin(self, call: Call, now: float) -> None:
        self.running += 1
        spread = self.options.jitter * (zlib.crc32(call.body, self.options.seed) / 2**31 - 1)
        call.begin, call.end = now, now + self.options.seconds * (1 + spread)
        self.to_compute.put_nowait(call)

    async def run(self) -> None:
        """Compute replies; between any two, the actor lets the loop read what has arrived."""
        while True:
            call = await self.to_compute.get()
            try:
                call.page = await self.complete(call)
            except (ValueError, LookupError, TypeError, AttributeError, UnknownTask) as error:
                call.status, call.page = 400, _error(f"no conversation of TextCraft: {error!r}")
                call.stats.failed += 1
            now = self.loop.time()
            call.stats.overran += now > call.end
            call.end = max(call.end, now)
            self.loop.call_at(call.end, self.finish, call)

    async def complete(self, call: Call) -> dict[str, Any]:
        asked = json.loads(call.body)
        messages = [Message(m["role"], m["content"]) for m in asked["messages"]]
        params = SamplingParams(seed=asked.get("seed"))
        replies = await self.actor.complete(messages, n=asked.get("n") or 1, params=params)
        cached = min(self.cache.tokens(messages), replies[0].prompt_tokens)
        call.stats.samples += len(replies)
        call.stats.prompt_tokens += replies[0].prompt_tokens
        call.stats.cached_tokens += cached
        call.stats.completion_tokens += replies[0].completion_tokens
        return _page(asked["model"], replies, cached)

    def finish(self, call: Call) -> None:
        """Send the reply, and hand the slot on as of the time at which it became free."""
        lag = self.loop.time() - call.end
        call.stats.requests += 1
        call.stats.lag_s += lag
        call.stats.worst_lag_s = max(call.stats.worst_lag_s, lag)
        call.stats.occupied(call.begin, call.end)
        self.running -= 1
        while self.waiting and self.running < self.options.slots:
            following = self.waiting.popleft()
            if following.connection.transport.is_closing():
                following.stats.abandoned += 1
            else:
                self.begin(following, max(following.arrived, call.end))
        call.connection.answer(call.status, call.page)


class Connection(asyncio.Protocol):
    """One client's connection: requests with a Content-Length, answered one after the other."""

    transport: asyncio.Transport

    def __init__(self, slots: ConcurrencyLimiter) -> None:
        self.slots = slots
        self.buffer = b""
        self.answering = self.last = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.get_extra_info("socket").setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        self.slots.stats.connections += 1
        self.slots.connected += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.slots.connected -= 1

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.take()

    def take(self) -> None:
        """Serve the next request, if it is here as a whole and none is being answered."""
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if self.answering or not found or len(rest) < size:
            return
        self.answering, self.last = True, bool(_CLOSE.search(head))
        self.buffer = rest[size:]
        method, path, _ = head.decode("latin-1").split(" ", 2)
        self.serve(f"{method} {path.removeprefix('/v1')}", rest[:size])

    def serve(self, route: str, body: bytes) -> None:
        if route == "POST /chat/completions":
            self.slots.admit(self, body)
        elif route == "GET /models":
            name = self.slots.actor.name
            self.answer(200, {"object": "list", "data": [{"id": name, "object": "model"}]})
        elif route == "GET /stats":
            self.answer(200, self.slots.report())
        elif route == "POST /reset":
            self.slots.reset()
            self.answer(200, {})
        else:
            self.answer(404, _error(f"no such route: {route}"))

    def answer(self, status: int, page: Any, *, headers: str = "") -> None:
        body = json.dumps(page).encode()
        head = (
            f"HTTP/1.1 {status} {REASONS[status]}\r\ncontent-type: application/json\r\n"
            f"{headers}content-length: {len(body)}\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.answering = False
        if self.last:
            self.transport.close()
        elif self.buffer:
            self.take()


def _page(model: str, replies: Sequence[Completion], cached: int) -> dict[str, Any]:
    prompt, written = replies[0].prompt_tokens, replies[0].completion_tokens
    return {
        "id": "chatcmpl-slot",
        "object": "chat.completion",
        "created": 0,  # a reply does not depend on when it is asked for
        "model": model,
        "choices": [
            {
                "index": place,
                "message": {"role": "assistant", "content": reply.text},
                "finish_reason": reply.finish_reason,
            }
            for place, reply in enumerate(replies)
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "total_tokens": prompt + written,
            "prompt_tokens_details": {"cached_tokens": cached},
        },
    }


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "slot_server", "param": None, "code": None}}


async def serve(options: argparse.Namespace) -> None:
    slots = ConcurrencyLimiter(options)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(slots), "127.0.0.1", options.port, backlog=4096
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    gc.freeze()  # what is loaded stays: no collection needs to look at it again
    await slots.run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=0.2, help="that a request holds a slot")
    parser.add_argument("--jitter", type=float, default=0.0, help="share by which seconds vary")
    parser.add_argument("--seed", type=int, default=0, help="of the jitter")
    parser.add_argument("--refuse-above", type=int, default=0, help="waiting requests; 0: never")
    parser.add_argument("--pass-over", type=int, default=0, help="first requests not counted")
    parser.add_argument("--error-rate", type=float, default=0.35, help="of the scripted actor")
    parser.add_argument("--port", type=int, default=0)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
