"""What `concurrency = "auto"` reaches against a server that is simulated as vLLM schedules.

    python -m benchmarks.auto_concurrency --trees 12 --seeds 3

For each set-up (benchmarks/vllm_model/setups.py) fixed numbers are swept, a minute after a minute
of warming up; the best throughput is the highest of them, in tokens of replies a second, and its
latency that of the smallest number that gives 98 % of it. Then `auto` from cold: the share of that
throughput, and the latency from sending on as a multiple of that one. Then what happens when
another tenant comes, when the server restarts, and when prompts grow. All of it is in virtual
time, but for `--http`: the same at true time, over HTTP on loopback, beside the simulation.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from statistics import mean

from agent_r.actor import Message, SamplingParams
from agent_r.endpoint.client import EndpointActor
from benchmarks.vllm_model.http import serving
from benchmarks.vllm_model.playing import (
    Concurrency,
    Event,
    Record,
    Scale,
    endpoint,
    play,
    simulate,
)
from benchmarks.vllm_model.server import ModelServer, prompt_of
from benchmarks.vllm_model.setups import SETUPS, Setup
from benchmarks.vllm_model.traffic import Call, Wave, record

NUMBERS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
NEAR = 0.98
Forest = list[list[Wave]]


def main() -> None:
    args = parser().parse_args()
    print(f"# python -m benchmarks.auto_concurrency {' '.join(sys.argv[1:])}")
    forest = record(args.trees)
    if args.http:
        over_http(args.http, forest)
        return
    best = {name: sweep(name, forest) for name in args.setups}
    print(
        f"\n{'auto, from cold':<15} {'1st minute':>10} {'45-60 s':>8} {'60-180 s':>8} | "
        f"{'p50':>5} {'p95':>5} {'p50':>5} {'p95':>5} | limit every 10 s, of the first seed"
    )
    for name in args.setups:
        automatic(name, forest, best[name], args.seeds)
    for title, setups in SCENES.items():
        print(f"\n{title}")
        for name, events in setups.items():
            if name in args.setups:
                scene(name, forest, events)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("--setups", nargs="+", choices=SETUPS, default=list(SETUPS))
    made.add_argument("--trees", type=int, default=12, help="that are recorded")
    made.add_argument("--seeds", type=int, default=3, help="of auto's runs")
    made.add_argument("--http", choices=SETUPS, help="compare with true time, over HTTP")
    return made


def sweep(name: str, forest: Forest) -> tuple[float, Record]:
    """The best throughput of a fixed number, and the run of the least that comes near it."""
    print(
        f"\n{name:<14} {'tokens/s':>8} {'requests/s':>10} {'p50 s':>6} {'p95 s':>6} "
        f"{'preempted':>9} {'cached':>6}"
    )
    runs = {}
    for number in NUMBERS:
        ran = runs[number] = simulate(SETUPS[name], number, forest, seconds=120)
        answers = sum(at > 60 for at, _, _ in ran.answers) / 60
        print(
            f"{number:<14} {ran.rate(60, 120):>8,.0f} {answers:>10.1f} "
            f"{ran.latency(0.5, 60, 120):>6.2f} {ran.latency(0.95, 60, 120):>6.2f} "
            f"{ran.preempted:>9} {ran.cached:>6.1%}",
            flush=True,
        )
    best = max(ran.rate(60, 120) for ran in runs.values())
    return best, next(ran for ran in runs.values() if ran.rate(60, 120) >= NEAR * best)


def automatic(name: str, forest: Forest, best: tuple[float, Record], seeds: int) -> None:
    """One line: means over the seeds."""
    rate, near = best
    runs = [simulate(SETUPS[name], "auto", forest, seconds=180, seed=k) for k in range(seeds)]
    shares = [
        mean(ran.rate(*when) for ran in runs) / rate for when in ((0, 60), (45, 60), (60, 180))
    ]
    slower = [
        mean(ran.latency(share, *when) for ran in runs) / near.latency(share, 60, 120)
        for when in ((0, 60), (60, 180))
        for share in (0.5, 0.95)
    ]
    print(
        f"{name:<15} {shares[0]:>10.0%} {shares[1]:>8.0%} {shares[2]:>8.0%} | "
        f"{slower[0]:>5.2f} {slower[1]:>5.2f} {slower[2]:>5.2f} {slower[3]:>5.2f} | "
        f"{' '.join(map(str, runs[0].limits[9::10]))}",
        flush=True,
    )


def tenant(requests: int) -> Callable[[ModelServer, Scale], None]:
    """Somebody else who keeps so many requests of 800 + 80 tokens in flight from then on."""

    async def keep(server: ModelServer, place: int) -> None:
        for k in range(1_000_000):
            head = f"{place} {k} ".ljust(64)
            await server.complete(head + "other " * 533, ["reply " * 53])

    def come(server: ModelServer, scale: Scale) -> None:
        for place in range(requests):
            task = asyncio.get_running_loop().create_task(keep(server, place))
            server.guests.add(task)

    return come


def stop(server: ModelServer, scale: Scale) -> None:
    server.stop()


def start(server: ModelServer, scale: Scale) -> None:
    server.start()


def grow(server: ModelServer, scale: Scale) -> None:
    scale.world *= 4


SCENES: dict[str, dict[str, tuple[Event, ...]]] = {
    "after a minute another tenant keeps 128 requests in flight (on the RTX 3090 eight)": {
        "h100-8b": ((60, tenant(128)),),
        "a100-8b": ((60, tenant(128)),),
        "rtx3090-8b": ((60, tenant(8)),),
    },
    "after a minute the server is away for 20 s, and comes back with an empty cache": {
        "h100-8b": ((60, stop), (80, start)),
        "a100-8b": ((60, stop), (80, start)),
        "rtx3090-8b": ((60, stop), (80, start)),
    },
    "after a minute the texts of the world are four times as long": {
        "h100-8b": ((60, grow),),
        "a100-8b": ((60, grow),),
        "rtx3090-8b": ((60, grow),),
    },
}


def scene(name: str, forest: Forest, events: tuple[Event, ...]) -> None:
    """How `auto` fares in it, beside the best of all fixed numbers in the same scene."""
    ran = simulate(SETUPS[name], "auto", forest, seconds=240, events=events)
    fixed = {
        number: simulate(SETUPS[name], number, forest, seconds=240, events=events)
        for number in (4, 8, 16, 32, 64, 128)
    }
    number = max(fixed, key=lambda n: fixed[n].rate(180, 240))
    print(
        f"{name:<11} best of 180-240 s: {number} with {fixed[number].rate(180, 240):,.0f} "
        f"tokens/s, p95 {fixed[number].latency(0.95, 180, 240):.1f} s; limits of auto every 10 s: "
        f"{' '.join(map(str, ran.limits[9::10]))}"
    )
    for begin in range(0, 240, 30):
        print(
            f"  {begin:>3}-{begin + 30:<3} s: auto {ran.rate(begin, begin + 30):>7,.0f} tokens/s, "
            f"p95 {ran.latency(0.95, begin, begin + 30):>5.1f} s; "
            f"{number} {fixed[number].rate(begin, begin + 30):>7,.0f}, "
            f"p95 {fixed[number].latency(0.95, begin, begin + 30):>5.1f} s",
            flush=True,
        )


def over_http(name: str, forest: Forest) -> None:
    """The same minute twice: in virtual time without HTTP, and at true time with it."""
    print(f"{name:<22} {'tokens/s':>8} {'p50 s':>6} {'p95 s':>6}  limit every 5 s")
    for concurrency in (8, "auto"):
        for how, ran in (
            ("simulated", simulate(SETUPS[name], concurrency, forest, seconds=60)),
            ("over HTTP", asyncio.run(real(SETUPS[name], concurrency, forest, seconds=60))),
        ):
            print(
                f"{how + ', ' + str(concurrency):<22} {ran.rate(0, 60):>8,.0f} "
                f"{ran.latency(0.5, 0, 60):>6.2f} {ran.latency(0.95, 0, 60):>6.2f}  "
                f"{' '.join(map(str, ran.limits[4::5]))}",
                flush=True,
            )


async def real(setup: Setup, concurrency: Concurrency, forest: Forest, *, seconds: float) -> Record:
    """`EndpointActor` against the server's routes on loopback, at true time."""
    ran, replies, loop = Record(), dict[str, tuple[str, ...]](), asyncio.get_running_loop()
    async with (
        ModelServer(setup) as server,
        serving(server, "simulated", replies=replies) as url,
        EndpointActor(endpoint(url, concurrency), api_key="none") as actor,
    ):
        begin = loop.time()

        async def ask(call: Call, tree: str) -> None:
            replies[prompt_of(call.turns)] = call.replies
            messages = [Message(role, text) for role, text in call.turns]  # type: ignore[arg-type]
            params = SamplingParams(max_tokens=max(map(len, call.replies)) // 4)
            await actor.complete(messages, n=len(call.replies), params=params)

        def answered(prompt: str, took: float) -> None:
            tokens = sum(len(reply) // 4 for reply in replies.pop(prompt))
            ran.answers.append((loop.time() - begin, tokens, took))

        server.on_answer = answered
        await play(
            forest, ask, actor.slots, ran,
            concurrency=concurrency, seconds=seconds, scale=Scale(),
        )  # fmt: skip
    return ran


if __name__ == "__main__":
    main()
