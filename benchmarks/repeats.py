"""Whether the embedded actor's replies depend on what else its server is asked.

The same requests (turns of TextCraft episodes, several samples each, one seed a request) are
answered alone, without a prefix cache; then in batches of other sizes and orders, with a full,
a tiny and no cache, on two threads, with all samples of a request or one by one. Counted: samples
whose tokens differ from those answered alone, and the largest difference of a token's
log-probability before the samples part. The last column is the engine's CPU time.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Iterable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from agent_r.local_model.engine import Engine, Generation, GenerationRequest
from agent_r.local_model.model_folder import PACKAGED
from agent_r.settings import TextCraftEnv
from env_adapters.textcraft.demonstrations import demonstrations

SAMPLES, TOKENS = 4, 48
TINY_CACHE = 2**18
Key = tuple[int, int]  # a request and one of its samples
Draws = dict[Key, tuple[tuple[int, ...], tuple[float, ...]]]  # tokens, log-probabilities


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of asking everything."""

    name: str
    at_once: int = 1
    order: str = "as it is"
    samples: int = SAMPLES
    twice: bool = False  # the second answers count: all is cached then
    options: dict[str, Any] = field(default_factory=dict)


ARMS = (
    Arm("alone, no cache", options={"cache_bytes": 0}),
    Arm("alone"),
    Arm("alone, every prompt cached", twice=True),
    Arm("alone, two threads", options={"threads": 2}),
    Arm("4 at once", at_once=4),
    Arm("16 at once, no cache", at_once=16, options={"cache_bytes": 0}),
    Arm("16 at once, a tiny cache", at_once=16, options={"cache_bytes": TINY_CACHE}),
    Arm("64 at once", at_once=64),
    Arm("64 at once, backwards", at_once=64, order="backwards"),
    Arm("64 at once, shuffled", at_once=64, order="shuffled"),
    Arm("64 at once, shuffled, 8 rows", at_once=64, order="shuffled", options={"max_rows": 8}),
    Arm("64 at once, shuffled, two threads", 64, "shuffled", options={"threads": 2}),
    Arm("another request: one sample each", at_once=64, samples=1),
)


def requests(engine: Engine, count: int, seed: int) -> list[GenerationRequest]:
    """Every assistant's turn of as many episodes as are needed."""
    rows = asyncio.run(demonstrations(TextCraftEnv(), episodes=count, seed=seed))
    prompts = (
        tuple(engine.text.encode_chat(row["messages"][:end]))
        for row in rows
        for end, message in enumerate(row["messages"])
        if message["role"] == "assistant"
    )
    return [
        GenerationRequest(prompt, n=SAMPLES, max_tokens=TOKENS, seed=seed + number, top_logprobs=0)
        for number, prompt in enumerate(islice(prompts, count))
    ]


def ask(engine: Engine, arm: Arm, asked: list[GenerationRequest]) -> Draws:
    """Keep `at_once` requests in flight until all are answered."""
    numbers = list(range(len(asked)))
    if arm.order == "backwards":
        numbers.reverse()
    elif arm.order == "shuffled":
        random.Random(0).shuffle(numbers)
    running: dict[Future[Generation], int] = {}
    draws: Draws = {}

    def take(done: Iterable[Future[Generation]]) -> None:
        for future in done:
            number = running.pop(future)
            for index, sample in enumerate(future.result().samples):
                logs = tuple(step.logprob for step in sample.logprobs)
                draws[number, index] = sample.tokens, logs

    for number in numbers:
        running[engine.submit(replace(asked[number], n=arm.samples))] = number
        if len(running) == arm.at_once:
            take(wait(running, return_when="FIRST_COMPLETED").done)
    take(wait(running).done)
    return draws


def compare(reference: Draws, draws: Draws) -> tuple[int, float]:
    """Samples that differ, and the largest difference of a log-probability before they do."""
    differing, largest = 0, 0.0
    for key, (tokens, logs) in draws.items():
        expected, expected_logs = reference[key]
        differing += tokens != expected
        for token, other, log, other_log in zip(
            tokens, expected, logs, expected_logs, strict=False
        ):
            if token != other:
                break
            largest = max(largest, abs(log - other_log))
    return differing, largest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--model", type=Path, default=PACKAGED)
    options = parser.parse_args()
    engine = Engine(options.model)
    asked = requests(engine, options.requests, options.seed)
    engine.close()
    reference: Draws = {}
    print("| asked | samples | differ | largest difference of a log-probability | CPU s |")
    print("|---|--:|--:|--:|--:|")
    for arm in ARMS:
        engine = Engine(options.model, **arm.options)
        if arm.twice:
            ask(engine, arm, asked)
        start = time.process_time()
        draws = ask(engine, arm, asked)
        spent = time.process_time() - start
        engine.close()
        reference = reference or draws
        differing, largest = compare(reference, draws)
        print(f"| {arm.name} | {len(draws)} | {differing} | {largest:.1e} | {spent:.1f} |")


if __name__ == "__main__":
    main()
