"""From a task to what it adds to a dataset, one file a stage: a finished file is never redone."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter

from agent_r.actor import Actor, Metered, SamplingParams
from agent_r.config import digest
from agent_r.critique import Critique, find_first_error, judge_paths
from agent_r.environment import EnvInfo, Environment, TaskSpec
from agent_r.prompts import prompt_digest
from agent_r.pruning import prune
from agent_r.revision import (
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
from agent_r.schema import SCHEMA_VERSION
from agent_r.search import SearchTree, search
from agent_r.services import store
from agent_r.settings import Config, RevisionConfig
from agent_r.trajectory import Trajectory

MakeEnv = Callable[[], Environment]
TREE = TypeAdapter(SearchTree)


@dataclass(frozen=True, slots=True)
class Harvest:
    """What one tree gave: its judgements, its revisions, its good ways, and what was dropped."""

    critiques: dict[int, Critique] = field(default_factory=dict)
    revisions: list[Revision] = field(default_factory=list)
    good: list[Trajectory] = field(default_factory=list)
    drops: dict[str, int] = field(default_factory=dict)
    pairs: int = 0
    calls: int = 0  # completion requests of judging, and of recovery
    prompt_tokens: int = 0
    completion_tokens: int = 0


HARVEST = TypeAdapter(Harvest)


@dataclass(frozen=True, slots=True)
class Forest:
    """Where one iteration's trees and harvests lie; the folders' names hold what made them."""

    trees: Path
    harvests: Path
    make_env: MakeEnv
    config: Config
    revision: RevisionConfig  # with this iteration's alpha

    @classmethod
    def of(
        cls, work: Path, make_env: MakeEnv, config: Config, *, actor: str, iteration: int
    ) -> Forest:
        """Folders named by a digest of all that went in: a changed setting never mixes."""
        revision = config.revision_at(iteration)
        grown = tree_key(make_env().info, config, actor=actor, iteration=iteration)
        made = digest(grown, config.critique, revision)
        return cls(work / f"trees-{grown}", work / f"harvest-{made}", make_env, config, revision)

    def tree(self, task: TaskSpec) -> SearchTree | None:
        return store.load(self._tree_path(task), TREE)

    def harvest(self, task: TaskSpec) -> Harvest | None:
        return store.load(self._harvest_path(task), HARVEST)

    async def explore(self, actor: Actor, task: TaskSpec) -> SearchTree:
        """Search one tree, or read the one that is there."""
        if (found := self.tree(task)) is not None:
            return found
        env, metered = self.make_env(), Metered(actor)
        try:
            seed = random.Random(f"{self.config.seed}/{task.id}").randrange(2**31)
            tree = await search(env, metered, task.id, config=self.config.search, seed=seed)
        finally:
            await env.close()
        tree.prompt_tokens = metered.usage.prompt_tokens
        tree.completion_tokens = metered.usage.completion_tokens
        store.save(self._tree_path(task), TREE, tree)
        return tree

    async def revise(self, actor: Actor, task: TaskSpec) -> Harvest:
        """Judge, splice and verify the pairs of one tree, or read what was made of it before."""
        if (found := self.harvest(task)) is not None:
            return found
        tree = self.tree(task)
        if tree is None:
            raise ValueError(f"no tree of {task.id}: explore it first")
        env, metered = self.make_env(), Metered(actor)
        try:
            harvest = await self._reap(env, metered, tree)
        finally:
            await env.close()
        harvest = replace(
            harvest,
            calls=metered.usage.requests,
            prompt_tokens=metered.usage.prompt_tokens,
            completion_tokens=metered.usage.completion_tokens,
        )
        store.save(self._harvest_path(task), HARVEST, harvest)
        return harvest

    async def _reap(self, env: Environment, actor: Actor, tree: SearchTree) -> Harvest:
        # Twice as many pairs as may be kept are tried: some will be dropped.
        pairs = pair_trajectories(tree, self.revision)[: 2 * self.revision.pairs_per_task]
        paths = [tree.path(pair.bad)[pair.fork :] for pair in pairs]
        critiques = await judge_paths(
            actor, tree, paths, instruction=env.info.instruction, config=self.config.critique
        )
        rng = random.Random(tree.seed)
        drops: Counter[str] = Counter()
        revisions: list[Revision] = []
        seen: set[tuple[str, ...]] = set()
        for pair in pairs:
            made = await self._revise_pair(env, actor, tree, pair, critiques, rng)
            if isinstance(made, Drop):
                drops[made.value] += 1
                continue
            key = tuple(turn.step.response for turn in made.turns)
            if key in seen:
                drops[Drop.DUPLICATE.value] += 1
                continue
            seen.add(key)
            revisions.append(made)
        kept = list(diverse(revisions, self.revision.pairs_per_task))
        good = await self._good(env, tree)
        return Harvest(critiques, kept, good, dict(sorted(drops.items())), len(pairs))

    async def _good(self, env: Environment, tree: SearchTree) -> list[Trajectory]:
        """The tree's good trajectories, shortest first; those that prune to the same are one."""
        found: dict[tuple[str, ...], Trajectory] = {}
        for leaf in good_leaves(tree, self.revision):
            way = tree.trajectory(leaf)
            if self.revision.prune:
                alpha = self.revision.alpha
                steps = await prune(env, tree.task, way.steps, keep=0, alpha=alpha)
                way = replace(way, steps=tuple(steps))
            found.setdefault(tuple(step.action for step in way.steps), way)
        shortest = sorted(found.values(), key=lambda way: len(way.steps))
        return shortest[: self.revision.good_per_task]

    async def _revise_pair(
        self,
        env: Environment,
        actor: Actor,
        tree: SearchTree,
        pair: TrajectoryPair,
        critiques: dict[int, Critique],
        rng: random.Random,
    ) -> Revision | Drop:
        path = tree.path(pair.bad)
        error = find_first_error(tree, path, pair.fork, critiques, config=self.config.critique)
        if error is None:
            return why_no_error([critiques.get(i) for i in path[pair.fork :]])
        critique = critiques.get(path[error.position])
        spliced = splice(tree, pair, error, critique, config=self.revision, rng=rng)
        if not self.revision.verify:
            return spliced
        checked = await verify(env, tree, spliced, alpha=self.revision.alpha)
        if checked is Drop.LOW_REWARD and self.revision.recovery:
            search_config = self.config.search
            return await recover(
                env,
                actor,
                tree,
                spliced,
                alpha=self.revision.alpha,
                max_steps=search_config.max_depth,
                params=SamplingParams(
                    temperature=search_config.temperature,
                    max_tokens=search_config.max_tokens,
                    seed=tree.seed,
                ),
            )
        if isinstance(checked, Revision) and self.revision.prune:
            return await tighten(env, tree, checked, alpha=self.revision.alpha)
        return checked

    def _tree_path(self, task: TaskSpec) -> Path:
        return self.trees / f"{store.slug(task.id)}.json"

    def _harvest_path(self, task: TaskSpec) -> Path:
        return self.harvests / f"{store.slug(task.id)}.json"


def tree_key(info: EnvInfo, config: Config, *, actor: str, iteration: int) -> str:
    """Names all that a tree depends on: world, prompts, model, search and seed."""
    return digest(
        SCHEMA_VERSION,
        info.name,
        info.version,
        prompt_digest(),
        actor,
        config.search,
        config.seed,
        iteration,
    )


def why_no_error(critiques: list[Critique | None]) -> Drop:
    """A judge that failed, one that disagrees with the tree, or one that found nothing wrong."""
    if any(c is not None and c.verdict is None for c in critiques):
        return Drop.JUDGE_FAILED
    if any(c is not None and c.verdict == "Bad" for c in critiques):
        return Drop.DISAGREEMENT
    return Drop.NO_BAD_STEP
