"""`agent-r diff`: what changed between two versions."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from agent_r.algorithm.schema import SCHEMAS
from agent_r.dataset.diff import Rows, Setting, describe, diff
from agent_r.dataset.writer import export
from agent_r.errors import DatasetError
from agent_r.files import read_json, write_json
from tests.support.made import Made

Tagged = tuple[str, dict[str, Any]]


def rows_of(made: Made) -> list[Tagged]:
    return [(name, copy.deepcopy(row)) for name in SCHEMAS for row in made.rows(name)]


def version(rows: Iterable[Tagged], folder: Path, **said: Any) -> Path:
    return Path(export(rows, folder / "demo", provenance=lambda: said).path)


def test_a_version_is_the_same_as_itself(made: Made) -> None:
    result = diff(made.version, made.version)
    assert {c.config: c.same for c in result.configs} == {n: len(made.rows(n)) for n in SCHEMAS}
    nothing = Rows(0, ())
    assert all((c.added, c.removed, c.changed) == (nothing,) * 3 for c in result.configs)
    assert result.settings == ()
    assert all(one.distance == 0 for one in result.drifts)


def test_rows_are_added_removed_changed_or_the_same(made: Made, tmp_path: Path) -> None:
    rows = rows_of(made)
    sft = [row for name, row in rows if name == "sft"]
    before = version([pair for pair in rows if pair[1] is not sft[0]], tmp_path)
    sft[1]["reward"] = 0.125
    after = version([pair for pair in rows if pair[1] is not sft[2]], tmp_path)

    found = {c.config: c for c in diff(before, after).configs}
    assert found["sft"].added == Rows(1, (sft[0]["id"],))
    assert found["sft"].removed == Rows(1, (sft[2]["id"],))
    assert found["sft"].changed == Rows(1, (sft[1]["id"],))
    assert found["sft"].same == len(sft) - 3
    for name in SCHEMAS.keys() - {"sft"}:  # their files are those of before
        assert found[name].same == len(made.rows(name))
        assert (found[name].added.number, found[name].changed.number) == (0, 0)


def test_the_order_of_rows_is_no_difference(made: Made, tmp_path: Path) -> None:
    first = version(rows_of(made)[::-1], tmp_path / "a")
    configs = diff(first, made.version).configs
    assert {c.config: c.same for c in configs} == {n: len(made.rows(n)) for n in SCHEMAS}


def test_no_more_ids_are_given_than_asked_for(made: Made, tmp_path: Path) -> None:
    rows = rows_of(made)
    few = version([pair for pair in rows if pair[0] != "critique"], tmp_path)
    added = next(
        c.added for c in diff(few, made.version, examples=2).configs if c.config == "critique"
    )
    ids = sorted(row["id"] for name, row in rows if name == "critique")
    assert added == Rows(len(ids), tuple(ids[:2]))


def test_settings_actors_and_worlds_are_compared(made: Made, tmp_path: Path) -> None:
    rows = rows_of(made)
    world = {"name": "textcraft", "version": "1", "licence": "MIT"}
    before = version(
        rows, tmp_path / "a", config={"search": {"simulations": 8}, "seed": 0}, actors=["a"],
        environments=[world],
    )  # fmt: skip
    after = version(
        rows, tmp_path / "b", config={"search": {"simulations": 16}, "seed": 0, "new": 1},
        actors=["a", "b"], environments=[world | {"version": "2"}],
    )  # fmt: skip
    assert diff(before, after).settings == (
        Setting("actors", ["a"], ["a", "b"]),
        Setting("environments", ["textcraft 1"], ["textcraft 2"]),
        Setting("setting.new", None, 1),
        Setting("setting.search.simulations", 8, 16),
    )


def test_distributions_that_moved_are_named_with_their_means(made: Made, tmp_path: Path) -> None:
    rows = rows_of(made)
    for name, row in rows:
        if name == "sft":
            row["steps"] += 2
    drifts = {one.name: one for one in diff(made.version, version(rows, tmp_path)).drifts}
    steps = drifts["steps"]
    assert steps.mean_before is not None and steps.mean_after == pytest.approx(
        steps.mean_before + 2
    )
    assert drifts["kind"].distance == 0


def test_it_is_described_in_short_lines(made: Made, tmp_path: Path) -> None:
    rows = rows_of(made)
    before = version(rows, tmp_path, config={"seed": 0}, actors=["a"])
    gone = [pair for pair in rows if pair[0] != "preference"]
    after = version(gone, tmp_path, config={"seed": 1}, actors=["a", "b"])
    lines = describe(diff(before, after))
    number = len(made.rows("preference"))
    assert lines[0] == "demo v1.1 → demo v1.2"
    assert f"preference: 0 added, {number} removed, 0 changed, 0 the same" in lines
    assert "setting seed: 0 → 1" in lines
    assert "actors: a → a, b" in lines
    assert all(len(line) < 200 for line in lines)


def test_a_version_of_another_schema_or_a_damaged_one_is_refused(
    made: Made, tmp_path: Path
) -> None:
    other = version(rows_of(made), tmp_path)
    manifest = read_json(other / "manifest.json")
    write_json(other / "manifest.json", manifest | {"schema_version": 99})
    with pytest.raises(DatasetError, match="has schema 99"):
        diff(made.version, other)
    write_json(other / "manifest.json", manifest)
    next((other / "data" / "sft").iterdir()).write_bytes(b"")
    with pytest.raises(DatasetError, match="is not the file that the manifest names"):
        diff(other, made.version)
