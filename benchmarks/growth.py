"""Memory and Prefect's share, from a hundred trees to ten thousand: one process a run.

    python benchmarks/growth.py --trees 100 1000 10000 --seed 0
    python benchmarks/growth.py --served --trees 128 128 128

Each number of trees is grown twice by the scripted actor, in small trees: as the flow `grow` does
it on a Prefect server of its own, and by the same code without Prefect. Wall times are of growing
alone, imports and Prefect's start left out; the peak is of the process, all in. The scripted actor
leaves no time to wait in, so the times show what Prefect costs a task and not its share of a run:
that is what `--served` is for, whole trees of the default search against 64 slots of 0.2 s.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from saturation import serving

ROOT = Path(__file__).parents[1]
SLOTS = 64


def main() -> None:
    """One line a number of trees; `--one` is a run in its own process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trees", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--served", action="store_true")
    parser.add_argument("--one", choices=["prefect", "plain"])
    parser.add_argument("--url", default="")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args.trees[0], args.seed, args.url, prefect=args.one == "prefect")))
        return
    print(f"# {' '.join(sys.argv)}")
    print(
        f"{'trees':>6} {'tasks':>5} {'peak MB':>8} {'without':>8} {'wall s':>7} {'without':>8} "
        f"{'ms a task':>9} {'share':>6}"
    )
    for trees in args.trees:
        with_it, without = (run(trees, args, how) for how in ("prefect", "plain"))
        more = with_it["seconds"] - without["seconds"]
        share = f"{more / without['seconds']:.1%}" if args.served else "-"
        print(
            f"{trees:>6} {with_it['tasks']:>5.0f} {with_it['peak']:>8.0f} {without['peak']:>8.0f} "
            f"{with_it['seconds']:>7.2f} {without['seconds']:>8.2f} "
            f"{1000 * more / with_it['tasks']:>9.1f} {share:>6}",
            flush=True,
        )


def run(trees: int, args: argparse.Namespace, how: str) -> dict[str, float]:
    serves = serving(SLOTS, 0.2) if args.served else nullcontext("")
    with tempfile.TemporaryDirectory() as folder, serves as url:
        env = os.environ | {"PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "none"}
        command = [sys.executable, __file__, "--trees", str(trees), "--seed", str(args.seed)]
        done = subprocess.run(
            [*command, "--one", how, "--url", url],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(done.stderr[-3000:])
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found


def one(trees: int, seed: int, url: str, *, prefect: bool) -> dict[str, float]:
    """Grow, in the current folder."""
    import asyncio
    import resource

    from agent_r.settings import Config
    from flows.cli.prefect_defaults import quiet_prefect

    quiet_prefect(Path(".prefect"))
    from prefect import flow

    from agent_r.collection.plan import shards
    from agent_r.collection.progress import Progress
    from agent_r.collection.scheduler import TreeScheduler
    from agent_r.endpoint.budget import Budget
    from agent_r.endpoint.limiter import at_once
    from flows.grow import growing, ready
    from flows.run_context import RunContext

    scripted = {"kind": "scripted", "concurrency": SLOTS}
    small = {"simulations": 2, "candidates": 2, "max_depth": 6}
    served = {"kind": "openai", "base_url": url, "model": "scripted-0.35", "concurrency": SLOTS}
    config = Config.model_validate(
        {
            "seed": seed,
            "trees": trees,
            "endpoint": served if url else scripted,
            "search": {"parallel_simulations": 4} if url else small,
        }
    )
    spent = 0.0

    async def grow() -> None:
        nonlocal spent
        context = RunContext.of(config)
        tasks = context.tasks()
        async with ready(context) as (stores, actor):
            began = time.monotonic()
            if prefect:
                await growing(context, stores, tasks, actor)
            else:
                budget = Budget(config.budget, config.endpoint, actor.usage)
                progress = Progress("grow", len(tasks), "trees")
                places = at_once(config.endpoint.concurrency)
                scheduler = TreeScheduler(
                    stores, actor, budget, asyncio.Semaphore(places), progress
                )
                await asyncio.gather(*(scheduler.grow(shard) for shard in shards(tasks)))
            spent = time.monotonic() - began

    asyncio.run(flow(grow)() if prefect else grow())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    tasks = len(shards(RunContext.of(config).tasks()))
    return {"seconds": spent, "peak": peak, "tasks": tasks}


if __name__ == "__main__":
    main()
