"""Build a dataset version from an iteration's trees and their revisions."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from agent_r.algorithm.critique import Critique
from agent_r.algorithm.prompts import prompt_digest
from agent_r.algorithm.revision import Part
from agent_r.algorithm.rows import (
    Origin,
    Row,
    critique_rows,
    good_row,
    interleaved_row,
    preference_row,
    prompt_completion_rows,
    revision_row,
    tree_row,
)
from agent_r.algorithm.trajectory import StopReason
from agent_r.algorithm.tree import SearchTree
from agent_r.collection.second_looks import Found, looks_at
from agent_r.collection.tree_revisions import TreeRevisions
from agent_r.collection.tree_stores import Trees
from agent_r.concurrency import gather_bounded
from agent_r.dataset.audit.build_audit import WorldMaker, build_audit
from agent_r.dataset.card.makers import SAID_OF_MAKERS, makers
from agent_r.dataset.manifest import Manifest
from agent_r.dataset.validation import ValidationTasks
from agent_r.dataset.writer import DatasetRef, export
from agent_r.diagnostics.account import Account, Accounting
from agent_r.diagnostics.symptoms import advice, form_of
from agent_r.endpoint.budget import prices
from agent_r.environment import TaskSpec
from agent_r.errors import NothingMade
from agent_r.local_model.token_count import TokenCounter
from agent_r.settings import Endpoint, env_specs, public_settings

READ_AHEAD = 32  # trees with their revisions: as many requests as a store's client makes at once


class BuildResult(BaseModel):
    """A dataset version and what it was made of."""

    dataset: DatasetRef
    counts: dict[str, int]
    drops: dict[str, int]
    revision_length: float  # steps from the start of a bad trajectory to its first error, mean
    agreement: float | None  # share of located errors where the tree's value falls most
    account: Account = Account()  # what became of every reply, episode, tree and pair
    advice: list[str] = []  # what to change, where a share of it is unhealthy


def build(
    trees: Trees,
    tasks: Sequence[TaskSpec],
    folder: Path,
    *,
    actor: str,
    iteration: int,
    earlier: Path | None = None,
    elsewhere: Manifest | None = None,
    world_of: WorldMaker | None = None,
    outcomes: Sequence[dict[str, Any]] = (),
    refused: Sequence[str] = (),
) -> BuildResult:
    """Rows of all tasks, in the tasks' order, as the next version in `folder`.

    It holds the rows of the `earlier` version as well, which come first; what is counted here is
    of the new ones. A few trees are in memory at a time. `elsewhere` is the newest version that the
    Hub has. `world_of` makes fresh worlds whose experts audit the rows, where the settings want it.
    `outcomes` are for the card: what the loop's actors have achieved so far; so are the settings
    that the server `refused`, and that the actor has played without.
    It blocks, and must not be called where an event loop runs: give it a thread there.

    Raises:
        NothingMade: no tree has given a row to train on; no version is written.
    """
    tally = Tally()
    accounting = Accounting(form_of(trees.store_of(tasks[0]).world.grammar) if tasks else "")
    revision = trees.config.revision_at(iteration)
    names = [(trees.store_of(task).world.name, task.id) for task in tasks]
    counter = TokenCounter.of(trees.config)
    validation = ValidationTasks.of(trees.config.dataset.validation, names, earlier)

    def rows() -> Iterator[tuple[str, Row]]:
        for task, pair in _finished_trees(trees, tasks):
            if pair is None:
                tally.counts["trees without a harvest"] += 1
                continue
            tree, tree_revisions = pair
            tally.add(tree, tree_revisions)
            if task.look:
                tally.counts["second looks"] += 1
            accounting.add(tree, tree_revisions, revision, trees.config.critique)
            world = trees.store_of(task).world
            origin = Origin.of(
                world,
                task,
                tree,
                actor=actor,
                iteration=iteration,
                reasons=trees.config.dataset.reasoning,
                misstated=frozenset(tree_revisions.misstated),
            )
            split = {"split": validation.split_of(world.name, task)}
            for config, row in rows_of_tree(origin, tree_revisions):
                if config == "sft" and counter is not None:
                    row["tokens"] = counter(row["messages"])
                yield config, row | split

    def provenance() -> dict[str, Any]:
        description = describe(trees, actor=actor, iteration=iteration, refused=refused)
        price = cost(trees.config.endpoint, tally.counts)
        return (
            description
            | {"counts": dict(tally.counts), "drops": dict(sorted(tally.drops.items()))}
            | {"tokenizers": [counter.name] if counter else []}
            | {"account": accounting.account.model_dump()}
            | ({"cost": price} if price is not None else {})
            | audit.value()
            | ({"outcomes": list(outcomes)} if outcomes else {})
        )

    try:
        with build_audit(trees.config, world_of) as audit:
            dataset = export(
                audit.listening(rows()),
                folder,
                provenance=provenance,
                earlier=earlier,
                elsewhere=elsewhere,
                needed=("sft",),
            )
    except NothingMade as nothing:
        raise NothingMade(str(nothing), accounting.lines(trees.config)) from None
    return BuildResult(
        dataset=dataset,
        counts=dict(tally.counts),
        drops=dict(sorted(tally.drops.items())),
        revision_length=tally.mean_length,
        agreement=tally.agreement,
        account=accounting.account,
        advice=advice(accounting.symptoms(trees.config)),
    )


def _finished_trees(trees: Trees, tasks: Sequence[TaskSpec]) -> Iterator[Found]:
    """Each task with its tree and revisions, and then the second looks at it.

    An object store is read several at once.
    """
    most = trees.config.budget.second_looks
    with asyncio.Runner() as runner:
        for start in range(0, len(tasks), READ_AHEAD):
            some = tasks[start : start + READ_AHEAD]
            found = runner.run(gather_bounded(some, lambda task: looks_at(trees, task, most)))
            yield from chain.from_iterable(found)


def rows_of_tree(origin: Origin, tree_revisions: TreeRevisions) -> Iterator[tuple[str, Row]]:
    """One tree's rows of every config, each with the config's name."""
    sft = [good_row(origin, way) for way in tree_revisions.good]
    sft += [revision_row(origin, r, tree_revisions.critiques) for r in tree_revisions.revisions]
    sft += [interleaved_row(origin, one) for one in tree_revisions.interleaved]
    for row in sft:
        if not any(message["train"] for message in row["messages"]):
            continue  # of all its right steps the words are false
        yield "sft", row
        for reply in prompt_completion_rows(row):
            yield "prompt_completion", reply
    for revision in tree_revisions.revisions:
        if (preferred := preference_row(origin, revision)) is not None:
            yield "preference", preferred
    for critique in critique_rows(origin, tree_revisions.critiques, tree_revisions.effects):
        yield "critique", critique
    yield "trees", tree_row(origin, tree_revisions.critiques, tree_revisions.effects)


@dataclass(slots=True)
class Tally:
    """What went into a version and what came of it."""

    counts: Counter[str] = field(default_factory=Counter)
    drops: Counter[str] = field(default_factory=Counter)
    lengths: int = 0  # steps up to the first error, over all revisions
    agreements: Counter[bool] = field(default_factory=Counter)

    def add(self, tree: SearchTree, tree_revisions: TreeRevisions) -> None:
        self.drops.update(tree_revisions.drops)
        self.lengths += sum(r.error.position + 1 for r in tree_revisions.revisions)
        agreed = (r.error.agrees_with_value for r in tree_revisions.revisions)
        self.agreements.update(a for a in agreed if a is not None)
        count(self.counts, tree, tree_revisions)

    @property
    def mean_length(self) -> float:
        revisions = self.counts["revisions"]
        return self.lengths / revisions if revisions else 0.0

    @property
    def agreement(self) -> float | None:
        known = self.agreements.total()
        return self.agreements[True] / known if known else None


def count(counts: Counter[str], tree: SearchTree, tree_revisions: TreeRevisions) -> None:
    """What went into a version and what came of it; drops are counted apart."""
    counts["trees"] += 1
    counts["calls"] += tree.calls + tree_revisions.calls
    counts["prompt tokens"] += tree.prompt_tokens + tree_revisions.prompt_tokens
    counts["completion tokens"] += tree.completion_tokens + tree_revisions.completion_tokens
    counts["environment steps"] += tree.env_steps
    counts["leaves"] += sum(1 for _ in tree.leaves())
    if refused := sum(node.stop is StopReason.REFUSED for node in tree.nodes):
        counts["refused conversations"] += refused
    counts["pairs"] += tree_revisions.pairs
    counts["judged steps"] += len(tree_revisions.critiques)
    counts["judge failed"] += sum(_failed(c) for c in tree_revisions.critiques.values())
    counts["good"] += len(tree_revisions.good)
    counts["revisions"] += len(tree_revisions.revisions)
    counts["interleaved"] += len(tree_revisions.interleaved)
    if tree_revisions.misstated:
        counts["misstated replies"] += len(tree_revisions.misstated)
    counts["verified revisions"] += sum(r.verified for r in tree_revisions.revisions)
    counts["trained replies of revisions"] += sum(
        turn.part in (Part.SIGNAL, Part.GOOD) for r in tree_revisions.revisions for turn in r.turns
    )


def _failed(critique: Critique) -> bool:
    return critique.verdict is None


def cost(endpoint: Endpoint, counts: Mapping[str, int]) -> float | None:
    """What the tokens cost at the endpoint's prices; None where it has none."""
    tokens, each_costs = (counts["prompt tokens"], counts["completion tokens"]), prices(endpoint)
    if not any(each_costs):
        return None
    return round(sum(n * price for n, price in zip(tokens, each_costs, strict=True)) / 1e6, 4)


def describe(
    trees: Trees, *, actor: str, iteration: int, refused: Sequence[str] = ()
) -> dict[str, Any]:
    """What the manifest says of how a version was made; no path, no address, no secret."""
    settings = trees.config.model_dump(
        mode="json",
        exclude={
            "dataset": {"out", "store", "tokenizer"} | SAID_OF_MAKERS,
            "env": True,
            "budget": True,
            "endpoint": True,
            "hub": True,
            "train": {"command", "general"},
            "continual": True,  # the iteration says it
        },
    )
    worlds = [public_settings(world) for world in env_specs(trees.config.env)]
    settings["env"] = worlds[0] if len(worlds) == 1 else {"kind": "mixture", "worlds": worlds}
    return {
        "environments": trees.worlds,
        "actors": [actor],
        **makers(trees.config, actor, refused),
        "iterations": [iteration],
        "prompt_digest": prompt_digest(),
        "config": settings,
    }
