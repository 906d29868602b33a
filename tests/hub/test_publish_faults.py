"""Publishing to a Hub in trouble, killed at any request, and raced: one commit and its tag."""

from __future__ import annotations

import shutil
from concurrent.futures import Future
from multiprocessing.connection import wait
from pathlib import Path
from threading import Event

import pytest

from agent_r.dataset.manifest import read_manifest
from agent_r.errors import HubRejected, HubUnavailable
from agent_r.files import write_json
from tests.support.hub_faults import Action, Cut, Fault, Hang, Lost, Status
from tests.support.hub_server import READ, LoopbackHub
from tests.support.made import Made
from tests.support.publishing import REPO, Client, commits, hub_at, send, tagged, title

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
