"""Turn one tree into judgements, verified revisions and good trajectories."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pydantic import TypeAdapter

from agent_r.actor import Actor, SamplingParams
from agent_r.algorithm.critique import Critique, find_first_error, judge_paths
from agent_r.algorithm.pruning import prune
from agent_r.algorithm.revision import (
    Drop,
    Revision,
    TrajectoryPair,
    diverse,
    good_leaves,
    pair_trajectories,
    recover,
    splice,
    tighten,
    verify,
)
from agent_r.algorithm.trajectory import Trajectory
from agent_r.algorithm.tree import SearchTree
from agent_r.environment import Environment
from agent_r.reading.reply import Reading
from agent_r.settings import Config, RevisionConfig


@dataclass(frozen=True, slots=True)
class Dropped:
    """A pair that gave no revision, and why."""

    pair: TrajectoryPair
    reason: Drop


@dataclass(frozen=True, slots=True)
class TreeRevisions:
    """What one tree gave: judgements, revisions, good trajectories, and dropped pairs."""

    critiques: dict[int, Critique] = field(default_factory=dict)
    revisions: list[Revision] = field(default_factory=list)
    good: list[Trajectory] = field(default_factory=list)
    drops: dict[str, int] = field(default_factory=dict)  # counted by reason
    dropped: list[Dropped] = field(default_factory=list)  # the same, each; older files have none
    pairs: int = 0
    calls: int = 0  # completion requests of judging, and of recovery
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tree: str = ""  # digest of the tree's file: its nodes are meant, and no other tree's
    replies: dict[str, int] = field(default_factory=dict)  # of recovery, by Outcome


TREE_REVISIONS = TypeAdapter(TreeRevisions)


def most_tried(config: RevisionConfig) -> int:
    """Pairs of one tree that are tried at most: some will be dropped."""
    return 2 * config.pairs_per_task


async def revise_tree(
    env: Environment, actor: Actor, tree: SearchTree, config: Config, revision: RevisionConfig
) -> TreeRevisions:
    """Judge, splice and verify pairs, a few at a time, until as many are there as are kept.

    Raises:
        EndpointError, EnvironmentFault: nothing of it is worth keeping then.
    """
    return await _TreeReviser(env, actor, tree, config, revision).revise_tree()


@dataclass(frozen=True, slots=True)
class _TreeReviser:
    env: Environment
    actor: Actor
    tree: SearchTree
    config: Config
    revision: RevisionConfig  # with the iteration's alpha
    critiques: dict[int, Critique] = field(default_factory=dict)
    spliced: set[tuple[int, int]] = field(default_factory=set)  # first error, and the good leaf
    replies: dict[str, int] = field(default_factory=dict)

    async def revise_tree(self) -> TreeRevisions:
        pairs = pair_trajectories(self.tree, self.revision)
        rng = random.Random(self.tree.seed)
        found: dict[tuple[str, ...], Revision] = {}
        dropped: list[Dropped] = []
        cap, tried, again = self.revision.pairs_per_task, 0, 0
        while tried < len(pairs) and len(found) < cap and tried - again < self._most_tried:
            some = pairs[tried : tried + cap - len(found)]
            tried += len(some)
            await self._judge(some)
            for pair in some:
                await asyncio.sleep(0)  # replays take a while: other trees' replies may be here
                made = await self._revise(pair, rng)
                if isinstance(made, Drop):
                    dropped.append(Dropped(pair, made))
                    again += made is Drop.SAME_ERROR  # which costs nothing
                elif (key := tuple(turn.step.response for turn in made.turns)) in found:
                    dropped.append(Dropped(pair, Drop.DUPLICATE))
                else:
                    found[key] = made
        kept = list(diverse(list(found.values()), cap))
        judged = dict(sorted(self.critiques.items()))  # they came in any order
        drops = dict(sorted(Counter(one.reason.value for one in dropped).items()))
        return TreeRevisions(
            judged,
            kept,
            await self._good(),
            drops,
            dropped,
            tried,
            replies=dict(sorted(self.replies.items())),
        )

    @property
    def _most_tried(self) -> int:
        return most_tried(self.revision)

    async def _judge(self, pairs: Sequence[TrajectoryPair]) -> None:
        await judge_paths(
            self.actor,
            self.tree,
            [self.tree.path(pair.bad)[pair.fork :] for pair in pairs],
            self.critiques,
            instruction=self.env.info.instruction,
            config=self.config.critique,
            grammar=self.env.info.grammar,
        )

    async def _good(self) -> list[Trajectory]:
        """The tree's good trajectories, shortest first; those that prune to the same are one."""
        found: dict[tuple[str, ...], Trajectory] = {}
        for leaf in good_leaves(self.tree, self.revision):
            await asyncio.sleep(0)
            way = self.tree.trajectory(leaf)
            if self.revision.prune:
                alpha = self.revision.alpha
                steps = await prune(self.env, self.tree.task, way.steps, keep=0, alpha=alpha)
                way = replace(way, steps=tuple(steps))
            found.setdefault(tuple(step.action for step in way.steps), way)
        shortest = sorted(found.values(), key=lambda way: len(way.steps))
        return shortest[: self.revision.good_per_task]

    async def _revise(self, pair: TrajectoryPair, rng: random.Random) -> Revision | Drop:
        path, alpha = self.tree.path(pair.bad), self.revision.alpha
        error = find_first_error(
            self.tree, path, pair.fork, self.critiques, config=self.config.critique
        )
        if error is None:
            return why_no_error([self.critiques.get(i) for i in path[pair.fork :]])
        if (path[error.position], pair.good) in self.spliced:
            return Drop.SAME_ERROR
        self.spliced.add((path[error.position], pair.good))
        critique = self.critiques.get(path[error.position])
        spliced = splice(self.tree, pair, error, critique, config=self.revision, rng=rng)
        if not self.revision.verify:
            return spliced
        checked = await verify(self.env, self.tree, spliced, alpha=alpha)
        if checked is Drop.LOW_REWARD and self.revision.recovery:
            return await self._recover(spliced)
        if isinstance(checked, Revision) and self.revision.prune:
            return await tighten(self.env, self.tree, checked, alpha=alpha)
        return checked

    async def _recover(self, spliced: Revision) -> Revision | Drop:
        how = self.config.search
        return await recover(
            self.env,
            self.actor,
            self.tree,
            spliced,
            alpha=self.revision.alpha,
            max_steps=how.max_depth,
            params=SamplingParams(
                temperature=how.temperature, max_tokens=how.max_tokens, seed=self.tree.seed
            ),
            heard=self._count,
        )

    def _count(self, replies: Sequence[Reading]) -> None:
        for reading in replies:
            kind = reading.outcome.value
            self.replies[kind] = self.replies.get(kind, 0) + 1


def why_no_error(critiques: list[Critique | None]) -> Drop:
    """A judge that failed, one that disagrees with the tree, or one that found nothing wrong."""
    if any(c is not None and c.verdict is None for c in critiques):
        return Drop.JUDGE_FAILED
    if any(c is not None and c.verdict == "Bad" for c in critiques):
        return Drop.DISAGREEMENT
    return Drop.NO_BAD_STEP
