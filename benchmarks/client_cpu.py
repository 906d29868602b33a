"""CPU time of the client for one model call: `EndpointActor.complete` beside the bare library.

Both ask the same server (`slot_server.py`, a process of its own) for the same conversations, as
many at once, in rounds that take turns. Only this process's CPU time counts; a busy machine makes
it longer, but hardly changes the ratio. A conversation has 12 messages: five steps of TextCraft,
some of them mistakes, and the recipes. The server counts new connections: one for each request in
flight is enough, and the library drops those that are idle for five seconds, as they may be while
the other side has its turn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai

from agent_r.actor import Message, SamplingParams
from agent_r.algorithm.prompts import conversation
from agent_r.algorithm.trajectory import Step
from agent_r.endpoint.client import EndpointActor
from agent_r.reading.reply import parse_action
from agent_r.settings import OpenAIEndpoint, ScriptedEndpoint, TextCraftEnv
from env_adapters.textcraft.environment import TextCraft
from env_adapters.textcraft.scripted import ScriptedCrafter

SERVER = Path(__file__).with_name("slot_server.py")
MODEL, KEY, TOKENS, REPLIES, STEPS = "scripted", "sk-bench", 128, 4, 5
DISTRACTORS = 12  # recipes shown that are not needed: prompts of some 400 tokens
Ask = Callable[[list[Message], int], Awaitable[int]]  # a conversation and a seed to replies


@dataclass(frozen=True, slots=True)
class Round:
    """One side's turn: of this process's time, what a call took."""

    cpu_ms: float
    calls_per_s: float
    connections: int


async def conversations(count: int) -> list[list[Message]]:
    """The longest of all goals' that five steps do not end.

    The actor errs in every second step, as a model at the start of a run does.
    """
    env = TextCraft(TextCraftEnv(distractors=DISTRACTORS))
    actor = ScriptedCrafter(ScriptedEndpoint(error_rate=0.5), TextCraftEnv())
    found = [await play(env, actor, task.id) for task in env.tasks("train")]
    found.sort(key=lambda messages: sum(len(m.content) for m in messages), reverse=True)
    return [messages for messages in found if len(messages) == 2 + 2 * STEPS][:count]


async def play(env: TextCraft, actor: ScriptedCrafter, goal: str) -> list[Message]:
    """The conversation after five steps, or at the end of the episode."""
    prompt = await env.reset(goal)
    steps: list[Step] = []
    while len(steps) < STEPS:
        messages = conversation(env.info.instruction, prompt, steps)
        reply = (await actor.complete(messages, n=1, params=SamplingParams(seed=0)))[0].text
        action = parse_action(reply)
        result = await env.step(action)
        if result.terminated:
            break
        steps.append(Step(reply, action, result.observation))
    return conversation(env.info.instruction, prompt, steps)


def bare(client: openai.AsyncOpenAI) -> Ask:
    """What a careful user writes without us."""

    async def ask(messages: list[Message], seed: int) -> int:
        told: list[Any] = [{"role": m.role, "content": m.content} for m in messages]
        reply = await client.chat.completions.create(
            model=MODEL,
            messages=told,
            n=REPLIES,
            seed=seed,
            temperature=1.0,
            max_tokens=TOKENS,
        )
        return len([choice.message.content for choice in reply.choices])

    return ask


def ours(actor: EndpointActor) -> Ask:
    async def ask(messages: list[Message], seed: int) -> int:
        params = SamplingParams(seed=seed, max_tokens=TOKENS)
        return len(await actor.complete(messages, n=REPLIES, params=params))

    return ask


async def one_round(
    ask: Ask, talks: list[list[Message]], calls: int, clients: int, url: str
) -> Round:
    control(url, "/reset")
    numbers = iter(range(calls))

    async def client() -> None:
        for number in numbers:
            assert await ask(talks[number % len(talks)], number) == REPLIES

    wall, cpu = time.monotonic(), time.process_time()
    await asyncio.gather(*(client() for _ in range(clients)))
    spent, took = time.process_time() - cpu, time.monotonic() - wall
    # The question itself comes by a connection of its own.
    connections = int(control(url, "/stats")["connections"]) - 1
    return Round(1000 * spent / calls, calls / took, connections)


async def compare(url: str, options: argparse.Namespace) -> tuple[list[Round], list[Round]]:
    """Rounds of the bare library and of ours, in turns, after one of each that is not counted."""
    talks = await conversations(64)
    read = sum(len(m.content) // 4 for talk in talks for m in talk) / len(talks)
    print(
        f"{len(talks)} conversations of {len(talks[0])} messages and {read:.0f} tokens on average"
    )
    settings = OpenAIEndpoint(base_url=url, model=MODEL, concurrency=options.concurrency)
    client = openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0)
    rounds: tuple[list[Round], list[Round]] = ([], [])
    async with client, EndpointActor(settings, api_key=KEY) as actor:
        sides = list(zip((bare(client), ours(actor)), rounds, strict=True))
        for number in range(options.rounds + 1):
            for ask, kept in sides if number % 2 else sides[::-1]:
                calls = options.calls // options.rounds
                kept.append(await one_round(ask, talks, calls, options.concurrency, url))
    return rounds[0][1:], rounds[1][1:]


def control(url: str, path: str) -> dict[str, Any]:
    data = b"" if path == "/reset" else None
    with urllib.request.urlopen(url + path, data=data) as reply:
        return dict(json.load(reply))


@contextmanager
def server(*options: str) -> Iterator[str]:
    """A server of its own process, by its base URL."""
    command = [sys.executable, str(SERVER), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2100, help="of each side, in all")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=0.05, help="that a call takes the server")
    options = parser.parse_args()
    slots = ("--slots", str(options.concurrency), "--seconds", str(options.seconds))
    with server(*slots) as url:
        sides = asyncio.run(compare(url, options))
    print(
        "| round | bare, CPU ms/call | ours, CPU ms/call | ratio | bare, calls/s | ours, calls/s |"
    )
    print("|--:" * 6 + "|")
    for number, (a, b) in enumerate(zip(*sides, strict=True), start=1):
        cells = f"{a.cpu_ms:.3f} | {b.cpu_ms:.3f} | {b.cpu_ms / a.cpu_ms:.2f}"
        print(f"| {number} | {cells} | {a.calls_per_s:.0f} | {b.calls_per_s:.0f} |")
    was, now = (statistics.median(r.cpu_ms for r in side) for side in sides)
    fast = " | ".join(f"{statistics.median(r.calls_per_s for r in side):.0f}" for side in sides)
    print(f"| median | {was:.3f} | {now:.3f} | {now / was:.2f} | {fast} |")
    opened = ", ".join(str(sum(r.connections for r in side)) for side in sides)
    print(f"connections opened after the first round, bare and ours: {opened}")


if __name__ == "__main__":
    main()
