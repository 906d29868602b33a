"""Publishing: whatever the Hub does, there is one commit and the right tag, or a clear refusal."""

from __future__ import annotations

import shutil
from concurrent.futures import Future
from multiprocessing.connection import wait
from pathlib import Path
from threading import Event

import pytest
from conftest import Made
from hub_faults import Action, Cut, Fault, Hang, Lost, Status
from hub_server import READ, LoopbackHub
from hub_store import Change
from publishing import REPO, Client, hub_at, next_of, send

from agent_r.errors import DatasetError, HubError, HubRejected, HubUnavailable, VersionConflict
from agent_r.services.export import export
from agent_r.services.hub.publish import publish
from agent_r.services.manifest import read_manifest
from agent_r.services.store import write_json


def commits(hub: LoopbackHub) -> list[str]:
    """Titles of the commits of ours, the first one last: the Hub's own begins each repository."""
    repo = hub.store.repos[REPO]
    return [commit.title for commit in repo.history(repo.head)][:-1]


def tagged(hub: LoopbackHub) -> dict[str, str]:
    repo = hub.store.repos[REPO]
    return {name: repo.at(name).title for name in repo.tags}


def title(version: Path) -> str:
    manifest = read_manifest(version)
    return f"{manifest['version']} {manifest['content_digest'][:16]}"


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


PLACES = {
    "refs": ("GET", r"/refs$"),
    "manifest": ("*", r"/manifest\.json$"),
    "create": ("POST", r"/repos/create$"),
    "card": ("POST", r"/validate-yaml$"),
    "preupload": ("POST", r"/preupload/"),
    "batch": ("POST", r"/objects/batch$"),
    "commit": ("POST", r"/commit/"),
    "tag": ("POST", r"/tag/"),
}
PASSING: dict[str, Action] = {
    "408": Status(408),
    "409": Status(409),
    "412": Status(412),
    "429": Status(429, {"Retry-After": "7"}),
    "500": Status(500),
    "503": Status(503),
    "cut": Cut(),
    "hang": Hang(2.0),
    "lost response": Lost(),
}


@pytest.mark.parametrize("action", PASSING)
@pytest.mark.parametrize("place", ["refs", "manifest", "commit", "tag"])
def test_trouble_that_passes_ends_in_one_commit_and_the_right_tag(
    made: Made, hub: LoopbackHub, place: str, action: str
) -> None:
    hub.faults.append(Fault(*PLACES[place], PASSING[action]))
    waits: list[float] = []
    done = send(hub_at(hub.url, timeout_s=0.3), made.version, waits)
    assert hub.faults[0].seen > 0
    assert commits(hub) == [title(made.version)]
    assert tagged(hub) == {"v1.1": title(made.version)}
    assert done.commit == hub.store.repos[REPO].head.oid
    if place != "manifest":  # a download, which the client itself repeats
        assert waits and (action != "429" or waits[0] >= 7.0)


@pytest.mark.parametrize("place", ["create", "card", "preupload", "batch"])
def test_the_calls_that_the_client_makes_by_itself_are_repeated_too(
    made: Made, hub: LoopbackHub, place: str
) -> None:
    hub.faults.append(Fault(*PLACES[place], Status(503)))
    send(hub_at(hub.url), made.version)
    assert (commits(hub), set(tagged(hub))) == ([title(made.version)], {"v1.1"})


@pytest.mark.parametrize(("status", "said"), [(401, "token"), (403, "may not write")])
@pytest.mark.parametrize("place", ["create", "preupload", "commit", "tag"])
def test_a_refusal_is_one_line_at_once_and_the_same_command_goes_on_later(
    made: Made, hub: LoopbackHub, place: str, status: int, said: str
) -> None:
    hub.faults.append(Fault(*PLACES[place], Status(status), times=9))
    waits: list[float] = []
    with pytest.raises(HubRejected, match=said) as caught:
        send(hub_at(hub.url), made.version, waits)
    assert "\n" not in str(caught.value) and waits == []
    hub.faults.clear()
    send(hub_at(hub.url), made.version)
    assert (commits(hub), set(tagged(hub))) == ([title(made.version)], {"v1.1"})


@pytest.mark.parametrize("token", [READ, "hf_nobody", ""])
def test_a_token_that_cannot_write_is_refused_and_never_named(
    made: Made, hub: LoopbackHub, token: str
) -> None:
    with pytest.raises(HubRejected) as caught:
        send(hub_at(hub.url, token=token), made.version)
    assert "token" in str(caught.value)
    assert not token or token not in str(caught.value)


def test_trouble_without_end_ends_after_as_many_tries_as_asked_for(
    made: Made, hub: LoopbackHub
) -> None:
    hub.faults.append(Fault("POST", r"/commit/", Status(503), times=99))
    waits: list[float] = []
    with pytest.raises(HubUnavailable, match="gave up after 3 tries") as caught:
        send(hub_at(hub.url), made.version, waits, attempts=3)
    assert len(waits) == 2 and waits[1] > waits[0]
    assert "\n" not in str(caught.value)


def request_count(made: Made, hub: LoopbackHub) -> int:
    """How many requests a publication takes."""
    outcome, _ = Client.start(hub.url, made.version).outcome()
    assert outcome == "Published"
    return len(hub.requests)


@pytest.mark.parametrize("moment", ["before it is done", "when it is done"])
def test_kill_9_at_any_request_leaves_what_the_next_run_ends(
    made: Made, tmp_path: Path, moment: str
) -> None:
    with LoopbackHub(tmp_path / "whole") as hub:
        total = request_count(made, hub)
    assert total > 10
    for at in range(1, total + 1):
        with LoopbackHub(tmp_path / f"hub-{at}") as hub:
            kill(made, hub, at, before=moment.startswith("before"))
            outcome = Client.start(hub.url, made.version).outcome()
            assert outcome == ("Published", hub.store.repos[REPO].head.oid), at
            assert commits(hub) == [title(made.version)], at
            assert tagged(hub) == {"v1.1": title(made.version)}, at


def kill(made: Made, hub: LoopbackHub, at: int, *, before: bool) -> None:
    """Start a client, and kill -9 it at its request number `at`."""
    started: Future[Client] = Future()
    struck = Event()  # before it, the process is the Hub's thread's alone

    def strike(_: str, __: str, number: int) -> Cut | None:
        if number != at:
            return None
        process = started.result(30).process
        process.kill()
        wait([process.sentinel])
        struck.set()
        return Cut()

    def done(method: str, path: str, number: int) -> None:
        strike(method, path, number)

    hub.on_request, hub.on_done = (strike, None) if before else (None, done)
    client = Client.start(hub.url, made.version)
    started.set_result(client)
    assert struck.wait(120)
    assert client.outcome() is None
    hub.on_request = hub.on_done = None


def test_three_at_once_with_the_same_rows_make_one_commit(made: Made, hub: LoopbackHub) -> None:
    clients = [Client.start(hub.url, made.version) for _ in range(3)]
    outcomes = {client.outcome() for client in clients}
    assert outcomes == {("Published", hub.store.repos[REPO].head.oid)}
    assert (commits(hub), set(tagged(hub))) == ([title(made.version)], {"v1.1"})


def test_three_at_once_with_other_rows_make_one_commit_and_two_conflicts(
    made: Made, hub: LoopbackHub, other: Path, tmp_path: Path
) -> None:
    third = Path(shutil.copytree(other, tmp_path / "third" / "v1.1"))
    manifest = read_manifest(third)
    write_json(third / "manifest.json", manifest | {"content_digest": "0" * 64})
    clients = [Client.start(hub.url, version) for version in (made.version, other, third)]
    outcomes = [client.outcome()[0] for client in clients]
    assert sorted(outcomes) == ["Published", "VersionConflict", "VersionConflict"]
    winner = (made.version, other, third)[outcomes.index("Published")]
    assert (commits(hub), tagged(hub)) == ([title(winner)], {"v1.1": title(winner)})


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
