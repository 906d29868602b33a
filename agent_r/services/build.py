"""From an iteration's trees and harvests to a dataset version."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from agent_r.config import Config
from agent_r.critique import Critique
from agent_r.dataset import (
    Origin,
    Row,
    critique_rows,
    good_row,
    preference_row,
    prompt_completion_rows,
    revision_row,
    tree_row,
)
from agent_r.environment import EnvInfo, TaskSpec
from agent_r.prompts import prompt_digest
from agent_r.revision import Part
from agent_r.schema import SCHEMAS
from agent_r.search import SearchTree
from agent_r.services.export import DatasetRef, export
from agent_r.services.forest import Forest, Harvest


class Built(BaseModel):
    """A dataset version and what it was made of."""

    dataset: DatasetRef
    counts: dict[str, int]
    drops: dict[str, int]
    revision_length: float  # steps from the start of a bad trajectory to its first error, mean
    agreement: float | None  # share of located errors where the tree's value falls most


def build(
    forest: Forest, tasks: Sequence[TaskSpec], folder: Path, *, actor: str, iteration: int
) -> Built:
    """Rows of all tasks, in the tasks' order, as the next version in `folder`."""
    info = forest.make_env().info
    rows: dict[str, list[Row]] = {name: [] for name in SCHEMAS}
    counts: Counter[str] = Counter()
    drops: Counter[str] = Counter()
    for task in tasks:
        tree, harvest = forest.tree(task), forest.harvest(task)
        if tree is None or harvest is None:
            counts["trees without a harvest"] += 1
            continue
        add_rows(rows, Origin(info, task, actor, iteration), tree, harvest)
        count(counts, tree, harvest)
        drops.update(harvest.drops)
    rows = {name: unique(rows[name]) for name in rows}
    provenance = describe(info, forest.config, actor=actor, iteration=iteration)
    provenance |= {"counts": dict(counts), "drops": dict(sorted(drops.items()))}
    revised = [row for row in rows["sft"] if row["kind"] == "revision"]
    lengths = [row["error_step"] + 1 for row in revised]
    agreed = [a for row in revised if (a := row["agrees_with_value"]) is not None]
    return Built(
        dataset=export(rows, folder, provenance=provenance),
        counts=dict(counts),
        drops=dict(sorted(drops.items())),
        revision_length=sum(lengths) / len(lengths) if lengths else 0.0,
        agreement=sum(agreed) / len(agreed) if agreed else None,
    )


def add_rows(
    rows: dict[str, list[Row]], origin: Origin, tree: SearchTree, harvest: Harvest
) -> None:
    """One tree's rows of every config."""
    sft = [good_row(origin, way) for way in harvest.good]
    sft += [revision_row(origin, tree, r, harvest.critiques) for r in harvest.revisions]
    rows["sft"] += sft
    for row in sft:
        rows["prompt_completion"] += prompt_completion_rows(row)
    rows["preference"] += [preference_row(origin, tree, r) for r in harvest.revisions]
    rows["critique"] += critique_rows(origin, tree, harvest.critiques)
    rows["trees"].append(tree_row(origin, tree, harvest.critiques))


def count(counts: Counter[str], tree: SearchTree, harvest: Harvest) -> None:
    """What went into a version and what came of it; drops are counted apart."""
    counts["trees"] += 1
    counts["calls"] += tree.calls
    counts["environment steps"] += tree.env_steps
    counts["leaves"] += sum(1 for _ in tree.leaves())
    counts["pairs"] += harvest.pairs
    counts["judged steps"] += len(harvest.critiques)
    counts["judge failed"] += sum(_failed(c) for c in harvest.critiques.values())
    counts["good"] += len(harvest.good)
    counts["revisions"] += len(harvest.revisions)
    counts["verified revisions"] += sum(r.verified for r in harvest.revisions)
    counts["trained replies of revisions"] += sum(
        turn.part in (Part.SIGNAL, Part.GOOD) for r in harvest.revisions for turn in r.turns
    )


def _failed(critique: Critique) -> bool:
    return critique.verdict is None


def unique(rows: Sequence[Row]) -> list[Row]:
    """The first row of each id; ids are digests of content, so twins go."""
    found: dict[str, Row] = {}
    for row in rows:
        found.setdefault(row["id"], row)
    return list(found.values())


def describe(info: EnvInfo, config: Config, *, actor: str, iteration: int) -> dict[str, Any]:
    """What the manifest says of how a version was made; no path, no address, no secret."""
    settings = config.model_dump(
        mode="json",
        exclude={"dataset": {"out"}, "endpoint": True, "train": {"command", "general"}},
    )
    if settings["env"]["recipes"] not in ("builtin", "minecraft"):
        settings["env"]["recipes"] = "folder"
    return {
        "environment": {
            "name": info.name,
            "version": info.version,
            "licence": info.licence,
            "source": info.source,
        },
        "actor": actor,
        "iteration": iteration,
        "prompt_digest": prompt_digest(),
        "config": settings,
    }
