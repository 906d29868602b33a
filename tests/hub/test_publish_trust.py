"""What else may happen to a repository: moved tags, strangers' files, proxies, killed clients."""

from __future__ import annotations

import os
import signal
import tempfile
from concurrent.futures import Future
from pathlib import Path

import pytest
import yaml

from agent_r.dataset.manifest import read_manifest
from agent_r.errors import HubError, HubRejected, VersionConflict
from agent_r.files import SCRATCH, scratch_folder
from agent_r.hub.publish import publish
from agent_r.hub.pull import pull
from tests.hub.test_publish_faults import PLACES
from tests.support.hub_faults import Cut, Fault, Page, Short
from tests.support.hub_server import LoopbackHub
from tests.support.hub_store import Change
from tests.support.made import Made
from tests.support.publishing import REPO, Client, commits, hub_at, next_of, send, tagged, title


def by_hand(hub: LoopbackHub, **files: bytes) -> None:
    """Somebody's own commit on the repository."""
    kept = {path: hub.store.keep(content) for path, content in files.items()}
    hub.store.commit(REPO, Change("by hand", files=kept))


def line_of(caught: pytest.ExceptionInfo[Exception]) -> str:
    line = str(caught.value)
    assert "\n" not in line and len(line) < 500
    return line


def test_a_tag_that_was_moved_is_a_conflict_though_nothing_else_changed(
    made: Made, hub: LoopbackHub
) -> None:
    first = send(hub_at(hub.url), made.version)
    by_hand(hub, **{"README.md": b"# Mine"})
    repo = hub.store.repos[REPO]
    repo.tags["v1.1"] = repo.head.oid
    with pytest.raises(VersionConflict) as caught:
        send(hub_at(hub.url), made.version)
    line = line_of(caught)
    assert "v1.1 was moved" in line
    assert first.commit[:12] in line and repo.head.oid[:12] in line
    repo.tags["v1.1"] = first.commit
    assert send(hub_at(hub.url), made.version) == first


def test_a_tag_on_changed_files_is_found_though_the_history_was_squashed(
    made: Made, hub: LoopbackHub
) -> None:
    send(hub_at(hub.url), made.version)
    repo = hub.store.repos[REPO]
    [shard] = [path for path in repo.head.tree if path.startswith("data/sft/")]
    tree = {**repo.head.tree, shard: repo.head.tree[shard.replace("sft", "trees")]}
    repo.begin(tree, hub.store.clock())  # `super_squash_history`: one commit, of another title
    repo.tags["v1.1"] = repo.head.oid
    with pytest.raises(VersionConflict, match=r"data/sft/.* is not the file"):
        send(hub_at(hub.url), made.version)


def test_a_download_of_another_size_is_tried_again_and_ends_in_one_line(
    made: Made, hub: LoopbackHub, tmp_path: Path
) -> None:
    hub.store.create(REPO, private=True)
    send(hub_at(hub.url), made.version)
    waits: list[float] = []
    hub.faults.append(Fault("GET", r"/manifest\.json$", Short()))
    send(hub_at(hub.url), made.version, waits)
    assert len(waits) == 1
    hub.faults.append(Fault("GET", r"/manifest\.json$", Short(), times=9))
    with pytest.raises(
        HubError, match=r"Consistency check failed.*gave up after 3 tries"
    ) as caught:
        send(hub_at(hub.url), made.version, attempts=3)
    line_of(caught)
    hub.faults[:] = [Fault("GET", r"/data/sft/", Short(), times=2)]
    hub.faults[0].path_pattern = r"/_lfs/"
    pull(hub_at(hub.url), "v1.1", tmp_path / "out", sleep=waits.append)
    assert len(waits) >= 2
    assert read_manifest(tmp_path / "out" / "v1.1") == read_manifest(made.version)


@pytest.mark.parametrize("place", PLACES)
def test_a_web_page_with_status_200_is_no_answer(made: Made, hub: LoopbackHub, place: str) -> None:
    hub.faults.append(Fault(*PLACES[place], Page(), times=99))
    with pytest.raises(HubError) as caught:
        send(hub_at(hub.url), made.version, attempts=2)
    line = line_of(caught)
    assert "answers with a web page" in line and "proxy" in line and hub.url in line
    assert tagged(hub) == {} if REPO in hub.store.repos else True
    hub.faults.clear()
    send(hub_at(hub.url), made.version)
    assert (commits(hub), set(tagged(hub))) == ([title(made.version)], {"v1.1"})


def test_a_web_page_in_place_of_rows_is_said_by_the_loading_stranger(
    made: Made, hub: LoopbackHub
) -> None:
    hub.faults.append(Fault("*", r"/_lfs/", Page(), nth=9, times=999))
    with pytest.raises(HubError) as caught:
        publish(made.version, hub_at(hub.url), attempts=1, sleep=lambda _: None)
    assert "answers with a web page" in line_of(caught)
    assert tagged(hub) == {}


HAND = """---
license: cc-by-4.0
tags: [mine, agent-r]
funding: a grant
pretty_name: Recovery, by hand
configs:
- config_name: survey
  data_files: [{split: train, path: survey/*.csv}]
---
# Written by hand

Do read this.
"""


def test_a_card_written_by_hand_is_kept_around_ours(
    made: Made, hub: LoopbackHub, tmp_path: Path
) -> None:
    hub.store.create(REPO, private=True)
    by_hand(hub, **{"README.md": HAND.encode()})
    send(hub_at(hub.url), made.version)
    send(hub_at(hub.url), next_of(made, tmp_path / "demo", 1))
    card = hub.store.read(REPO, "README.md", "v1.2").decode()
    assert card.count("Do read this.") == card.count("# Written by hand") == 1
    assert "v1.2" in card and card.count("## Configs and columns") == 1
    meta = yaml.safe_load(card.split("---\n")[1])
    assert meta["funding"] == "a grant" and meta["pretty_name"] == "Recovery, by hand"
    assert {"mine", "trajectories"} <= set(meta["tags"]) and len(set(meta["tags"])) == len(
        meta["tags"]
    )
    names = [config["config_name"] for config in meta["configs"]]
    assert names[0] == "sft" and names[-1] == "survey"
    assert meta["license"] != "cc-by-4.0"  # the worlds' licences say what it is


def test_what_is_written_beside_our_region_on_the_hub_and_in_the_folder_is_kept(
    made: Made, hub: LoopbackHub, tmp_path: Path
) -> None:
    first = send(hub_at(hub.url), made.version)
    ours = hub.store.read(REPO, "README.md").decode()
    edited = ours.replace("<!-- agent-r", "On the Hub.\n\n<!-- agent-r", 1)
    by_hand(hub, **{"README.md": edited.encode()})
    later = next_of(made, tmp_path / "demo", 1)
    local = later / "README.md"
    local.write_text(f"{local.read_text()}\nIn the folder.\n")
    send(hub_at(hub.url), later)
    card = hub.store.read(REPO, "README.md").decode()
    assert card.index("On the Hub.") < card.index("<!-- agent-r") < card.index("In the folder.")
    assert card.count("# demo v1.") == 1 and "# demo v1.2" in card
    assert b"On the Hub" not in hub.store.read(REPO, "README.md", first.commit)


def test_a_card_of_ours_from_before_there_was_a_region_is_replaced_and_an_edited_one_kept(
    made: Made, hub: LoopbackHub, tmp_path: Path
) -> None:
    send(hub_at(hub.url), made.version)
    tree = hub.store.repos[REPO].head.tree
    bare = b"---\ntags: [agent-r]\n---\n# demo v1.1\n\nas it was made before\n"
    assert isinstance(tree, dict)
    tree["README.md"] = hub.store.keep(bare)
    send(hub_at(hub.url), next_of(made, tmp_path / "demo", 1))
    assert b"as it was made before" not in hub.store.read(REPO, "README.md")
    by_hand(hub, **{"README.md": bare})
    send(hub_at(hub.url), next_of(made, tmp_path / "demo", 2))
    assert b"as it was made before" in hub.store.read(REPO, "README.md")


def test_a_strangers_file_is_never_removed_and_one_that_would_be_read_stops_us(
    made: Made, hub: LoopbackHub, tmp_path: Path
) -> None:
    send(hub_at(hub.url), made.version)
    theirs = {"data/raw/notes.txt": b"mine", "figures/by_hand.svg": b"<svg/>", "NOTES.md": b"mine"}
    by_hand(hub, **theirs)
    later = next_of(made, tmp_path / "demo", 1)
    send(hub_at(hub.url), later)
    for path, content in theirs.items():
        assert hub.store.read(REPO, path, "v1.2") == content
    by_hand(hub, **{"data/sft/extra.parquet": b"PAR1"})
    asked = len(hub.store.repos[REPO].commits)
    with pytest.raises(HubRejected, match=r"data/sft/extra\.parquet.*not ours") as caught:
        send(hub_at(hub.url), next_of(made, tmp_path / "demo", 2))
    line_of(caught)
    assert len(hub.store.repos[REPO].commits) == asked


def test_a_file_of_ours_that_somebody_changed_is_not_overwritten_in_silence(
    made: Made, hub: LoopbackHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    send(hub_at(hub.url), made.version)
    by_hand(hub, **{"figures/tree.png": b"another picture"})
    with caplog.at_level("WARNING", "agent_r"):
        send(hub_at(hub.url), next_of(made, tmp_path / "demo", 1))
    [record] = [r for r in caplog.records if r.levelname == "WARNING"]
    assert "figures/tree.png" in record.getMessage() and "history" in record.getMessage()


def test_the_folders_of_a_killed_publication_are_swept_by_the_next_one(
    made: Made, hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of whoever is at work are not: a lock says so, which a kill takes away."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # elsewhere a test beside this one sweeps too
    monkeypatch.setattr(tempfile, "tempdir", None)
    place = Path(tempfile.gettempdir())
    assert place == tmp_path
    send(hub_at(hub.url), made.version)
    before = set(place.glob(f"{SCRATCH}*"))
    left: set[Path] = set()

    def strike(method: str, path: str, number: int) -> Cut | None:
        if not path.endswith("/manifest.json") or left:
            return None
        left.update(set(place.glob(f"{SCRATCH}*")) - before)
        os.kill(started.result(30).process.pid, signal.SIGKILL)
        return Cut()

    started: Future[Client] = Future()
    hub.on_request = strike
    started.set_result(client := Client.start(hub.url, made.version))
    assert client.outcome() is None
    hub.on_request = None
    assert left and all(folder.exists() for folder in left)
    with scratch_folder() as held:
        assert not any(folder.exists() for folder in left)
        with scratch_folder():
            assert held.exists()
    assert not held.exists()
