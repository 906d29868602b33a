"""Explore and revise a task's tree, each step saved in a file that is never redone.

While a tree grows, its replies are in a journal: a run may be killed at any moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from agent_r import files
from agent_r.actor import Actor, Metered
from agent_r.algorithm.pairing import pair_trajectories
from agent_r.algorithm.prompts import exploring_digest, prompt_digest
from agent_r.algorithm.schema import SCHEMA_VERSION
from agent_r.algorithm.search import search
from agent_r.algorithm.tree import ROOT, SearchTree
from agent_r.closing import lent
from agent_r.collection.identity import of_world, unnamed
from agent_r.collection.journal import Journal
from agent_r.collection.object_store import ObjectStore
from agent_r.collection.revise_tree import most_tried, revise_tree
from agent_r.collection.tree_revisions import REVISING, TREE_REVISIONS, TreeRevisions
from agent_r.config import digest
from agent_r.digests import sha256_of
from agent_r.environment import EnvInfo, Environment, TaskSpec
from agent_r.settings import (
    Config,
    RevisionConfig,
    env_specs,
    public_settings,
)

MakeEnv = Callable[[], Environment]
T = TypeVar("T")
TREE = TypeAdapter(SearchTree)


@dataclass(frozen=True, slots=True)
class TreeStore:
    """Where one iteration's trees of one world lie; the folders' names hold what made them."""

    trees: ObjectStore
    all_revisions: ObjectStore
    journals: Path  # of this machine, always: lines are added to them
    key: str  # names all that went in
    make_env: MakeEnv
    world: EnvInfo
    config: Config
    revision: RevisionConfig  # with this iteration's alpha
    unclosed: Counter[str] = field(default_factory=Counter)  # closings that failed, by world

    @classmethod
    def of(
        cls,
        work: Path,
        make_env: MakeEnv,
        config: Config,
        *,
        actor: str,
        iteration: int,
        object_store: ObjectStore | None = None,
    ) -> TreeStore:
        """Folders named by a digest of all that went in: a changed setting never mixes.

        They are in `work`, or in an object store, which several machines can share.
        """
        revision, object_store = config.revision_at(iteration), object_store or ObjectStore.at(work)
        world = make_env().info
        grown = tree_key(world, config, actor=actor, iteration=iteration)
        revisions_key = digest(grown, prompt_digest(), config.critique, revision, REVISING)
        trees, all_revisions = (
            object_store.below(f"trees-{grown}"),
            object_store.below(f"harvest-{revisions_key}"),
        )
        journals = work / f"journal-{revisions_key}"
        return cls(trees, all_revisions, journals, revisions_key, make_env, world, config, revision)

    def store_of(self, task: TaskSpec) -> TreeStore:
        """This one, of all tasks of its world."""
        return self

    @property
    def worlds(self) -> list[dict[str, Any]]:
        """What a manifest says of the world: enough to execute its rows again, and no address."""
        [spec] = env_specs(self.config.env)
        return [
            {
                "name": self.world.name,
                "version": self.world.version,
                "licence": self.world.licence,
                "source": self.world.source,
                "settings": public_settings(spec),
            }
        ]

    async def tree(self, task: TaskSpec) -> SearchTree | None:
        found = await _load(self.trees, _file(task), TREE)
        return found[0] if found else None

    async def tree_revisions(self, task: TaskSpec) -> TreeRevisions | None:
        found = await _load(self.all_revisions, _file(task), TREE_REVISIONS)
        return found[0] if found else None

    async def finished(self, task: TaskSpec) -> bool:
        """Whether revisions are stored, and were made of the tree that is there now."""
        tree_revisions, content = await asyncio.gather(
            self.tree_revisions(task), self.trees.read(_file(task))
        )
        return (
            tree_revisions is not None
            and content is not None
            and tree_revisions.tree == sha256_of(content, 16)
        )

    async def with_revisions(self, task: TaskSpec) -> tuple[SearchTree, TreeRevisions] | None:
        """A tree and what was made of it; None where either is missing, or made of another tree."""
        tree_revisions, found = await asyncio.gather(
            self.tree_revisions(task), _load(self.trees, _file(task), TREE)
        )
        if tree_revisions is None or found is None or found[1] != tree_revisions.tree:
            return None
        return found[0], tree_revisions

    async def explore(self, actor: Actor, task: TaskSpec) -> SearchTree:
        """Search one tree, or read the one that is there."""
        if (found := await self.tree(task)) is not None:
            return found
        async with self._env() as env:
            with Journal(actor, self._journal(task, "tree")) as journal:
                metered = Metered(journal)
                tree = await search(
                    env,
                    metered,
                    task.id,
                    config=self.config.search,
                    seed=self._seed(task),
                    enough=self._enough,
                )
                tree.prompt_tokens = metered.usage.prompt_tokens
                tree.completion_tokens = metered.usage.completion_tokens
                await self.trees.write(_file(task), TREE.dump_json(tree))
                journal.forget()
        return tree

    async def revise(self, actor: Actor, task: TaskSpec) -> TreeRevisions:
        """Judge, splice and verify the pairs of one tree, or read what was made of it before."""
        if (with_revisions := await self.with_revisions(task)) is not None:
            return with_revisions[1]
        self._journal(task, "tree").unlink(missing_ok=True)  # of a kill right after it was saved
        found = await _load(self.trees, _file(task), TREE)
        if found is None:
            raise ValueError(f"no tree of {task.id}: explore it first")
        async with self._env() as env:
            with Journal(actor, self._journal(task, "harvest")) as journal:
                metered = Metered(journal)
                tree_revisions = replace(
                    await revise_tree(env, metered, found[0], self.config, self.revision),
                    calls=metered.usage.requests,
                    prompt_tokens=metered.usage.prompt_tokens,
                    completion_tokens=metered.usage.completion_tokens,
                    tree=found[1],
                )
                await self.all_revisions.write(
                    _file(task), TREE_REVISIONS.dump_json(tree_revisions)
                )
                journal.forget()
        return tree_revisions

    def _env(self) -> AbstractAsyncContextManager[Environment]:
        return lent(self.make_env(), self.world.name, self.unclosed)

    def tidy(self, task: TaskSpec) -> None:
        """Delete a journal that a kill left behind although the tree was saved."""
        for stage in ("tree", "harvest"):
            self._journal(task, stage).unlink(missing_ok=True)

    def leave(self) -> None:
        """Clean up at a run's end: keep only the journals of trees that failed."""
        with contextlib.suppress(OSError):
            self.journals.rmdir()

    def _seed(self, task: TaskSpec) -> int:
        again = f"/{task.repeat}" if task.repeat else ""
        look = f"/look {task.look}" if task.look else ""
        return random.Random(f"{self.config.seed}/{task.id}{again}{look}").randrange(2**31)

    def _enough(self, tree: SearchTree) -> bool:
        """Whether the tree holds enough pairs, or has had none for too long."""
        how = self.config.search
        if not (how.stop_early or how.abandon_after):
            return False
        pairs = len(pair_trajectories(tree, self.revision))
        if how.abandon_after and not pairs and tree.nodes[ROOT].visits >= how.abandon_after:
            return True
        return how.stop_early and pairs >= most_tried(self.revision)

    def _journal(self, task: TaskSpec, stage: str) -> Path:
        return self.journals / f"{_name(task)}.{stage}.jsonl"


async def _load(object_store: ObjectStore, name: str, kind: TypeAdapter[T]) -> tuple[T, str] | None:
    """A value and the digest of its file; None: not there, or something else, to be redone."""
    content = await object_store.read(name)
    if content is None:
        return None
    try:
        return kind.validate_json(content), sha256_of(content, 16)
    except ValidationError:
        return None


def _name(task: TaskSpec) -> str:
    again = f"-{task.repeat}" if task.repeat or task.look else ""
    return files.slug(task.id) + again + (f"-{task.look}" if task.look else "")


def _file(task: TaskSpec) -> str:
    return f"{_name(task)}.json"


def tree_key(info: EnvInfo, config: Config, *, actor: str, iteration: int) -> str:
    """Digest of all that a tree depends on: world, prompts, model, search and seed."""
    how = config.search
    early = enough_key(config.revision_at(iteration)) if how.stop_early or how.abandon_after else ""
    return digest(
        SCHEMA_VERSION,
        *of_world(info),
        exploring_digest(),
        actor,
        how,
        early,
        config.seed,
        iteration,
        *unnamed(config).values(),
    )


def enough_key(config: RevisionConfig) -> str:
    """What says that a tree holds enough, and so where its search stops early."""
    return f"{config.alpha}/{config.beta}/{config.beta_is}/{most_tried(config)}"
