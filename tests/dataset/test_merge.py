"""Several versions as one: whole trees, in the shares asked for, each row once."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_r.algorithm.schema import SCHEMAS
from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.merge import choose, merge
from agent_r.dataset.shards import read_rows
from agent_r.dataset.verification import verify_version
from agent_r.dataset.writer import DatasetRef, export
from agent_r.errors import ConfigError
from env_adapters import world_of_manifest
from tests.support.made import Made


@pytest.fixture
def halves(made: Made, tmp_path: Path) -> list[Path]:
    """The same version as two, tree by tree."""
    trees = [row["id"] for row in made.rows("trees")]
    worlds = {"environments": read_manifest(made.version)["environments"], "actors": ["tiny"]}
    found = []
    for half in (0, 1):
        kept = set(trees[half::2])
        rows = [
            (name, row)
            for name in SCHEMAS
            for row in made.rows(name)
            if row["id" if name == "trees" else "tree"] in kept
        ]
        ref = export(rows, tmp_path / f"half-{half}", provenance=lambda: worlds)
        found.append(Path(ref.path))
    return found


def rows_of(ref: DatasetRef, config: str) -> list[dict[str, object]]:
    return list(read_rows(Path(ref.path), config))


def test_all_of_all_is_what_it_was_made_of(made: Made, halves: list[Path], tmp_path: Path) -> None:
    both = merge(halves, tmp_path / "both")
    assert both.digest == made.built.dataset.digest
    assert merge(halves[::-1], tmp_path / "turned").digest == both.digest
    again = merge([*halves, made.version], tmp_path / "again")
    assert again.digest == both.digest  # each row is there once


async def test_a_merged_version_is_one_like_any_other(halves: list[Path], tmp_path: Path) -> None:
    both = merge(halves, tmp_path / "both")
    result = await verify_version(Path(both.path), world_of_manifest)
    assert (result.rows, result.problems) == (both.rows["sft"], [])


def test_weights_are_shares_of_the_rows_and_are_recorded(
    halves: list[Path], tmp_path: Path
) -> None:
    sizes = [read_manifest(version)["rows"]["sft"] for version in halves]
    assert min(sizes) > 1
    merged = merge(halves, tmp_path / "both", weights=[2.0, 1.0], seed=3)
    sources = read_manifest(Path(merged.path))["sources"]
    most = min(sizes[0] / 2, sizes[1])
    assert [s["weight"] for s in sources] == [2.0, 1.0]
    assert sum(s["rows"]["sft"] for s in sources) == merged.rows["sft"]
    for source, quota in zip(sources, (2 * most, most), strict=True):
        assert 0 < source["rows"]["sft"] <= quota
    assert [s["dataset"] for s in sources] == ["half-0", "half-1"]


def test_every_config_tells_of_the_same_trees(halves: list[Path], tmp_path: Path) -> None:
    merged = merge(halves, tmp_path / "both", weights=[1.0, 1.0])
    trees = {row["id"] for row in rows_of(merged, "trees")}
    sft = {row["id"] for row in rows_of(merged, "sft")}
    for config in set(SCHEMAS) - {"trees"}:
        assert {row["tree"] for row in rows_of(merged, config)} <= trees, config
    assert {row["sft_id"] for row in rows_of(merged, "prompt_completion")} <= sft


def test_the_choice_is_a_matter_of_the_seed_and_never_more_than_the_quota() -> None:
    trees = {f"tree-{i}": i % 3 for i in range(30)}
    chosen = [choose(trees, 10, seed) for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert [sum(trees[tree] for tree in kept) for kept in chosen] == [10, 10, 10]
    assert choose(trees, sum(trees.values()), 5) == set(trees)


def test_a_task_that_one_version_keeps_from_training_is_kept_from_it_by_all(
    made: Made, halves: list[Path], tmp_path: Path
) -> None:
    task = str(made.rows("trees")[0]["task"])
    rows = [
        (name, row | {"split": "validation" if row["task"] == task else "train"})
        for name in SCHEMAS
        for row in made.rows(name)
    ]
    careful = Path(export(rows, tmp_path / "careful", provenance=dict).path)
    for sources in ([*halves, careful], [careful, *halves]):
        both = merge(sources, tmp_path / "both")
        for config in SCHEMAS:
            for row in rows_of(both, config):
                assert (row["split"] == "validation") == (row["task"] == task)
    assert both.version == "v1.1"


def test_a_version_and_one_that_grew_from_it_are_no_two_sources(
    made: Made, halves: list[Path], tmp_path: Path
) -> None:
    more = [(name, row) for name in SCHEMAS for row in read_rows(halves[1], name)]
    grown = export(more, halves[0].parent, provenance=dict, earlier=halves[0])
    for sources in ([halves[0], Path(grown.path)], [Path(grown.path), halves[0]]):
        with pytest.raises(ConfigError, match=r"v1.2 holds all rows of .*v1.1 already"):
            merge(sources, tmp_path / "both")


NO_WEIGHTS = [
    [1.0],
    [1.0, 2.0, 3.0],
    [0.0, 1.0],
    [-1.0, 2.0],
    [float("nan"), 1.0],
    [float("inf"), 1.0],
]


@pytest.mark.parametrize("weights", NO_WEIGHTS)
def test_weights_that_fit_nothing_are_refused(
    halves: list[Path], tmp_path: Path, weights: list[float]
) -> None:
    with pytest.raises(ConfigError, match="as many weights, each above 0"):
        merge(halves, tmp_path / "both", weights=weights)
    assert not (tmp_path / "both").exists()


def test_a_weight_that_leaves_nothing_of_a_version_is_refused(
    halves: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="would give no row"):
        merge(halves, tmp_path / "both", weights=[1e9, 1.0])
