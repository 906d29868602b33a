"""One cache for everything: `load_dataset` gives a version's own rows, whatever it gave before."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.writer import export
from tests.support.hub_server import LoopbackHub
from tests.support.made import Made
from tests.support.publishing import hub_at, send

# A consumer of the Hub: its client reads its settings when it is imported.
CONSUMER = """
import json, sys
from datasets import load_dataset

for repo, tag in json.loads(sys.argv[1]):
    rows = load_dataset(repo, "sft", revision=tag, split="train")
    print(json.dumps([rows["final_observation"][0], str(rows.info.version)]))
"""


@pytest.fixture
def datasets(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    import datasets

    return datasets


@pytest.fixture
def version_of(made: Made, tmp_path: Path) -> Callable[..., Path]:
    """A dataset's next version: rows that differ in one letter, so that all sizes are the same."""

    def version(name: str, letter: str, number: int = 3) -> Path:
        rows = [("sft", row | {"final_observation": letter}) for row in made.rows("sft")[:number]]
        worlds = {"environments": read_manifest(made.version)["environments"]}
        return Path(export(rows, tmp_path / name, provenance=lambda: worlds).path)

    return version


@pytest.mark.parametrize("turned", [False, True])
def test_folders_of_one_name_and_size_are_not_taken_for_each_other(
    datasets: Any, version_of: Callable[..., Path], tmp_path: Path, turned: bool
) -> None:
    folders = {letter: version_of(f"of-{letter}", letter) for letter in "ab"}
    names, infos = zip(
        *((f.name, read_manifest(f)["shards"]) for f in folders.values()), strict=True
    )
    assert names == ("v1.1", "v1.1")
    assert infos[0] == infos[1]
    for letter in reversed(folders) if turned else folders:
        for more in ({}, {"filters": [("split", "==", "train")]}, {"streaming": True}):
            rows = datasets.load_dataset(
                str(folders[letter]), "sft", split="train", cache_dir=str(tmp_path / "c"), **more
            )
            assert {row["final_observation"] for row in rows} == {letter}, more


def test_the_card_counts_the_bytes_that_datasets_counts(
    datasets: Any, version_of: Callable[..., Path], tmp_path: Path
) -> None:
    version = str(version_of("demo", "a"))
    info = datasets.load_dataset_builder(version, "sft", cache_dir=str(tmp_path / "builder")).info
    rows = datasets.load_dataset(version, "sft", split="train", cache_dir=str(tmp_path / "c"))
    assert info.download_size == sum(p.stat().st_size for p in Path(version).glob("data/sft/*"))
    assert info.dataset_size == pytest.approx(rows.info.dataset_size, rel=0.01)


def test_of_the_hub_each_repository_and_tag_has_its_own_rows(
    version_of: Callable[..., Path], hub: LoopbackHub, tmp_path: Path
) -> None:
    for repo in ("me/data", "acme/data"):
        for letter in "ab":
            send(hub_at(hub.url, repo=repo), version_of(repo, repo[0] + letter))
    asked = [(repo, tag) for repo in ("me/data", "acme/data") for tag in ("v1.1", "v1.2", "v1.1")]

    def loaded(asked: list[tuple[str, str]], **offline: str) -> list[list[str]]:
        command = [sys.executable, "-c", CONSUMER, json.dumps(asked)]
        env = hub.client_env(tmp_path / "home") | offline
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    one, two = [["ma", "1.1.0"], ["mb", "1.2.0"]], [["aa", "1.1.0"], ["ab", "1.2.0"]]
    assert loaded(asked) == [*one, one[0], *two, two[0]]
    # Offline, `datasets` takes what it has loaded last; but it says which version that is.
    [[letters, version]] = loaded([("me/data", "v1.1")], HF_HUB_OFFLINE="1")
    assert [letters, version] in one
