"""A dataset version on disk, read by the tools that will read it."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pandas
import pyarrow.parquet as pq
import pytest
import yaml

from agent_r import files
from agent_r.algorithm.rows import Row
from agent_r.algorithm.schema import SCHEMAS
from agent_r.dataset.card.page import render_card
from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.shards import arrow_schema, read_rows
from agent_r.dataset.writer import export, versions
from agent_r.errors import AgentRError, DatasetError, StoreError
from agent_r.files import sha256
from tests.support.made import Made


def pairs(made: Made) -> list[tuple[str, Row]]:
    return [(name, row) for name in SCHEMAS for row in made.rows(name)]


@pytest.fixture
def copy(made: Made, tmp_path: Path) -> Path:
    """A version of one's own to damage."""
    return Path(shutil.copytree(made.version, tmp_path / "demo" / "v1.1"))


def bare_manifest(version: str) -> dict[str, Any]:
    """As little as a manifest can say."""
    named = {"dataset": "demo", "version": version, "schema_version": 1, "rows": {}, "files": {}}
    return named | {"content_digest": "0" * 64}


def edit_manifest(folder: Path, **changes: Any) -> None:
    manifest = files.read_json(folder / "manifest.json")
    files.write_json(folder / "manifest.json", manifest | changes)


@pytest.mark.parametrize("config", SCHEMAS)
def test_datasets_loads_every_config_by_its_name(
    made: Made, config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, value)
    import datasets

    loaded = datasets.load_dataset(
        str(made.version), config, split="train", cache_dir=str(tmp_path / "cache")
    )
    assert list(loaded) == made.rows(config)
    assert loaded.column_names == list(SCHEMAS[config])


@pytest.mark.parametrize("config", SCHEMAS)
def test_pandas_and_duckdb_read_the_files(made: Made, config: str) -> None:
    path = made.version / "data" / config / "train-00000.parquet"
    ids = [row["id"] for row in made.rows(config)]
    assert list(pandas.read_parquet(path)["id"]) == ids
    with duckdb.connect() as database:
        found = database.execute(f"select id from '{path}'").fetchall()
    assert [name for (name,) in found] == ids
    assert pq.read_schema(path).equals(arrow_schema(config))


def test_the_same_rows_are_the_same_bytes(made: Made, tmp_path: Path) -> None:
    one, two = [
        Path(export(pairs(made), tmp_path / place / "demo", provenance=dict).path)
        for place in ("one", "two")
    ]
    names = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert len(names) > len(SCHEMAS) + 2  # the card's pictures among them
    assert [(one / n).read_bytes() for n in names] == [(two / n).read_bytes() for n in names]


def test_an_empty_dataset_is_a_dataset(tmp_path: Path) -> None:
    ref = export([], tmp_path / "demo", provenance=dict)
    assert read_manifest(Path(ref.path))["rows"] == dict.fromkeys(SCHEMAS, 0)
    assert list(read_rows(Path(ref.path), "sft")) == []


def test_equal_rows_find_the_version_that_has_them_and_others_make_the_next(
    made: Made, tmp_path: Path
) -> None:
    rows, folder = pairs(made), tmp_path / "demo"
    first = export(rows, folder, provenance=lambda: {"counts": {"trees": 6}})
    before = {p: p.read_bytes() for p in Path(first.path).rglob("*") if p.is_file()}
    fewer = export(rows[1:], folder, provenance=dict)
    again = export(rows, folder, provenance=lambda: {"counts": {"trees": 7}})
    assert [first.version, fewer.version, again.version] == ["v1.1", "v1.2", "v1.1"]
    assert again == first
    assert {p: p.read_bytes() for p in before} == before


def test_versions_are_counted_and_not_spelt(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    for name in ("v1.9", "v1.10", "v2.1", ".v1.11-half", "v1.x", "vision"):
        (folder / name).mkdir(parents=True)
        files.write_json(folder / name / "manifest.json", bare_manifest(name))
    assert [path.name for path in versions(folder)] == ["v1.9", "v1.10"]
    assert export([], folder, provenance=dict).version == "v1.11"


def test_a_version_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "v1.1").mkdir()
    with files.beside(tmp_path / "v1.1") as staged, pytest.raises(StoreError, match="never over"):
        files.keep(staged, tmp_path / "v1.1")


def test_a_folder_that_was_half_written_has_no_name_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), files.beside(tmp_path / "v1.1") as staged:
        (staged / "half").write_text("x", encoding="utf-8")
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_row_is_there_once_and_near_twins_are_counted(made: Made, tmp_path: Path) -> None:
    rows = pairs(made)
    sft = [row for name, row in rows if name == "sft"]
    near = sft[0] | {"id": "good-near", "task": "another"}
    ref = export([*rows, *rows[:5], ("sft", near)], tmp_path / "demo", provenance=dict)
    assert ref.rows == made.built.dataset.rows | {"sft": len(sft) + 1}
    duplicates = read_manifest(Path(ref.path))["duplicates"]
    before = read_manifest(made.version)["duplicates"]["near-duplicates kept"]
    assert duplicates == {"left out": 5, "near-duplicates kept": before + 1}


def test_a_row_of_a_held_out_task_is_refused(made: Made, tmp_path: Path) -> None:
    (name, row), *_ = pairs(made)
    with pytest.raises(DatasetError, match=f"held-out task '{row['task']}'"):
        export([(name, row | {"split": "test"})], tmp_path / "demo", provenance=dict)
    assert list((tmp_path / "demo").iterdir()) == []


def test_a_full_file_begins_the_next_and_readers_see_one_config(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_r.dataset.shards.BATCH_BYTES", 1 << 12)
    monkeypatch.setattr("agent_r.dataset.shards.GROUP_BYTES", 1 << 13)
    ref = export(pairs(made), tmp_path / "demo", provenance=dict, shard_bytes=1 << 14)
    files = sorted((Path(ref.path) / "data" / "prompt_completion").iterdir())
    assert len(files) > 2
    assert files[0].name == "train-00000.parquet"
    assert list(read_rows(Path(ref.path), "prompt_completion")) == made.rows("prompt_completion")
    assert ref.digest == made.built.dataset.digest
    assert read_manifest(Path(ref.path))["rows"] == made.built.dataset.rows


def groups(path: Path) -> list[bytes]:
    """The bytes of each row group of a file."""
    content, meta = path.read_bytes(), pq.ParquetFile(path).metadata
    found = []
    for number in range(meta.num_row_groups):
        chunks = [meta.row_group(number).column(i) for i in range(meta.num_columns)]
        starts = [c.dictionary_page_offset or c.data_page_offset for c in chunks]
        ends = [s + c.total_compressed_size for s, c in zip(starts, chunks, strict=True)]
        found.append(content[min(starts) : max(ends)])
    return found


def test_a_row_left_out_changes_the_bytes_of_its_own_group_alone(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_r.dataset.shards.GROUP_BYTES", 1 << 14)
    rows = [pair for pair in pairs(made) if pair[0] == "prompt_completion"]
    name = "data/prompt_completion/train-00000.parquet"
    before, after = (
        groups(Path(export(kept, tmp_path / place, provenance=dict).path) / name)
        for place, kept in (("all", rows), ("fewer", rows[:3] + rows[4:]))
    )
    assert len(before) > 4
    assert len(set(before) - set(after)) <= 2  # the group may have ended with that very row


def test_a_version_tells_of_those_before_it(made: Made, tmp_path: Path) -> None:
    folder, rows = tmp_path / "demo", pairs(made)
    for drop in range(3):
        told = {"config": {"trees": drop}, "actors": [f"actor {drop}"]}
        export(rows[drop:], folder, provenance=partial(dict, told))
    history = read_manifest(folder / "v1.3")["history"]
    assert [one["version"] for one in history] == ["v1.1", "v1.2", "v1.3"]
    assert [one["actors"] for one in history] == [["actor 0"], ["actor 1"], ["actor 2"]]
    assert [one.get("config") for one in history] == [None, {"trees": 1}, {"trees": 2}]


def test_rows_that_do_not_fit_leave_no_version(made: Made, tmp_path: Path) -> None:
    wrong = pairs(made)
    wrong[0] = (wrong[0][0], wrong[0][1] | {"reward": "high"})
    with pytest.raises(Exception, match="high"):
        export(wrong, tmp_path / "demo", provenance=dict)
    assert list((tmp_path / "demo").iterdir()) == []


SFT = "data/sft/train-00000.parquet"


def flip_a_byte(version: Path) -> None:
    content = bytearray((version / SFT).read_bytes())
    content[len(content) // 2] ^= 1
    (version / SFT).write_bytes(content)


def link(path: Path) -> None:
    """The same bytes, from somewhere else."""
    path.rename(path.parent.parent / "elsewhere.png")
    path.symlink_to(path.parent.parent / "elsewhere.png")


DAMAGE = {
    "a byte": flip_a_byte,
    "cut short": lambda v: (v / SFT).write_bytes((v / SFT).read_bytes()[:100]),
    "a file gone": lambda v: (v / SFT).unlink(),
    "a file more": lambda v: shutil.copy(v / SFT, v / "data" / "sft" / "more.parquet"),
    "no manifest": lambda v: (v / "manifest.json").unlink(),
    "no JSON": lambda v: (v / "manifest.json").write_text("{", encoding="utf-8"),
    "a list": lambda v: (v / "manifest.json").write_text("[]", encoding="utf-8"),
    "another schema": lambda v: edit_manifest(v, schema_version=99),
    "no files": lambda v: edit_manifest(v, files=None),
    "no digest": lambda v: edit_manifest(v, content_digest="f"),
    "no version": lambda v: edit_manifest(v, version="main"),
    "rows that are not there": lambda v: edit_manifest(v, rows={"sft": 9}),
    "a file of this machine": lambda v: edit_manifest(v, figures={"/etc/passwd": "0" * 64}),
    "a way out": lambda v: edit_manifest(v, files={"data/sft/../../x.parquet": "0" * 64}),
    "a picture changed": lambda v: next((v / "figures").iterdir()).write_bytes(b"png"),
    "a link": lambda v: link(next((v / "figures").iterdir())),
    "a history of no versions": lambda v: edit_manifest(v, history=["x"]),
    "a world without a licence": lambda v: edit_manifest(v, environments=[{"name": "x"}]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_version_is_one_line(copy: Path, damage: str) -> None:
    assert read_manifest(copy)["version"] == "v1.1"
    DAMAGE[damage](copy)
    with pytest.raises(DatasetError) as caught:
        read_manifest(copy)
    assert "\n" not in str(caught.value)
    assert str(copy) in str(caught.value)


def test_the_cards_yaml_names_the_files_and_columns_of_every_config(made: Made) -> None:
    card = (made.version / "README.md").read_text(encoding="utf-8")
    _, front, body = card.split("---\n", 2)
    meta = yaml.safe_load(front)
    assert [c["config_name"] for c in meta["configs"]] == list(SCHEMAS)
    assert [c["config_name"] for c in meta["configs"] if c.get("default")] == ["sft"]
    for config in meta["configs"]:
        [files] = config["data_files"]
        assert list(made.version.glob(files["path"])), files
    for info in meta["dataset_info"]:
        assert [f["name"] for f in info["features"]] == list(SCHEMAS[info["config_name"]])
    assert f"| `sft` | {made.built.dataset.rows['sft']} |" in body
    assert "{" not in body.split("```python")[0]  # every placeholder was filled


def test_the_card_does_not_claim_an_execution_that_was_not_made(made: Made) -> None:
    manifest = read_manifest(made.version)
    assert "Every revision was executed" in render_card(manifest)
    manifest["config"]["revision"]["verify"] = False
    assert "not executed" in render_card(manifest)


def test_the_card_shows_every_picture_that_lies_beside_it(made: Made) -> None:
    card = (made.version / "README.md").read_text(encoding="utf-8")
    drawn = [path.name for path in (made.version / "figures").iterdir()]
    assert drawn
    assert all(f"](figures/{name})" in card for name in drawn)


def test_the_manifest_says_what_made_it_and_where_nothing_lies(made: Made) -> None:
    text = (made.version / "manifest.json").read_text(encoding="utf-8")
    manifest = json.loads(text)
    assert manifest["content_digest"] == made.built.dataset.digest
    assert manifest["files"][SFT] == sha256(made.version / SFT)
    assert manifest["environments"][0]["name"] == "textcraft"
    assert manifest["counts"]["trees"] == 6
    assert str(made.version.parent.parent) not in text
    assert "endpoint" not in manifest["config"]


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    files.write_bytes(path, b"one")
    files.write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_place_that_cannot_be_written_is_one_line_and_stays_as_it_was(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("mine", encoding="utf-8")
    attempts = [
        lambda: files.require_writable(blocked / "work"),
        lambda: files.require_writable(blocked),
        lambda: files.write_bytes(blocked / "x", b""),
        lambda: export([], blocked / "demo", provenance=dict),
    ]
    for attempt in attempts:
        with pytest.raises(AgentRError) as caught:
            attempt()
        assert "\n" not in str(caught.value)
    assert blocked.read_text(encoding="utf-8") == "mine"


def test_asking_whether_a_folder_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    files.require_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_file_names_of_tasks_are_distinct_where_their_letters_are_not() -> None:
    names = ["ash boards", "Ash Boards", "ash-boards", "灰", "板", "", "../etc", "x" * 500]
    slugs = [files.slug(name) for name in names]
    assert len(set(slugs)) == len(names)
    assert all("/" not in slug and len(slug) < 100 for slug in slugs)
