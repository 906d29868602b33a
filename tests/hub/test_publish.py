"""Publishing: one commit and the right tag, or a clear refusal."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.writer import export
from agent_r.errors import DatasetError, HubError, HubRejected, HubUnavailable, VersionConflict
from agent_r.files import write_json
from agent_r.hub.publish import publish
from tests.support.hub_faults import Fault, Status
from tests.support.hub_server import LoopbackHub
from tests.support.hub_store import Change
from tests.support.made import Made
from tests.support.publishing import REPO, commits, hub_at, next_of, send, tagged, title


def test_a_version_is_one_commit_and_a_tag_on_it(made: Made, hub: LoopbackHub) -> None:
    done = send(hub_at(hub.url), made.version)
    assert commits(hub) == [title(made.version)]
    assert tagged(hub) == {"v1.1": title(made.version)}
    assert done.commit == hub.store.repos[REPO].head.oid
    assert (done.tag, done.address) == ("v1.1", f"{REPO}@v1.1")
    assert hub.store.repos[REPO].private


def test_the_hub_has_the_folders_bytes_and_a_card_that_names_the_repository(
    made: Made, hub: LoopbackHub
) -> None:
    send(hub_at(hub.url), made.version)
    tree = hub.store.repos[REPO].head.tree
    here = {p.relative_to(made.version).as_posix() for p in made.version.rglob("*") if p.is_file()}
    assert set(tree) - {".gitattributes"} == here
    for name in here - {"README.md"}:
        assert hub.store.read(REPO, name, "v1.1") == (made.version / name).read_bytes()
    assert f'load_dataset("{REPO}"' in hub.store.read(REPO, "README.md", "v1.1").decode()


def test_a_stranger_can_load_it_and_a_version_that_cannot_be_loaded_is_never_tagged(
    made: Made, hub: LoopbackHub
) -> None:
    broken = Fault("GET", r"/resolve/.*/data/preference/", Status(404), times=100)
    hub.faults.append(broken)
    with pytest.raises(HubError, match="load"):
        publish(made.version, hub_at(hub.url), attempts=1, sleep=lambda _: None)
    assert tagged(hub) == {}
    hub.faults.clear()
    publish(made.version, hub_at(hub.url), attempts=1)  # with the real `load_dataset`
    assert tagged(hub) == {"v1.1": title(made.version)}
    assert commits(hub) == [title(made.version)]


def test_publishing_again_changes_nothing(made: Made, hub: LoopbackHub) -> None:
    first = send(hub_at(hub.url), made.version)
    asked = len(hub.requests)
    assert send(hub_at(hub.url), made.version) == first
    assert len(commits(hub)) == 1
    assert {method for method, _ in hub.requests[asked:]} <= {"GET", "HEAD"}


def test_a_later_version_replaces_the_files_and_the_earlier_tag_keeps_its_own(
    made: Made, hub: LoopbackHub, tmp_path: Path
) -> None:
    later = next_of(made, tmp_path / "demo", 1)
    send(hub_at(hub.url), made.version)
    hub.store.commit(REPO, Change("mine", files={"NOTES.md": hub.store.keep(b"by hand")}))
    send(hub_at(hub.url), later)
    assert set(tagged(hub)) == {"v1.1", "v1.2"}
    assert hub.store.read(REPO, "NOTES.md", "v1.2") == b"by hand"
    manifest = "manifest.json"
    for tag, version in (("v1.1", made.version), ("v1.2", later)):
        assert hub.store.read(REPO, manifest, tag) == (version / manifest).read_bytes()


def test_a_published_version_never_changes(made: Made, hub: LoopbackHub, other: Path) -> None:
    send(hub_at(hub.url), made.version)
    with pytest.raises(VersionConflict, match="other rows"):
        send(hub_at(hub.url), other)
    assert commits(hub) == [title(made.version)]


def test_an_older_version_does_not_replace_a_newer_one(
    made: Made, hub: LoopbackHub, tmp_path: Path
) -> None:
    send(hub_at(hub.url), next_of(made, tmp_path / "demo", 1))
    with pytest.raises(VersionConflict, match=r"at v1\.2 already"):
        send(hub_at(hub.url), made.version)


def test_a_repository_that_is_not_ours_is_left_alone(made: Made, hub: LoopbackHub) -> None:
    hub.store.create(REPO, private=True)
    hub.store.commit(REPO, Change("theirs", files={"data.csv": hub.store.keep(b"a,b")}))
    with pytest.raises(HubError, match=r"holds 'data\.csv'"):
        send(hub_at(hub.url), made.version)
    assert commits(hub) == ["theirs"]


def test_a_commit_that_was_never_tagged_is_found_under_later_ones(
    made: Made, hub: LoopbackHub, tmp_path: Path
) -> None:
    hub.faults.append(Fault("POST", r"/tag/", Status(500), times=9))
    with pytest.raises(HubUnavailable):
        send(hub_at(hub.url), made.version, attempts=2)
    hub.faults.clear()
    send(hub_at(hub.url), next_of(made, tmp_path / "demo", 1))
    send(hub_at(hub.url), made.version)
    assert len(commits(hub)) == 2
    assert tagged(hub)["v1.1"] == title(made.version)


def test_what_somebody_added_after_our_commit_gets_no_tag(made: Made, hub: LoopbackHub) -> None:
    """Between a crash and the next run: the tag falls on our commit, not on the head."""
    hub.faults.append(Fault("POST", r"/tag/", Status(500), times=9))
    with pytest.raises(HubUnavailable):
        send(hub_at(hub.url), made.version, attempts=1)
    ours = hub.store.repos[REPO].head.oid
    added = {"data/sft/extra.parquet": hub.store.keep(b"PAR1")}
    hub.store.commit(REPO, Change("theirs", files=added))
    hub.faults.clear()
    assert send(hub_at(hub.url), made.version).commit == ours


def test_a_twin_that_says_other_things_of_the_same_rows_is_taken_for_ours(
    made: Made, hub: LoopbackHub, tmp_path: Path
) -> None:
    twin = Path(shutil.copytree(made.version, tmp_path / "v1.1"))
    write_json(twin / "manifest.json", read_manifest(twin) | {"counts": {"trees": 99}})
    hub.faults.append(Fault("POST", r"/tag/", Status(500), times=9))
    with pytest.raises(HubUnavailable):
        send(hub_at(hub.url), twin, attempts=1)
    hub.faults.clear()
    send(hub_at(hub.url), made.version)
    assert (commits(hub), set(tagged(hub))) == ([title(made.version)], {"v1.1"})


def test_a_public_repository_is_published_to_knowingly(made: Made, hub: LoopbackHub) -> None:
    hub.store.create(REPO)
    with pytest.raises(HubRejected, match="is public: pass --public"):
        send(hub_at(hub.url), made.version)
    assert commits(hub) == []
    send(hub_at(hub.url), made.version, private=False)
    assert len(commits(hub)) == 1


def test_a_folder_called_like_the_repository_is_not_loaded_in_its_place(
    made: Made, hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(made.version, tmp_path / REPO)
    monkeypatch.chdir(tmp_path)
    hub.faults.append(Fault("*", r"/resolve/.*/data/", Status(404), times=999))
    with pytest.raises(HubError, match="load"):
        publish(made.version, hub_at(hub.url), attempts=1, sleep=lambda _: None)
    assert tagged(hub) == {}


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1:1", "http://[::1"])
def test_what_is_no_hub_is_refused_at_once(made: Made, url: str) -> None:
    waits: list[float] = []
    with pytest.raises(HubRejected) as caught:
        send(hub_at(url), made.version, waits)
    assert waits == [] and "\n" not in str(caught.value)


def test_a_damaged_version_is_refused_before_anything_is_asked(
    made: Made, hub: LoopbackHub, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(made.version, tmp_path / "v1.1"))
    [shard] = (copy / "data" / "sft").iterdir()
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(DatasetError):
        send(hub_at(hub.url), copy)
    assert hub.requests == []


def test_a_version_without_a_row_to_train_on_is_not_published(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    empty = export([], tmp_path / "empty", provenance=dict)
    with pytest.raises(DatasetError, match="nothing to publish"):
        send(hub_at(hub.url), Path(empty.path))
    assert hub.requests == []


def test_a_world_that_may_not_be_passed_on_is_refused_unless_it_is_accepted(
    made: Made, hub: LoopbackHub, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(made.version, tmp_path / "v1.1"))
    manifest = read_manifest(copy)
    manifest["environments"][0]["licence"] = "all rights reserved"
    write_json(copy / "manifest.json", manifest)
    with pytest.raises(DatasetError, match=r"all rights reserved.*accept_licence"):
        send(hub_at(hub.url), copy)
    assert hub.requests == []
    send(hub_at(hub.url), copy, accept_licence=True)
    assert "license: other" in hub.store.read(REPO, "README.md", "v1.1").decode()
