"""What verification is worth: splices as the paper makes them, executed afterwards.

    python benchmarks/splices.py --seed 0
    python benchmarks/splices.py --config my.toml    # of the trees that `collect` left there

The paper takes a splice (start, bad steps up to the first error, good steps from the fork on) to
earn what its good trajectory earned. So here every bad leaf of a tree is joined with every good one
without execution, cut at the first step that the actor itself judges Bad, at a random step after
the fork, and at the end (direct revision); `nearest`: with the good leaf of the nearest fork alone.
Then the world is asked. A splice is *impossible* where the world answers a step otherwise than its
row would say, white space and the order of lines apart, or has ended before it; it *misses* where
it earns less than its good trajectory. An error is joined with a good leaf once; of a tree
`--per-tree` splices are executed for each cut, drawn by the seed. The brackets are Wilson's 95 %
intervals over splices, though those of one tree are alike.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from agent_r.actor import Actor
from agent_r.algorithm.critique import Critiques, FirstError, find_first_error, judge_paths
from agent_r.algorithm.metrics import wilson
from agent_r.algorithm.pairing import TrajectoryPair, all_pairs, pair_trajectories
from agent_r.algorithm.replay import normalised, replay
from agent_r.algorithm.revision import Splice, cut
from agent_r.algorithm.trajectory import Step
from agent_r.algorithm.tree import SearchTree
from agent_r.collection.tree_store import TreeStore
from agent_r.concurrency import gather_bounded
from agent_r.config import load
from agent_r.endpoint.limiter import at_once
from agent_r.environment import Environment, TaskSpec
from agent_r.settings import Config, CritiqueConfig, RevisionConfig
from flows.grow import ready
from flows.run_context import RunContext

SCRIPTED = {"endpoint": {"kind": "scripted"}, "revision": {"alpha": 0.7, "beta": 0.2}}
WHOLE = {"stop_early": False, "abandon_after": 0}  # trees as large as the paper's
WORLDS: dict[str, dict[str, Any]] = {
    "textcraft": {
        "trees": 60,
        "endpoint": {"kind": "embedded"},
        "search": WHOLE | {"max_tokens": 48},
        "critique": {"max_tokens": 48},
    },
    "shop": {"trees": 100, "env": {"kind": "shop"}, "search": WHOLE, **SCRIPTED},
    "textworld-express": {
        "trees": 60,
        "env": {"kind": "textworld-express", "game": "mapreader"},
        "search": WHOLE,
        **SCRIPTED,
    },
    "scienceworld": {  # a hundred times slower than the others
        "trees": 10,
        "env": {"kind": "scienceworld", "tasks": ["find-plant", "find-animal"]},
        "search": WHOLE | {"max_depth": 16},
        **SCRIPTED,
    },
}
CUTS = ("actor", "actor, nearest", "random", "direct")
ENDED = "ended before the correction"
IMPOSSIBLE = "impossible, and misses its reward"
FALSE_TEXT = "impossible, and yet earns it"
MISSED, FINE = "possible, and misses its reward", "fine"
SHOWN_STEPS = 3  # of an example, before its correction
SHOWN = 160  # characters of a text in it


@dataclass(frozen=True, slots=True)
class Executed:
    """A splice, and what the world said to it."""

    task: str
    splice: Splice
    answered: tuple[Step, ...]  # up to the episode's end
    reward: float
    promised: float  # by the good trajectory

    @property
    def carried(self) -> tuple[Step, ...]:
        """The steps with the observations that the row would have had."""
        return self.splice.before + self.splice.tail

    @property
    def differs(self) -> int | None:
        """Position of the first step that the world answers otherwise, or no more."""
        for at, (row, world) in enumerate(zip_longest(self.carried, self.answered)):
            if world is None or normalised(row.observation) != normalised(world.observation):
                return at
        return None

    @property
    def kind(self) -> str:
        if len(self.answered) <= len(self.splice.before):
            return ENDED
        if self.reward < self.promised - 1e-9:
            return MISSED if self.differs is None else IMPOSSIBLE
        return FINE if self.differs is None else FALSE_TEXT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--config", type=Path, help="a run's settings, instead of those worlds")
    parser.add_argument("--trees", type=int, help="of each world, other than its own number")
    parser.add_argument("--per-tree", type=int, default=6, help="splices executed of each cut")
    parser.add_argument("--examples", type=int, default=1, help="printed of each kind")
    parser.add_argument("--seed", type=int, help="of worlds and cuts")
    options = parser.parse_args()
    print("# benchmarks/splices.py " + " ".join(sys.argv[1:]))
    print(f"{'world':18} {'cut':14} trees splices {ENDED:>32} {'impossible':>32} "
          f"{'misses its reward':>32} below alpha impossible, earns {FINE:>32}")  # fmt: skip
    examples: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, config in configs(options, folder):
            found, unjudged = asyncio.run(measure(config, options))
            for where in CUTS:
                print(line(name, where, found, config.revision_at(1).alpha), flush=True)
            examples += notes(name, found, unjudged, options.examples)
    print("\n".join(examples))


def configs(options: argparse.Namespace, folder: str) -> Iterator[tuple[str, Config]]:
    asked = {"seed": options.seed, "trees": options.trees}
    over: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    if options.config is not None:
        yield options.config.stem, load(options.config, over=over)
        return
    for name in options.worlds:
        yield name, load(None, over=WORLDS[name] | over | {"dataset": {"out": folder}})


Found = list[dict[str, list[Executed]]]  # by tree, by cut


async def measure(config: Config, options: argparse.Namespace) -> tuple[Found, Counter[str]]:
    """Splice and execute every tree; and how many pairs have no step that is judged Bad."""
    context, unjudged = RunContext.of(config), Counter[str]()
    async with ready(context) as (stores, actor):

        async def one(task: TaskSpec) -> dict[str, list[Executed]]:
            store = stores.store_of(task)
            tree = await store.explore(actor, task)
            pairs = all_pairs(tree, store.revision)
            critiques = await judged(store, actor, task, tree, pairs)
            unjudged["pairs"] += len(pairs)
            rng = random.Random(f"{config.seed}/{task.id}")
            by_cut = localisers(tree, store.revision, critiques, rng)
            unjudged["without"] += sum(by_cut["actor"](pair) is None for pair in pairs)
            return await executed(store.make_env(), tree, pairs, by_cut, options.per_tree, rng)

        limit = asyncio.Semaphore(at_once(config.endpoint.concurrency))
        return await gather_bounded(context.tasks(), one, limit=limit), unjudged


async def judged(
    store: TreeStore, actor: Actor, task: TaskSpec, tree: SearchTree, pairs: list[TrajectoryPair]
) -> Critiques:
    """The actor's judgements: those that are stored, and of other steps new ones."""
    with_revisions = await store.with_revisions(task)
    critiques = dict(with_revisions[1].critiques) if with_revisions else {}
    await judge_paths(
        actor,
        tree,
        [tree.path(pair.bad)[pair.fork :] for pair in pairs],
        critiques,
        instruction=store.world.instruction,
        config=store.config.critique.model_copy(update={"localiser": "actor"}),
        grammar=store.world.grammar,
    )
    return critiques


Localiser = Callable[[TrajectoryPair], FirstError | None]


def localisers(
    tree: SearchTree, revision: RevisionConfig, critiques: Critiques, rng: random.Random
) -> dict[str, Localiser]:
    """By name of the cut; the actor's finds nothing where it judged no step Bad."""
    how, nearest = CritiqueConfig(localiser="actor"), pair_trajectories(tree, revision)

    def actor(pair: TrajectoryPair) -> FirstError | None:
        return find_first_error(tree, tree.path(pair.bad), pair.fork, critiques, config=how)

    return {
        "actor": actor,
        "actor, nearest": lambda pair: actor(pair) if pair in nearest else None,
        "random": lambda p: FirstError(rng.randrange(p.fork, len(tree.path(p.bad))), "", None),
        "direct": lambda p: FirstError(len(tree.path(p.bad)) - 1, "", None),
    }


async def executed(
    env: Environment,
    tree: SearchTree,
    pairs: Sequence[TrajectoryPair],
    localisers: Mapping[str, Localiser],
    most: int,
    rng: random.Random,
) -> dict[str, list[Executed]]:
    """By cut, at most so many of the splices of a tree, and what the world says to them.

    The signal between error and correction is left out: no world is asked about it.
    """
    found: dict[str, list[Executed]] = {where: [] for where in localisers}
    try:
        for where, localiser in localisers.items():
            splices = spliced(tree, pairs, localiser)
            for splice, promised in rng.sample(splices, min(most, len(splices))):
                responses = [step.response for step in splice.before + splice.tail]
                steps, reward = await replay(env, tree.task, responses)
                found[where].append(Executed(tree.task, splice, tuple(steps), reward, promised))
    finally:
        await env.close()
    return found


def spliced(
    tree: SearchTree, pairs: Sequence[TrajectoryPair], localiser: Localiser
) -> list[tuple[Splice, float]]:
    """Splices as the paper makes them, with the reward that each is taken to earn."""
    splices: dict[tuple[int, int], tuple[Splice, float]] = {}
    for pair in pairs:
        if (error := localiser(pair)) is not None:
            key = tree.path(pair.bad)[error.position], pair.good
            splices.setdefault(key, (cut(tree, pair, error), tree.nodes[pair.good].reward))
    return list(splices.values())


def line(name: str, where: str, found: Found, alpha: float) -> str:
    """One row of the table."""
    splices = [one for tree in found for one in tree[where]]
    kinds = Counter(one.kind for one in splices)

    def share(*counted: str) -> str:
        n = sum(kinds[kind] for kind in counted)
        return f"{n:>9} {wilson(n, len(splices))}".rjust(32)

    below = sum(one.reward < alpha for one in splices if one.kind != ENDED)
    return (
        f"{name:18} {where:14} {sum(bool(tree[where]) for tree in found):>5} {len(splices):>7} "
        f"{share(ENDED)} {share(IMPOSSIBLE, FALSE_TEXT)} {share(IMPOSSIBLE, MISSED)} "
        f"{below:>11} {kinds[FALSE_TEXT]:>17} {share(FINE)}"
    )


def notes(name: str, found: Found, unjudged: Counter[str], most: int) -> Iterator[str]:
    """What a person should know of a world's splices, and some of each kind."""
    splices = [(where, one) for tree in found for where in CUTS for one in tree[where]]
    impossible = [one for _, one in splices if one.kind in (IMPOSSIBLE, FALSE_TEXT)]
    places = [(one.differs or 0) - len(one.splice.before) for one in impossible]
    yield f"\n## {name}"
    yield "pairs without a step that the actor judged Bad: {without} of {pairs}".format(**unjudged)
    yield f"impossible from the first good step on: {places.count(0)} of {len(places)}"
    yield f"impossible before it, as the world does not repeat itself: {sum(n < 0 for n in places)}"
    for kind in (ENDED, IMPOSSIBLE, FALSE_TEXT, MISSED, FINE):
        of_kind = [(where, one) for where, one in splices if one.kind == kind]
        for where, one in random.Random(kind).sample(of_kind, min(most, len(of_kind))):
            yield f"\n{kind}: {one.task}, cut: {where}; earns {one.reward:.3g}, the good one " \
                  f"{one.promised:.3g}"  # fmt: skip
            yield from example(one)


def example(one: Executed) -> Iterator[str]:
    """The end of what went before, and the good steps up to the first that is answered anew."""
    before = len(one.splice.before)
    last = len(one.carried) if one.differs is None else one.differs
    shown = [*range(max(before - SHOWN_STEPS, 0), before), *range(before, last)]
    for at in shown[: 3 * SHOWN_STEPS]:
        part = "good" if at >= before else "bad" if at >= len(one.splice.initial) else "initial"
        yield f"  {part:8}{flat(one.carried[at].action)} -> {flat(one.carried[at].observation)}"
    if one.differs is not None:
        yield f"  good    {flat(one.carried[one.differs].action)}"
        row, world = one.carried[one.differs].observation, "(the episode has ended)"
        if one.differs < len(one.answered):
            world = one.answered[one.differs].observation
        old, new = normalised(row).splitlines(), normalised(world).splitlines()
        yield f"    row    {flat(' / '.join(text for text in old if text not in new))}"
        yield f"    world  {flat(' / '.join(text for text in new if text not in old))}"


def flat(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


if __name__ == "__main__":
    main()
