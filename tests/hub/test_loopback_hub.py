"""The loopback Hub, as the real huggingface_hub and datasets clients see it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.hub_client import API, REPO, browser, run, seed, start
from tests.support.hub_faults import Cut, Fault, Hang, Lost, Status
from tests.support.hub_server import READ, LoopbackHub

TWO_CONFIGS = """
api.create_repo(**at)
files = {"README.md": CARD, "sft/0.parquet": rows(3), "preference/0.parquet": rows(5)}
commit("one", *[Add(path, content) for path, content in files.items()])
api.create_tag(tag="v1", **at)
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[LoopbackHub]:
    with LoopbackHub(tmp_path / "hub", page_size=3, part_size=100_000) as hub:
        yield hub


def test_a_commit_is_read_back_by_every_reading_call(hub: LoopbackHub, tmp_path: Path) -> None:
    code = """
    from huggingface_hub import HfFileSystem, hf_hub_download, snapshot_download
    head = api.dataset_info(REPO).sha
    done = commit("two", Add("sft/0.parquet", rows(4)), Delete("preference/"), parent_commit=head)
    print(api.dataset_info(REPO).sha == done.oid, api.dataset_info(REPO, revision="v1").sha == head)
    print([ref.name for ref in api.list_repo_refs(**at).tags])
    print([each.title for each in api.list_repo_commits(**at)])
    print([each.path for each in api.list_repo_tree(revision="v1", recursive=True, **at)])
    print([each.path for each in api.get_paths_info(paths=["sft", "none"], **at)])
    print(len(open(hf_hub_download(filename="sft/0.parquet", **at), "rb").read()) == len(rows(4)))
    print(sorted(os.listdir(snapshot_download(revision="v1", **at))))
    file = HfFileSystem().open(f"datasets/{REPO}/sft/0.parquet")
    file.seek(-4, 2)
    print(file.read())
    """
    assert run(hub, tmp_path, TWO_CONFIGS + textwrap.dedent(code)) == [
        "True True",
        "['v1']",
        "['two', 'one', 'initial commit']",
        "['.gitattributes', 'README.md', 'preference', 'preference/0.parquet', 'sft', "
        "'sft/0.parquet']",
        "['sft']",
        "True",
        "['.gitattributes', 'README.md', 'preference', 'sft']",
        "b'PAR1'",
    ]
    assert sorted(hub.store.repos[REPO].head.tree) == [
        ".gitattributes",
        "README.md",
        "sft/0.parquet",
    ]


def test_datasets_loads_a_config_by_tag_and_by_sha(hub: LoopbackHub, tmp_path: Path) -> None:
    code = """
    from datasets import Dataset, load_dataset
    sha = api.dataset_info(REPO).sha
    commit("two", Add("sft/0.parquet", rows(4)))
    for revision in ("v1", sha, "main"):
        print(len(load_dataset(REPO, "sft", split="train", revision=revision)))
    print(len(list(load_dataset(REPO, "preference", split="train", revision="v1", streaming=True))))
    Dataset.from_dict({"x": [7]}).push_to_hub("me/pushed", "one")
    print(load_dataset("me/pushed", "one", split="train")[0])
    """
    printed = run(hub, tmp_path, TWO_CONFIGS + textwrap.dedent(code))
    assert printed == ["3", "3", "4", "5", "{'x': 7}"]


def test_what_the_hub_refuses_reaches_the_client_with_status_and_code(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    oid = seed(hub, **{"a.json": b"1"}).oid
    hub.store.repos[REPO].tag("v1", hub.store.repos[REPO].at(oid))
    code = """
    old, new = api.list_repo_commits(**at)[-1].commit_id, Add("b.json", b"2")
    print(refusal(lambda: commit("stale", new, parent_commit=old)))
    print(refusal(lambda: commit("on a tag", new, revision="v1")))
    print(refusal(lambda: commit("gone", Delete("none"))))
    print(refusal(lambda: api.create_tag(tag="v1", **at)))
    print(refusal(lambda: api.delete_tag(tag="v2", **at)))
    print(refusal(lambda: api.create_repo(**at)), api.create_repo(exist_ok=True, **at).repo_id)
    print(refusal(lambda: api.dataset_info("me/none")))
    print(refusal(lambda: api.dataset_info(REPO, revision="v2")))
    print(refusal(lambda: api.hf_hub_download(filename="none", **at)))
    """
    assert run(hub, tmp_path, code) == [
        "(412, '')",
        "(400, '')",
        "(404, 'EntryNotFound')",
        "(409, '')",
        "(404, 'RevisionNotFound')",
        "(409, '') me/data",
        "(404, 'RepoNotFound')",
        "(404, 'RevisionNotFound')",
        "(404, 'EntryNotFound')",
    ]
    assert hub.store.repos[REPO].head.oid == oid


def test_tokens_decide_who_reads_and_who_writes(hub: LoopbackHub, tmp_path: Path) -> None:
    seed(hub)
    hub.store.repos[REPO].private = True
    code = """
    print(api.whoami()["auth"]["accessToken"]["role"])
    print(api.dataset_info(REPO).private)
    print(refusal(lambda: commit("no", Add("b.json", b"2"))))
    print(refusal(lambda: HfApi(token=False).dataset_info(REPO)))
    print(refusal(lambda: HfApi(token="hf_wrong").dataset_info(REPO)))
    """
    assert run(hub, tmp_path, code, token=READ) == [
        "read",
        "True",
        "(403, '')",
        "(401, 'RepoNotFound')",
        "(401, '')",
    ]


def test_a_readme_with_broken_yaml_is_refused_before_anything_is_uploaded(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    seed(hub)
    code = r"""
    for text in ("a: [", "configs: x", "license: mit"):
        try:
            print(commit("card", Add("README.md", f"---\n{text}\n---\n".encode())).commit_message)
        except ValueError as error:
            print(error.args[0].splitlines()[1][:20])
    """
    assert run(hub, tmp_path, code) == ["- YAML: while parsin", '- "configs" must be ', "card"]
    assert sum("preupload" in path for _, path in hub.requests) == 1


def test_a_large_file_goes_up_in_parts_and_only_once(hub: LoopbackHub, tmp_path: Path) -> None:
    code = """
    api.create_repo(**at)
    commit("one", Add("a.bin", bytes(250_000)))
    commit("two", Add("b.bin", bytes(250_000)))
    """
    run(hub, tmp_path, code)
    assert hub.bytes_in == 250_000
    assert [path[-2:] for method, path in hub.requests if method == "PUT"] == ["/1", "/2", "/3"]
    assert hub.store.read(REPO, "b.bin") == bytes(250_000)


def test_bytes_that_are_not_what_was_announced_are_not_kept(hub: LoopbackHub) -> None:
    seed(hub)
    oid = hashlib.sha256(b"right").hexdigest()
    line = '{"key": "lfsFile", "value": {"path": "a", "algo": "sha256", "oid": "%s", "size": 5}}'
    with browser(hub) as client:
        assert client.put(f"/_lfs/{oid}", content=b"wrong").status_code == 400
        assert client.post(f"/_lfs/{oid}/verify", json={"oid": oid, "size": 5}).status_code == 404
        refused = client.post(f"{API}/commit/main", content=line % oid)
        assert refused.status_code == 400
        assert "does not exist" in refused.json()["error"]
        assert client.put(f"/_lfs/{oid}", content=b"right").status_code == 200
        assert client.post(f"/_lfs/{oid}/verify", json={"oid": oid, "size": 6}).status_code == 422


def test_a_revision_may_hold_a_slash_and_pages_are_linked(hub: LoopbackHub) -> None:
    commit = seed(hub, **{f"{n}.json": b"1" for n in range(6)})
    hub.store.repos[REPO].branch("fix/1", commit)
    with browser(hub) as client:
        page = client.get(f"{API}/tree/fix%2F1")
        names = [each["path"] for each in page.json()]
        while "next" in page.links:
            page = client.get(page.links["next"]["url"])
            names += [each["path"] for each in page.json()]
    assert names == [".gitattributes", *[f"{n}.json" for n in range(6)]]


def test_a_lost_answer_is_done_and_a_cut_request_is_not(hub: LoopbackHub) -> None:
    seed(hub)
    tags = hub.store.repos[REPO].tags
    hub.faults += [Fault("POST", "/tag/", Cut()), Fault("POST", "/tag/", Lost(), nth=2)]
    with browser(hub) as client:
        for done in ([], ["v1"]):
            with pytest.raises(httpx.TransportError):
                client.post(f"{API}/tag/main", json={"tag": "v1"})
            assert list(tags) == done
        assert client.post(f"{API}/tag/main", json={"tag": "v1"}).status_code == 409


def test_a_large_upload_can_be_refused_cut_and_lost(hub: LoopbackHub) -> None:
    content = bytes(5_000_000)
    oid = hashlib.sha256(content).hexdigest()
    hub.faults.append(Fault("PUT", "/_lfs/", Status(503, {"Retry-After": "1"}, "Busy")))
    hub.faults.append(Fault("PUT", "/_lfs/", Cut(), nth=2))
    hub.faults.append(Fault("PUT", "/_lfs/", Lost(), nth=3))
    with browser(hub) as client:
        busy = client.put(f"/_lfs/{oid}", content=content)
        assert (busy.status_code, busy.headers["Retry-After"]) == (503, "1")
        assert busy.headers["X-Error-Code"] == "Busy"
        for arrived in (False, True):
            with pytest.raises(httpx.TransportError):
                client.put(f"/_lfs/{oid}", content=content)
            assert (hub.store.lfs_blob(oid) is not None) == arrived
    assert hub.bytes_in == len(content)


def test_a_held_request_is_done_only_if_its_client_still_waits(hub: LoopbackHub) -> None:
    seed(hub)
    tags = hub.store.repos[REPO].tags
    hub.faults.append(Fault("POST", "/tag/", Hang(0.2), times=2))
    with browser(hub) as client:
        assert client.post(f"{API}/tag/main", json={"tag": "v1"}).status_code == 200
        with pytest.raises(httpx.ReadTimeout):
            client.post(f"{API}/tag/main", json={"tag": "v2"}, timeout=0.05)
    time.sleep(0.3)
    assert list(tags) == ["v1"]


@pytest.mark.parametrize("when", ["on_request", "on_done"])
def test_a_client_can_be_killed_just_before_or_after_its_commit(
    hub: LoopbackHub, tmp_path: Path, when: str
) -> None:
    seed(hub)
    client = start(hub, tmp_path, 'commit("one", Add("a.json", b"1"))')

    def kill(method: str, path: str, number: int) -> Cut | None:
        if "/commit/" not in path:
            return None
        os.kill(client.pid, signal.SIGKILL)
        return Cut()

    setattr(hub, when, kill)
    with client:
        client.communicate(timeout=60)
    assert client.returncode == -signal.SIGKILL
    assert ("a.json" in hub.store.repos[REPO].head.tree) == (when == "on_done")


def test_with_xet_a_small_edit_uploads_few_bytes_and_reads_back_in_both_modes(
    tmp_path: Path,
) -> None:
    code = """
    import random
    random.seed(0)
    content = random.randbytes(4_000_000) + bytes(1_000_000) + b"text " * 200_000
    api.create_repo(exist_ok=True, **at)
    commit("edit", Add("a.bin", content[:2_000_000] + EDIT + content[2_000_000:]))
    """
    read = "print(len(open(api.hf_hub_download(filename='a.bin', **at), 'rb').read()))"
    with LoopbackHub(tmp_path / "hub", xet=True) as hub:
        run(hub, tmp_path / "first", "EDIT = b''" + textwrap.dedent(code))
        whole = hub.bytes_in
        # Another home: what is known of the first upload is known from the Hub.
        run(hub, tmp_path / "second", "EDIT = b'edit'" + textwrap.dedent(code))
        assert whole > 4_000_000
        assert 0 < hub.bytes_in - whole < 400_000
        for xet, source in ((True, "/_xorbs/"), (False, "/_lfs/")):
            hub.requests.clear()
            assert run(hub, tmp_path / f"reader {xet}", read, xet=xet) == ["6000004"]
            assert any(source in path for _, path in hub.requests)


def test_the_hub_runs_as_a_process_and_counts_the_bytes(tmp_path: Path) -> None:
    port = tmp_path / "port"
    command = [
        sys.executable,
        "-m",
        "tests.support.hub_server",
        "--folder",
        str(tmp_path),
        "--port-file",
        str(port),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as hub:
        assert hub.stdout is not None
        url = hub.stdout.readline().strip()
        assert url == f"http://127.0.0.1:{port.read_text()}"
        sent = httpx.put(f"{url}/_lfs/{hashlib.sha256(b'x').hexdigest()}", content=b"x")
        assert sent.status_code == 200
        assert httpx.get(f"{url}/_stats").json() == {"bytes_in": 1}
        hub.terminate()
    assert hub.returncode == 0


def test_a_closed_hub_leaves_no_thread_and_no_open_port(tmp_path: Path) -> None:
    before = threading.active_count()
    with LoopbackHub(tmp_path) as hub, browser(hub) as client:
        seed(hub, **{"a.json": b"{}"})
        assert client.get(f"/datasets/{REPO}/resolve/main/a.json").text == "{}"
    assert threading.active_count() == before
    with pytest.raises(httpx.ConnectError):
        httpx.get(hub.url)
