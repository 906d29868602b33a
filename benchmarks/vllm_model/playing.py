"""The project's own client plays recorded trees against a server that is simulated."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from agent_r.actor import Usage
from agent_r.endpoint.limiter import ConcurrencyLimiter, at_once
from agent_r.endpoint.responses import Server, Unreached
from agent_r.endpoint.retry import PendingRequest, RetryingClient
from agent_r.settings import OpenAIEndpoint
from benchmarks.vllm_model.server import Down, ModelServer, prompt_of
from benchmarks.vllm_model.setups import Setup
from benchmarks.vllm_model.traffic import Call, Wave
from benchmarks.vllm_model.virtual_time import run

Concurrency = int | str  # a number, or `auto`
Ask = Callable[[Call, str], Awaitable[object]]  # a request of a tree; what comes back is not read


@dataclass(slots=True)
class Scale:
    """How much longer texts are than recorded; may change while it is played."""

    thoughts: int = 4  # replies: some 80 tokens, a model's thought and action
    world: int = 2  # prompts: some 800 tokens


@dataclass(slots=True)
class Record:
    """What came back: when it did, the tokens of its replies, and the seconds that it took."""

    answers: list[tuple[float, int, float]] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)  # a second apart
    preempted: int = 0
    cached: float = 0.0  # share of the prompt tokens

    def rate(self, begin: float, end: float) -> float:
        """Tokens of replies a second."""
        return sum(tokens for at, tokens, _ in self.answers if begin < at <= end) / (end - begin)

    def latency(self, share: float, begin: float, end: float) -> float:
        """The seconds within which so many were answered, from sending on."""
        found = sorted(seconds for at, _, seconds in self.answers if begin < at <= end)
        return found[int(share * len(found))] if found else float("nan")


Event = tuple[float, Callable[[ModelServer, Scale], None]]  # when, and what happens then


async def play(
    forest: list[list[Wave]],
    ask: Ask,
    slots: ConcurrencyLimiter,
    record: Record,
    *,
    concurrency: Concurrency,
    seconds: float,
    scale: Scale,
    seed: int = 0,
) -> None:
    """As many trees as a collection begins, for so long; the first begin anywhere in their lives.

    So the mix of requests is the same from the first second to the last. A tree that ends is
    followed by another: of the same calls, but about another task, so that nothing of it is cached.
    """

    async def grow(tree: int) -> None:
        skipped = random.Random(f"{seed} {tree}").random()
        while True:
            waves, salt = forest[tree % len(forest)], f"Task {tree}.\n"
            for wave in waves[int(skipped * len(waves)) :]:
                calls = [call.longer(scale.thoughts, scale.world, salt) for call in wave]
                await asyncio.gather(*(ask(call, salt) for call in calls))
            tree, skipped = tree + places, 0.0

    async def watch() -> None:
        while True:
            record.limits.append(slots.limit)
            await asyncio.sleep(1)

    places = at_once(concurrency)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for tree in range(places):
                group.create_task(grow(tree))
            group.create_task(watch())


def endpoint(url: str, concurrency: Concurrency) -> OpenAIEndpoint:
    """Settings that give up on nothing in the time of a measurement."""
    patient = {"timeout_s": 600.0, "patience_s": 600.0, "attempts": 20}
    return OpenAIEndpoint.model_validate(
        {"base_url": url, "model": "simulated", "concurrency": concurrency, **patient}
    )


def simulate(
    setup: Setup,
    concurrency: Concurrency,
    forest: list[list[Wave]],
    *,
    seconds: float,
    events: tuple[Event, ...] = (),
    seed: int = 0,
) -> Record:
    """Play in virtual time: the client's retries, breaker and limiter, without HTTP."""

    async def main() -> Record:
        record, scale, loop = Record(), Scale(), asyncio.get_running_loop()
        config = endpoint("http://127.0.0.1:1/v1", concurrency)
        client = RetryingClient(
            config, Server.of(config, "none", {}), Usage(),
            rng=random.Random(seed), sleep=asyncio.sleep, clock=loop.time,
        )  # fmt: skip
        async with ModelServer(setup) as server:

            async def ask(call: Call, tree: str) -> None:
                prompt = prompt_of(call.turns)

                async def send() -> str:
                    began = loop.time()
                    try:
                        await server.complete(prompt, call.replies)
                    except Down:
                        raise Unreached("connection refused") from None
                    tokens = sum(len(reply) // 4 for reply in call.replies)
                    record.answers.append((loop.time(), tokens, loop.time() - began))
                    return ""

                request = PendingRequest(send=send, read=str, party=lambda: tree)
                await client.answer(request, attempts=config.attempts)

            for when, event in events:
                loop.call_at(when, event, server, scale)
            await play(
                forest, ask, client.slots, record,
                concurrency=concurrency, seconds=seconds, scale=scale, seed=seed,
            )  # fmt: skip
            engine = server.engine
            record.preempted = engine.preempted
            record.cached = engine.cached_tokens / max(1, engine.prompt_tokens)
        return record

    return run(main())
