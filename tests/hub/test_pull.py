"""Fetching a published version: by its tag, checked, whole or not at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent_r.algorithm.schema import SCHEMAS
from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.shards import read_rows
from agent_r.dataset.writer import export
from agent_r.errors import HubError, HubRejected, HubUnavailable, VersionConflict
from agent_r.hub.pull import newest_published, pull
from flows.cli.main import main
from tests.support.hub_faults import Fault, Status
from tests.support.hub_server import WRITE, LoopbackHub
from tests.support.hub_store import Change
from tests.support.made import Made
from tests.support.publishing import REPO, hub_at, next_of, send


def test_what_was_published_comes_back_by_its_tag(
    made: Made, hub: LoopbackHub, tmp_path: Path
) -> None:
    send(hub_at(hub.url), made.version)
    for tag in ("v1.1", ""):
        got = pull(hub_at(hub.url), tag, tmp_path / f"out{tag}")
        assert (got.digest, got.version) == (made.built.dataset.digest, "v1.1")
        assert read_manifest(Path(got.path)) == read_manifest(made.version)
    assert pull(hub_at(hub.url), "v1.1", tmp_path / "out") == got  # it is there already
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["v1.1"]


def test_a_pull_that_broke_off_goes_on_and_only_a_whole_version_gets_its_name(
    made: Made, hub: LoopbackHub, tmp_path: Path
) -> None:
    send(hub_at(hub.url), made.version)
    hub.faults.append(Fault("*", r"/resolve/.*/data/trees/", Status(403), times=99))
    with pytest.raises(HubError):
        pull(hub_at(hub.url), "v1.1", tmp_path / "out")
    assert not (tmp_path / "out" / "v1.1").exists()
    hub.faults.clear()
    fetched = len(hub.requests)
    pull(hub_at(hub.url), "v1.1", tmp_path / "out")
    again = [p for m, p in hub.requests[fetched:] if m == "GET" and "/resolve/" in p]
    assert not any("/data/sft/" in path for path in again)


def test_many_who_pull_at_once_all_get_it_and_leave_nothing_else(
    made: Made, hub: LoopbackHub, tmp_path: Path
) -> None:
    send(hub_at(hub.url), made.version)
    with ThreadPoolExecutor(6) as pool:
        got = list(pool.map(lambda _: pull(hub_at(hub.url), "v1.1", tmp_path / "out"), range(6)))
    assert {one.digest for one in got} == {made.built.dataset.digest}
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["v1.1"]
    assert read_manifest(tmp_path / "out" / "v1.1") == read_manifest(made.version)


def test_a_pull_never_overwrites_another_version_of_that_name(
    made: Made, hub: LoopbackHub, other: Path
) -> None:
    send(hub_at(hub.url), made.version)
    with pytest.raises(VersionConflict):
        pull(hub_at(hub.url), "v1.1", other.parent)


def test_a_version_that_is_not_there_is_one_line_with_those_that_are(
    made: Made, hub: LoopbackHub, tmp_path: Path
) -> None:
    send(hub_at(hub.url), made.version)
    with pytest.raises(HubRejected, match=r"no version v1\.7 \(it has v1\.1\)"):
        pull(hub_at(hub.url), "v1.7", tmp_path)
    with pytest.raises(HubRejected, match="is not there"):
        pull(hub_at(hub.url, repo="tester/none"), "", tmp_path)


def test_only_what_the_manifest_names_is_fetched(
    made: Made, hub: LoopbackHub, tmp_path: Path
) -> None:
    send(hub_at(hub.url), made.version)
    repo = hub.store.repos[REPO]
    more = ("data/other/x.parquet", "data/sft/deep/x.parquet", "figures/a/b.png", "run.py")
    files = {name: hub.store.keep(b"x") for name in more}
    hub.store.commit(REPO, Change("theirs", files=files))
    repo.tags["v1.1"] = repo.head.oid
    got = Path(pull(hub_at(hub.url), "v1.1", tmp_path / "out").path)
    names = {p.relative_to(got).as_posix() for p in got.rglob("*") if p.is_file()}
    assert names.isdisjoint(more)
    assert names == {p.relative_to(made.version).as_posix() for p in files_of(made.version)}


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_version_in_conflict_gets_the_next_number_when_it_is_built_again(
    made: Made, hub: LoopbackHub, other: Path
) -> None:
    send(hub_at(hub.url), made.version)
    with pytest.raises(VersionConflict):
        send(hub_at(hub.url), other)
    rows = [(name, row) for name in SCHEMAS for row in read_rows(other, name)]
    told = {"environments": read_manifest(other)["environments"]}
    on_hub = newest_published(hub_at(hub.url))
    again = export(rows, other.parent, provenance=lambda: told, elsewhere=on_hub)
    assert again.version == "v1.2"
    send(hub_at(hub.url), Path(again.path))
    assert set(hub.store.repos[REPO].tags) == {"v1.1", "v1.2"}


def test_numbers_go_on_from_a_commit_that_was_never_tagged_too(
    made: Made, hub: LoopbackHub, other: Path
) -> None:
    hub.faults.append(Fault("POST", r"/tag/", Status(500), times=9))
    with pytest.raises(HubUnavailable):
        send(hub_at(hub.url), made.version, attempts=1)
    on_hub = newest_published(hub_at(hub.url))
    assert on_hub is not None
    assert on_hub["version"] == "v1.1"


def test_trouble_that_passes_is_waited_for(made: Made, hub: LoopbackHub, tmp_path: Path) -> None:
    send(hub_at(hub.url), made.version)
    hub.faults.append(Fault("GET", r"/refs$", Status(503, {"Retry-After": "3"}), times=2))
    waits: list[float] = []
    pull(hub_at(hub.url), "v1.1", tmp_path / "out", sleep=waits.append)
    assert len(waits) == 2 and min(waits) >= 3


def test_a_new_folder_numbers_on_from_the_hub_and_knows_equal_rows(
    made: Made, hub: LoopbackHub, tmp_path: Path
) -> None:
    send(hub_at(hub.url), made.version)
    send(hub_at(hub.url), next_of(made, tmp_path / "demo", 1))
    on_hub = newest_published(hub_at(hub.url))
    every = [(name, row) for name in made.built.dataset.rows for row in made.rows(name)]
    told = {"environments": []}
    fresh = tmp_path / "fresh"
    assert export(every, fresh, provenance=lambda: told, elsewhere=on_hub).version == "v1.1"
    assert export(every[1:], fresh, provenance=lambda: told, elsewhere=on_hub).version == "v1.3"


def test_the_command_pulls_to_where_the_config_keeps_datasets(
    made: Made, hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(hub_at(hub.url), made.version)
    monkeypatch.setenv("HF_TOKEN", WRITE)
    monkeypatch.chdir(tmp_path)
    Path("my.toml").write_text(f"[hub]\nendpoint = '{hub.url}'\n[dataset]\nout = 'kept'\n")
    assert main(["pull", REPO, "--config", "my.toml"]) == 0
    assert main(["pull", REPO, "--config", "my.toml", "--out", "elsewhere"]) == 0
    name = REPO.rpartition("/")[2]
    folders = (path.parent for path in tmp_path.rglob("manifest.json"))
    assert sorted(folder.relative_to(tmp_path).as_posix() for folder in folders) == [
        f"elsewhere/{name}/v1.1",
        f"kept/{name}/v1.1",
    ]
