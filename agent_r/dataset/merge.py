"""Merge several versions (iterations, seeds, worlds) into one, in the shares asked for.

What is drawn is whole trees, so that a chosen revision brings its preference, its judgements and
its tree along, and every config is of the same trees.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent_r.algorithm.rows import Row
from agent_r.algorithm.schema import SCHEMAS
from agent_r.dataset.card.makers import makers_of_merge
from agent_r.dataset.dedup import DedupSet
from agent_r.dataset.manifest import Manifest, read_manifest
from agent_r.dataset.shards import SHARD_BYTES, SPLITS, read_columns, read_rows
from agent_r.dataset.totals import together
from agent_r.dataset.writer import DatasetRef, export
from agent_r.errors import ConfigError, DatasetError


def merge(
    versions: Sequence[Path],
    folder: Path,
    *,
    weights: Sequence[float] = (),
    seed: int = 0,
    elsewhere: Manifest | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> DatasetRef:
    """Write the next version in `folder` from the rows of others; equal rows are there once.

    Args:
        weights: each version's share of the `sft` rows; none: all that there is. The version that
            has least for its share gives all it has, and no row is repeated.
        seed: of the choice of trees.
        elsewhere: the newest version of the merged dataset that the Hub has.

    Raises:
        ConfigError: the weights do not fit the versions, or one holds all rows of another.
        DatasetError: a version is damaged.
    """
    sound = all(math.isfinite(weight) and weight > 0 for weight in weights)
    if weights and (len(weights) != len(versions) or not sound):
        raise ConfigError(f"{len(versions)} versions need as many weights, each above 0")
    if len({version.resolve() for version in versions}) < len(versions):
        raise ConfigError("a version is named twice")
    manifests = [read_manifest(version) for version in versions]
    _require_apart(versions, manifests)
    trees = [sft_rows_by_tree(version) for version in versions]
    quotas = quotas_of(versions, trees, weights)
    chosen = [choose(count, quota, seed) for count, quota in zip(trees, quotas, strict=True)]
    taken: list[Counter[str]] = [Counter() for _ in versions]
    return export(
        rows_of(versions, chosen, taken),
        folder,
        provenance=provenance(manifests, taken, weights, seed),
        elsewhere=elsewhere,
        shard_bytes=shard_bytes,
    )


def rows_of(
    versions: Sequence[Path], chosen: Sequence[set[str]], taken: Sequence[Counter[str]]
) -> Iterator[tuple[str, Row]]:
    """The rows of the chosen trees, each once; `taken` counts what each version gave.

    A task that one version keeps from training is kept from it altogether.
    """
    held = {task for version in versions for task in _validation(version)}
    with DedupSet() as ids:
        for version, kept, count in zip(versions, chosen, taken, strict=True):
            for config in SCHEMAS:
                for row in read_rows(version, config):
                    tree = row["id" if config == "trees" else "tree"]
                    if tree in kept and ids.add(row["id"]):
                        count[config] += 1
                        kept_back = (row["env"], row["task"]) in held
                        yield config, row | {"split": SPLITS[1]} if kept_back else row


def _validation(version: Path) -> Iterator[tuple[str, str]]:
    for env, task, split in read_columns(version, "trees", ["env", "task", "split"]):
        if split == SPLITS[1]:
            yield env, task


def _require_apart(versions: Sequence[Path], manifests: Sequence[Manifest]) -> None:
    """Later versions of a dataset hold the earlier ones' rows: their shares would be no shares."""
    trees = [
        {digest for name, digest in manifest["files"].items() if name.startswith("data/trees/")}
        for manifest in manifests
    ]
    for (one, own), (two, all_of_it) in itertools.permutations(
        zip(versions, trees, strict=True), 2
    ):
        if own < all_of_it:
            raise ConfigError(f"{two} holds all rows of {one} already: leave that one out")


def sft_rows_by_tree(version: Path) -> dict[str, int]:
    """How many `sft` rows each tree gave; 0 for a tree that gave none."""
    count = dict.fromkeys((str(name) for [name] in read_columns(version, "trees", ["id"])), 0)
    for [tree] in read_columns(version, "sft", ["tree"]):
        if tree not in count:
            raise DatasetError(f"{version}: an sft row is of the tree '{tree}', which is not there")
        count[str(tree)] += 1
    return count


def quotas_of(
    versions: Sequence[Path], trees: Sequence[Mapping[str, int]], weights: Sequence[float]
) -> list[int]:
    """How many `sft` rows each version gives.

    Raises:
        ConfigError: a weight is so small that nothing of its version would be left.
    """
    sizes = [sum(count.values()) for count in trees]
    quotas = shares(sizes, weights)
    for version, size, quota in zip(versions, sizes, quotas, strict=True):
        if size and not quota:
            raise ConfigError(f"with these weights {version} would give no row at all")
    return quotas


def shares(sizes: Sequence[int], weights: Sequence[float]) -> list[int]:
    """How many rows of each: as the weights say, as many as the scarcest allows.

    >>> shares([100, 30], [0.5, 0.5]), shares([100, 30], [])
    ([30, 30], [100, 30])
    """
    if not weights:
        return list(sizes)
    most = min(size / weight for size, weight in zip(sizes, weights, strict=True))
    return [int(most * weight + 1e-9) for weight in weights]


def choose(trees: Mapping[str, int], quota: int, seed: int) -> set[str]:
    """Trees in an order of the seed's making, until they have given the quota (or nearly).

    Trees that gave no `sft` row are drawn in the same proportion: they have judgements to give.
    """
    total = sum(trees.values())
    if quota == total:
        return set(trees)
    order = sorted(trees, key=lambda tree: hashlib.sha256(f"{seed}/{tree}".encode()).digest())
    barren = [tree for tree in order if not trees[tree]]
    kept = set(barren[: round(len(barren) * quota / total)])
    left = quota
    for tree in order:
        if 0 < trees[tree] <= left:
            kept.add(tree)
            left -= trees[tree]
    return kept


def provenance(
    manifests: Sequence[Manifest],
    taken: Sequence[Counter[str]],
    weights: Sequence[float],
    seed: int,
) -> Callable[[], dict[str, Any]]:
    """What the merged manifest says of its sources, once the rows have been counted."""

    def of_sources() -> dict[str, Any]:
        sources = []
        for place, (manifest, count) in enumerate(zip(manifests, taken, strict=True)):
            names = ("dataset", "version", "content_digest", "config", "sources", "merge_seed")
            source = {name: manifest[name] for name in names if name in manifest}
            weight = weights[place] if weights else None
            sources.append(source | {"weight": weight, "rows": dict(count)})
        origin = together(manifests)
        if any(
            sum(n.values()) < sum(m["rows"].values()) for n, m in zip(taken, manifests, strict=True)
        ):
            origin.pop("audit", None)  # it was of rows that are not here as well
        people = makers_of_merge(manifests)
        return {**origin, **people, "merge_seed": seed, "sources": sources}

    return of_sources
