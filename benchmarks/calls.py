"""Corrected errors for a thousand model calls: the `paper` preset and ours, same tasks and actor.

    python benchmarks/calls.py --trees 200 --seed 0 [--config my.toml]

A call is one request. The paper's preset publishes its splices unverified: here they are executed
afterwards, by the world and without calls. Of those that reach alpha each error (the actions up to
and with it, without errors before it) is counted once: ten templates after one error are ten rows,
and teach one thing. The same alpha is used for both. `distinct` are errors of revisions; `all`, and
what follows it, counts those of interleaved rows as well, which were executed too.
The reference samples its candidates one a request, and brings the world to its place for each by a
reset and a replay: 516 calls and 5,960 environment steps a tree.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from agent_r.algorithm.proof.interleaving import Interleaved
from agent_r.algorithm.revision import Part, Revision, verify
from agent_r.collection.plan import shards
from agent_r.collection.progress import Progress
from agent_r.collection.scheduler import TreeScheduler
from agent_r.collection.tree_store import TreeStore
from agent_r.config import load
from agent_r.endpoint.budget import Budget
from agent_r.endpoint.limiter import at_once
from agent_r.settings import Config
from flows.acting.actor_factory import acting
from flows.run_context import RunContext

UP_TO_ERROR = (Part.INITIAL, Part.BAD)
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    "paper": ("paper", {"alphas": []}),
    "ours, never giving up": ("default", {"search": {"abandon_after": 0}}),
    "ours, 4 walks at once": ("default", {"search": {"parallel_simulations": 4}}),
    "ours, judging in order": ("default", {"critique": {"lookahead": 1}}),
    "ours": ("default", {}),
}


def main() -> None:
    """One line an arm."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--config", type=Path)
    args = parser.parse_args()
    print(f"# {' '.join(sys.argv)}")
    print(
        f"{'arm':<22} {'trees':>5} {'search':>7} {'judging':>7} {'samples':>7} {'revisions':>9} "
        f"{'distinct':>8} {'per 1,000':>9} {'ratio':>6} {'all':>6} {'per 1,000':>9} {'ratio':>6} "
        f"{'tasks':>5} {'steps a call':>12} {'a sample':>8} {'good':>5}"
    )
    first: dict[str, float] = {}
    for arm, (preset, over) in ARMS.items():
        base = {"trees": args.trees, "seed": args.seed}
        if args.config is None:
            base["endpoint"] = {"kind": "scripted", "error_rate": 0.5}
        config = load(args.config, preset=preset, over=base | over)
        counts = asyncio.run(measure(config))
        shares = []
        for kind, width in (("verified", 8), ("all", 6)):
            rate = 1000 * counts[kind] / (counts["search"] + counts["judging"])
            ratio = rate / first.setdefault(kind, rate)
            shares.append(f"{counts[kind]:>{width},} {rate:>9.1f} {ratio:>6.2f}")
        print(
            f"{arm:<22} {args.trees:>5} {counts['search']:>7,} {counts['judging']:>7,} "
            f"{counts['samples']:>7,} {counts['revisions']:>9,} {shares[0]} {shares[1]} "
            f"{counts['tasks']:>5} {counts['steps'] / counts['search']:>12.2f} "
            f"{counts['steps'] / counts['samples']:>8.2f} {counts['good']:>5,}",
            flush=True,
        )


async def measure(config: Config) -> dict[str, int]:
    """Grow the trees, and count."""
    context = RunContext.of(config)
    worlds, tasks = context.worlds, context.tasks()
    counts = dict.fromkeys(
        ("search", "judging", "samples", "steps", "revisions", "verified", "all", "tasks", "good"),
        0,
    )
    with tempfile.TemporaryDirectory() as folder:
        async with acting(context) as actor:
            tree_store = TreeStore.of(
                Path(folder), worlds.environment, config, actor=actor.name, iteration=1
            )
            budget = Budget(config.budget, config.endpoint, actor.usage)
            places = asyncio.Semaphore(at_once(config.endpoint.concurrency))
            scheduler = TreeScheduler(
                tree_store, actor, budget, places, Progress("grow", len(tasks), "trees")
            )
            await asyncio.gather(*(scheduler.grow(shard) for shard in shards(tasks)))
        env = worlds.environment()
        for task in tasks:
            with_revisions = await tree_store.with_revisions(task)
            if with_revisions is None:
                continue
            tree, tree_revisions = with_revisions
            counts["search"] += tree.calls
            counts["judging"] += tree_revisions.calls
            counts["samples"] += tree.calls * config.search.candidates
            counts["steps"] += tree.env_steps
            counts["revisions"] += len(tree_revisions.revisions)
            counts["good"] += len(tree_revisions.good)
            errors = set[tuple[str, ...]]()
            for revision in tree_revisions.revisions:
                alpha = config.revision.alpha
                checked = await verify(env, tree, revision, alpha=alpha)
                if isinstance(checked, Revision):
                    wrong = [t.step.action for t in checked.turns if t.part in UP_TO_ERROR]
                    errors.add(tuple(wrong))
            counts["verified"] += len(errors)
            errors |= set(chain.from_iterable(map(corrected, tree_revisions.interleaved)))
            counts["all"] += len(errors)
            counts["tasks"] += bool(errors)
    return counts


def corrected(interleaved: Interleaved) -> Iterator[tuple[str, ...]]:
    """Each error of an interleaved row, with the right actions before it."""
    right: tuple[str, ...] = ()
    for turn in interleaved.turns:
        if turn.part is Part.BAD:
            yield (*right, turn.step.action)
        else:
            right += (turn.step.action,)


if __name__ == "__main__":
    main()
