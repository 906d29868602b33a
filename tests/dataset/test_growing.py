"""Versions that add up: one holds the rows of those before it, and costs what its new rows do."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent_r import files
from agent_r.algorithm.rows import Row
from agent_r.algorithm.schema import SCHEMAS
from agent_r.dataset.diff import diff
from agent_r.dataset.manifest import read_manifest, to_train
from agent_r.dataset.shards import read_rows, split_of
from agent_r.dataset.staging import stage
from agent_r.dataset.turnover import turnover
from agent_r.dataset.validation import ValidationTasks
from agent_r.dataset.writer import export, of_iteration
from agent_r.environment import TaskSpec
from agent_r.errors import DatasetError, NothingMade
from tests.support.made import Made

Tagged = tuple[str, Row]
SPENT = {"trees": 3, "calls": 10}


@pytest.fixture
def halves(made: Made) -> list[list[Tagged]]:
    """Rows of two iterations: the trees of one version in two parts."""
    trees = [row["id"] for row in made.rows("trees")]
    return [
        [
            (name, row | {"iteration": half + 1})
            for name in SCHEMAS
            for row in made.rows(name)
            if row["id" if name == "trees" else "tree"] in trees[half::2]
        ]
        for half in (0, 1)
    ]


def origin(made: Made, iteration: int) -> dict[str, Any]:
    worlds = {"environments": read_manifest(made.version)["environments"]}
    account = {"pairs": {"tried": iteration}}
    return worlds | {"actors": [f"actor-{iteration}"], "iterations": [iteration],
                     "counts": SPENT, "drops": {"duplicate": iteration}, "cost": 0.5,
                     "account": account, "prompt_digest": "p"}  # fmt: skip


def grow(made: Made, halves: list[list[Tagged]], folder: Path) -> tuple[Path, Path]:
    one = Path(export(halves[0], folder, provenance=partial(origin, made, 1)).path)
    two = export(halves[1], folder, provenance=partial(origin, made, 2), earlier=one)
    return one, Path(two.path)


def test_the_next_version_holds_both_and_is_what_one_stream_would_have_made(
    made: Made, halves: list[list[Tagged]], tmp_path: Path
) -> None:
    one, two = grow(made, halves, tmp_path / "demo")
    for config in SCHEMAS:
        wanted = [row for half in halves for name, row in half if name == config]
        assert list(read_rows(two, config)) == wanted, config
    grown = read_manifest(two)
    at_once = read_manifest(
        Path(export([*halves[0], *halves[1]], tmp_path / "b", provenance=dict).path)
    )
    for name in ("content_digest", "rows", "splits", "statistics", "row_sums"):
        assert grown[name] == at_once[name], name
    assert [one.name, two.name] == ["v1.1", "v1.2"]


def test_what_was_there_is_linked_and_not_written_again(
    made: Made, halves: list[list[Tagged]], tmp_path: Path
) -> None:
    one, two = grow(made, halves, tmp_path / "demo")
    before = read_manifest(one)
    for name, digest in before["files"].items():
        if not before["shards"][name]["rows"]:
            continue  # its columns alone: the first rows take its place
        assert read_manifest(two)["files"][name] == digest
        assert (two / name).stat().st_ino == (one / name).stat().st_ino
    shutil.rmtree(one)
    assert read_manifest(two)["version"] == "v1.2"


def test_the_manifest_adds_up_what_it_took_and_says_what_came_and_went(
    made: Made, halves: list[list[Tagged]], tmp_path: Path
) -> None:
    one, two = grow(made, halves, tmp_path / "demo")
    manifest = read_manifest(two)
    assert manifest["counts"] == {"trees": 6, "calls": 20}
    assert (manifest["drops"], manifest["cost"]) == ({"duplicate": 3}, 1.0)
    assert manifest["account"] == {"pairs": {"tried": 3}}
    assert manifest["iterations"] == [1, 2]
    assert manifest["actors"] == ["actor-1", "actor-2"]
    assert manifest["prompt_digest"] == "p"
    new = {name: sum(config == name for config, _ in halves[1]) for name in SCHEMAS}
    assert manifest["changes"] == {
        "since": "v1.1",
        "rows": {name: {"added": n, "removed": 0} for name, n in new.items()},
    }
    card = (two / "README.md").read_text(encoding="utf-8")
    assert "All rows of v1.1 are in this version as well." in card
    assert f"| +{new['sft']} −0 |" in card
    assert {c.config: c.removed.number for c in diff(one, two).configs} == dict.fromkeys(SCHEMAS, 0)


def test_a_version_that_begins_anew_says_which_rows_it_left(
    made: Made, halves: list[list[Tagged]], tmp_path: Path
) -> None:
    folder = tmp_path / "demo"
    one, two = grow(made, halves, folder)
    again = Path(export(halves[1], folder, provenance=partial(origin, made, 1)).path)
    assert again.name == "v1.3"
    gone = {name: sum(config == name for config, _ in halves[0]) for name in SCHEMAS}
    changes = read_manifest(again)["changes"]
    assert changes["rows"] == {n: {"added": 0, "removed": k} for n, k in gone.items()}
    assert f"{sum(gone.values())} rows of v1.2 are not in this version" in (
        again / "README.md"
    ).read_text(encoding="utf-8")
    found = diff(two, again).configs
    assert {c.config: c.removed.number for c in found} == gone
    files = [read_manifest(v)["files"] for v in (one, again)]
    assert turnover(one, again, *files)["sft"] == {
        "added": sum(n == "sft" for n, _ in halves[1]), "removed": gone["sft"],
    }  # fmt: skip


def test_rows_that_were_there_are_there_once_and_make_no_version(
    made: Made, halves: list[list[Tagged]], tmp_path: Path
) -> None:
    folder = tmp_path / "demo"
    one, _ = grow(made, halves, folder)
    again = export(halves[0], folder, provenance=dict, earlier=one, needed=("sft",))
    assert again.version == "v1.1"
    with pytest.raises(NothingMade, match="no sft row to train on"):
        export([], folder, provenance=dict, earlier=one, needed=("sft",))
    assert sorted(p.name for p in folder.iterdir()) == ["v1.1", "v1.2"]


def test_growing_on_can_be_killed_and_done_again_to_the_same_bytes(
    made: Made, halves: list[list[Tagged]], tmp_path: Path
) -> None:
    _, two = grow(made, halves, tmp_path / "a" / "demo")
    one = Path(export(halves[0], tmp_path / "b" / "demo", provenance=partial(origin, made, 1)).path)
    cut = (pair for pair in [*halves[1][:3], None])
    with pytest.raises(TypeError):
        export(cut, one.parent, provenance=dict, earlier=one)  # type: ignore[arg-type]
    again = export(halves[1], one.parent, provenance=partial(origin, made, 2), earlier=one)
    names = sorted(p.relative_to(two) for p in two.rglob("*") if p.is_file())
    assert [(two / n).read_bytes() for n in names] == [
        (Path(again.path) / n).read_bytes() for n in names
    ]


def test_a_version_of_before_is_written_again_in_todays_form_with_all_its_rows(
    made: Made, halves: list[list[Tagged]], tmp_path: Path
) -> None:
    one = Path(export(halves[0], tmp_path / "demo", provenance=partial(origin, made, 1)).path)
    manifest = read_manifest(one)
    for later in ("row_sums", "splits", "shards", "changes"):
        manifest.pop(later, None)
    for name in [*manifest["files"]]:
        old = name.replace(".parquet", "-of-00001.parquet")
        (one / name).rename(one / old)
        manifest["files"][old] = manifest["files"].pop(name)
    files.write_json(one / "manifest.json", manifest)
    two = Path(export(halves[1], one.parent, provenance=partial(origin, made, 2), earlier=one).path)
    for config in SCHEMAS:
        wanted = [row for half in halves for name, row in half if name == config]
        assert list(read_rows(two, config)) == wanted, config
    assert to_train(manifest) == manifest["rows"]


def test_a_damaged_version_is_never_grown_on(
    made: Made, halves: list[list[Tagged]], tmp_path: Path
) -> None:
    one = Path(export(halves[0], tmp_path / "demo", provenance=dict).path)
    (one / "data/sft/train-00000.parquet").write_bytes(b"")
    with pytest.raises(DatasetError, match="is not the file"):
        export(halves[1], tmp_path / "demo", provenance=dict, earlier=one)


def test_the_version_to_grow_on_is_the_newest_that_ends_with_the_iteration_before(
    made: Made, halves: list[list[Tagged]], tmp_path: Path
) -> None:
    folder = tmp_path / "demo"
    one, two = grow(made, halves, folder)
    assert [of_iteration(folder, n) for n in (0, 1, 2, 3)] == [None, one, two, None]
    three = Path(export(halves[1], folder, provenance=partial(origin, made, 1)).path)
    assert of_iteration(folder, 1) == three


def spec(name: str, **over: Any) -> TaskSpec:
    return TaskSpec(name, "train", **over)


def test_validation_tasks_are_a_share_and_the_same_everywhere() -> None:
    names = [f"task {n}" for n in range(2000)]
    split = ValidationTasks.of(0.1, [("toy", name) for name in names], None)
    kept = [name for name in names if split.split_of("toy", spec(name)) == "validation"]
    assert 150 < len(kept) < 250
    turned = ValidationTasks.of(0.2, [("toy", name) for name in names[::-1]], None)
    assert all(turned.split_of("toy", spec(name, repeat=3)) == "validation" for name in kept)
    assert split.split_of("toy", TaskSpec(kept[0], "test")) == "test"
    few = ValidationTasks.of(0.1, [("toy", name) for name in kept[:9]], None)
    assert {few.split_of("toy", spec(name)) for name in kept} == {"train"}


def test_a_task_stays_in_its_split_whatever_the_share_becomes(made: Made, tmp_path: Path) -> None:
    names = [(str(row["env"]), str(row["task"])) for row in made.rows("trees")]
    split = ValidationTasks.of(0.5, names, None)
    rows = [
        (name, row | {"split": split.split_of(row["env"], spec(row["task"]))})
        for name in SCHEMAS
        for row in made.rows(name)
    ]
    one = Path(export(rows, tmp_path / "demo", provenance=partial(origin, made, 1)).path)
    after = ValidationTasks.of(1.0, names, one)
    assert [after.split_of(*task) for task in _specs(names)] == [
        split.split_of(*task) for task in _specs(names)
    ]
    assert after.split_of("textcraft", spec("a new task")) == "validation"
    held = read_manifest(one)["splits"]
    assert {split for counted in held.values() for split in counted} == {"train", "validation"}
    for config in SCHEMAS:
        kept = list(read_rows(one, config, "validation"))
        assert len(kept) == held[config].get("validation", 0)
        assert {row["split"] for row in kept} <= {"validation"}
        assert {row["split"] for row in read_rows(one, config, "train")} == {"train"}
    trained = {row["task"] for row in read_rows(one, "sft", "train")}
    assert trained.isdisjoint(row["task"] for row in read_rows(one, "sft", "validation"))


def _specs(names: list[tuple[str, str]]) -> list[tuple[str, TaskSpec]]:
    return [(env, spec(name)) for env, name in names]


def test_datasets_loads_each_split_by_its_name(made: Made, tmp_path: Path) -> None:
    import datasets

    tasks = sorted({str(row["task"]) for row in made.rows("sft")})
    rows = [
        (name, row | {"split": "validation" if row["task"] == tasks[0] else "train"})
        for name in SCHEMAS
        for row in made.rows(name)
    ]
    version = export(rows, tmp_path / "demo", provenance=dict).path
    loaded = datasets.load_dataset(version, "sft", cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "validation"}
    for split, rows_of_it in loaded.items():
        assert list(rows_of_it) == list(read_rows(Path(version), "sft", split)) != []
    card = (Path(version) / "README.md").read_text(encoding="utf-8")
    assert f"{len(loaded['validation'])} of the `sft` rows are the split `validation`" in card


def test_files_are_named_by_their_split_and_a_split_without_rows_has_none(
    made: Made, tmp_path: Path
) -> None:
    rows: list[Tagged] = [("sft", row | {"split": "validation"}) for row in made.rows("sft")]
    made_of = stage(iter(rows), tmp_path)
    assert sorted(split_of(Path(n)) for n in made_of.files) == ["train"] * 5 + ["validation"]
    assert made_of.offered["sft"] == 0
    assert made_of.splits["sft"] == {"validation": len(rows)}
