"""A dataset version on disk, read by the tools that will read it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pandas
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import Made

from agent_r.dataset import Row
from agent_r.errors import AgentRError, DatasetError, StoreError
from agent_r.schema import SCHEMAS
from agent_r.services import store
from agent_r.services.card import render_card
from agent_r.services.export import (
    arrow_schema,
    export,
    read_manifest,
    read_rows,
    sha256,
    versions,
)


def rows_of(made: Made) -> dict[str, list[Row]]:
    return {name: made.rows(name) for name in SCHEMAS}


@pytest.fixture
def copy(made: Made, tmp_path: Path) -> Path:
    """A version of one's own to damage."""
    return Path(shutil.copytree(made.version, tmp_path / "demo" / "v1.1"))


def edit_manifest(version: Path, **changes: Any) -> None:
    manifest = store.read_json(version / "manifest.json")
    store.write_json(version / "manifest.json", manifest | changes)


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
    path = made.version / "data" / config / "train-00000-of-00001.parquet"
    ids = [row["id"] for row in made.rows(config)]
    assert list(pandas.read_parquet(path)["id"]) == ids
    with duckdb.connect() as database:
        found = database.execute(f"select id from '{path}'").fetchall()
    assert [name for (name,) in found] == ids
    assert pq.read_schema(path).equals(arrow_schema(config))


def test_the_same_rows_are_the_same_bytes(made: Made, tmp_path: Path) -> None:
    one, two = [
        Path(export(rows_of(made), tmp_path / place / "demo", provenance={}).path)
        for place in ("one", "two")
    ]
    names = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert len(names) == len(SCHEMAS) + 2
    assert [(one / n).read_bytes() for n in names] == [(two / n).read_bytes() for n in names]


def test_an_empty_dataset_is_a_dataset(tmp_path: Path) -> None:
    ref = export({name: [] for name in SCHEMAS}, tmp_path / "demo", provenance={})
    assert read_manifest(Path(ref.path))["rows"] == dict.fromkeys(SCHEMAS, 0)
    assert list(read_rows(Path(ref.path), "sft")) == []


def test_equal_rows_find_the_version_that_has_them_and_others_make_the_next(
    made: Made, tmp_path: Path
) -> None:
    rows, folder = rows_of(made), tmp_path / "demo"
    first = export(rows, folder, provenance={"counts": {"trees": 6}})
    before = {p: p.read_bytes() for p in Path(first.path).rglob("*") if p.is_file()}
    fewer = export(rows | {"sft": rows["sft"][:-1]}, folder, provenance={})
    again = export(rows, folder, provenance={"counts": {"trees": 7}})
    assert [first.version, fewer.version, again.version] == ["v1.1", "v1.2", "v1.1"]
    assert again == first
    assert {p: p.read_bytes() for p in before} == before


def test_versions_are_counted_and_not_spelt(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    for name in ("v1.9", "v1.10", "v2.1", ".v1.11-half", "v1.x", "vision"):
        (folder / name).mkdir(parents=True)
        store.write_json(folder / name / "manifest.json", {"files": {}})
    assert [path.name for path in versions(folder)] == ["v1.9", "v1.10"]
    assert export({n: [] for n in SCHEMAS}, folder, provenance={}).version == "v1.11"


def test_a_version_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "v1.1").mkdir()
    with pytest.raises(StoreError, match="never overwritten"), store.new_folder(tmp_path / "v1.1"):
        raise AssertionError("not reached")


def test_a_folder_that_was_half_written_has_no_name_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), store.new_folder(tmp_path / "v1.1") as beside:
        (beside / "half").write_text("x", encoding="utf-8")
        assert not (tmp_path / "v1.1").exists()
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_rows_that_do_not_fit_leave_no_version(made: Made, tmp_path: Path) -> None:
    wrong = rows_of(made)
    wrong["sft"][0]["reward"] = "high"
    with pytest.raises(Exception, match="high"):
        export(wrong, tmp_path / "demo", provenance={})
    assert list((tmp_path / "demo").iterdir()) == []


SFT = "data/sft/train-00000-of-00001.parquet"


def flip_a_byte(version: Path) -> None:
    content = bytearray((version / SFT).read_bytes())
    content[len(content) // 2] ^= 1
    (version / SFT).write_bytes(content)


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


def test_the_manifest_says_what_made_it_and_where_nothing_lies(made: Made) -> None:
    text = (made.version / "manifest.json").read_text(encoding="utf-8")
    manifest = json.loads(text)
    assert manifest["content_digest"] == made.built.dataset.digest
    assert manifest["files"][SFT] == sha256(made.version / SFT)
    assert manifest["environment"]["name"] == "textcraft"
    assert manifest["counts"]["trees"] == 6
    assert str(made.version.parent.parent) not in text
    assert "endpoint" not in manifest["config"]


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    store.write_bytes(path, b"one")
    store.write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_place_that_cannot_be_written_is_one_line_and_stays_as_it_was(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("mine", encoding="utf-8")
    attempts = [
        lambda: store.require_writable(blocked / "work"),
        lambda: store.require_writable(blocked),
        lambda: store.write_bytes(blocked / "x", b""),
        lambda: export({n: [] for n in SCHEMAS}, blocked / "demo", provenance={}),
    ]
    for attempt in attempts:
        with pytest.raises(AgentRError) as caught:
            attempt()
        assert "\n" not in str(caught.value)
    assert blocked.read_text(encoding="utf-8") == "mine"


def test_asking_whether_a_folder_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    store.require_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_file_names_of_tasks_are_distinct_where_their_letters_are_not() -> None:
    names = ["ash boards", "Ash Boards", "ash-boards", "灰", "板", "", "../etc", "x" * 500]
    slugs = [store.slug(name) for name in names]
    assert len(set(slugs)) == len(names)
    assert all("/" not in slug and len(slug) < 100 for slug in slugs)
