"""A shelf is the same in a folder, in memory and in a bucket of a real S3 server on loopback."""

from __future__ import annotations

import asyncio
import functools
import gc
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from agent_r import files
from agent_r.collection import object_store as object_stores
from agent_r.collection.object_store import ObjectStore
from agent_r.errors import ConfigError, ExtraMissing, StoreError

PAGE = 70  # names in a list; S3 has 1,000
SECRET = "hunter2-wJalrXUtnFEMI-EXAMPLE"
# A process of its own: moto hooks itself into botocore where it is imported. It ends with its
# standard input, whatever becomes of us.
MOTO = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    options: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    options["stderr"] = subprocess.DEVNULL
    options["env"] = os.environ | {"MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE)}
    with subprocess.Popen([sys.executable, "-c", MOTO], **options) as moto:
        assert moto.stdout is not None
        assert moto.stdin is not None
        yield f"http://127.0.0.1:{int(moto.stdout.readline())}"
        moto.stdin.close()
        assert moto.wait(timeout=10) == 0


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Points the AWS client at a server, with test credentials and nobody's own."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    return functools.partial(monkeypatch.setenv, "AWS_ENDPOINT_URL")


@pytest.fixture
def s3(aws: Callable[[str], None], s3_server: str) -> str:
    """A bucket, empty."""
    import boto3

    aws(s3_server)
    name = f"trees-{uuid.uuid4().hex[:12]}"
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket=name)
    client.close()
    return f"s3://{name}"


@pytest.fixture(params=["folder", "memory", "s3"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "s3":
        yield f"{request.getfixturevalue('s3')}/work/a"
    elif request.param == "memory":
        yield "memory://work/a"
        MemoryFileSystem.store.clear()
    else:
        yield str(tmp_path / "work" / "a")


@contextmanager
def answering(
    status: int, body: bytes = b"", *, after_s: float = 0.0, delete: int = 0
) -> Iterator[Any]:
    """A server that says the same to everything; `ended` is set when a client hangs up."""
    stopped, ended = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            stopped.wait(after_s)
            self.send_response((self.command == "DELETE" and delete) or status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_DELETE = answer

        def finish(self) -> None:
            super().finish()
            ended.set()

        def log_message(self, *args: object) -> None:
            pass

    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *args: None  # a client that gave up
    server.url, server.ended = f"http://127.0.0.1:{server.server_port}", ended
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        stopped.set()
        server.shutdown()
        thread.join()
        gc.collect()  # our client hangs up, and so ends the server's threads
        server.server_close()


def refusal(code: str, message: str = "") -> bytes:
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


async def failures(object_store: ObjectStore) -> dict[str, str]:
    """What is said of everything that can be tried; the secret is in none of it."""
    said = {}
    tries = {
        "read": lambda: object_store.read("x"),
        "write": lambda: object_store.write("x", b"content"),
        "list": object_store.names,
        "require_writable": object_store.require_writable,
    }
    for name, attempt in tries.items():
        with pytest.raises(StoreError) as caught:
            await attempt()
        told = "".join(traceback.format_exception(caught.value))
        assert SECRET not in told
        assert "Signature=" not in told
        said[name] = str(caught.value)
        assert "\n" not in said[name]
        assert str(object_store) in said[name]
    return said


# The same everywhere


async def test_what_was_written_is_read(where: str) -> None:
    object_store = ObjectStore.at(where)
    await object_store.write("one.json", b"first")
    assert await object_store.read("one.json") == b"first"
    await object_store.write("one.json", b"2nd")
    assert await object_store.read("one.json") == b"2nd"


async def test_a_file_that_is_missing_is_none(where: str) -> None:
    object_store = ObjectStore.at(where)
    assert await object_store.read("one.json") is None
    await object_store.write("other.json", b"")
    assert await object_store.read("one.json") is None


async def test_names_are_of_the_files_directly_in_it_in_order(where: str) -> None:
    object_store = ObjectStore.at(where)
    assert await object_store.names() == []
    for name in ("b.json", "a.json", "c"):
        await object_store.write(name, b"x")
    await object_store.below("deeper").write("d.json", b"x")
    await ObjectStore.at(f"{where}-and-more").write("e.json", b"x")
    assert await object_store.names() == ["a.json", "b.json", "c"]
    assert await object_store.below("deeper").names() == ["d.json"]


async def test_a_folder_in_it_is_a_shelf_of_its_own(where: str) -> None:
    object_store = ObjectStore.at(where)
    trees = object_store.below("iteration-1").below("trees")
    await trees.write("a.json", b"tree")
    assert str(trees) == f"{where}/iteration-1/trees"
    assert await ObjectStore.at(str(trees)).read("a.json") == b"tree"
    assert await object_store.read("a.json") is None


async def test_names_and_content_may_be_of_any_language_or_empty(where: str) -> None:
    object_store = ObjectStore.at(where).below("ひらがな & 100%+ #1")
    await object_store.write("Übergröße – ☃.json", "Schöße 🌲\r\n\0".encode())
    await object_store.write("empty", b"")
    assert await object_store.names() == ["empty", "Übergröße – ☃.json"]
    assert await object_store.read("Übergröße – ☃.json") == "Schöße 🌲\r\n\0".encode()
    assert await object_store.read("empty") == b""


async def test_five_megabytes_come_back_as_they_were(where: str) -> None:
    content = os.urandom(5_000_000)
    object_store = ObjectStore.at(where)
    await object_store.write("large", content)
    assert await ObjectStore.at(where).read("large") == content


async def test_sixty_four_can_be_written_and_read_at_once(where: str) -> None:
    object_store = ObjectStore.at(where)
    wanted = {f"{i:02}.json": os.urandom(10_000) for i in range(64)}
    await asyncio.gather(*(object_store.write(name, content) for name, content in wanted.items()))
    assert await object_store.names() == list(wanted)
    found = await asyncio.gather(*(object_store.read(name) for name in wanted))
    assert list(found) == list(wanted.values())


async def test_two_see_at_once_what_the_other_wrote(where: str) -> None:
    one, two = ObjectStore.at(where), ObjectStore.at(where)
    for i in range(3):
        assert await one.names() == await two.names() == [f"{n}" for n in range(i)]
        assert await two.read(f"{i}") is None
        await one.write(f"{i}", b"new")
        await one.write("0", f"{i}".encode())
        assert await two.names() == [f"{n}" for n in range(i + 1)]
        assert await two.read("0") == f"{i}".encode()


async def test_a_reader_never_sees_half_a_file(where: str) -> None:
    object_store, reader = ObjectStore.at(where), ObjectStore.at(where)
    whole = {letter * 300_000 for letter in (b"a", b"b")}
    await object_store.write("x", min(whole))

    async def write() -> None:
        for content in sorted(whole) * 5:
            await object_store.write("x", content)
            await asyncio.sleep(0)

    writing = asyncio.create_task(write())
    while not writing.done():
        assert await reader.read("x") in whole
        await asyncio.sleep(0)
    await writing


async def test_to_be_writable_leaves_nothing_behind(where: str) -> None:
    object_store = ObjectStore.at(where)
    await object_store.require_writable()
    assert await object_store.names() == []
    assert await object_store.read("writable") is None
    if "://" not in where:
        assert not Path(where).parent.exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/x", "a/b", "a\\b", ".x", "a?b", "a\nb"])
async def test_a_name_never_leads_elsewhere(where: str, name: str) -> None:
    object_store = ObjectStore.at(where)
    for attempt in (
        object_store.read,
        object_store.below,
        functools.partial(object_store.write, content=b""),
    ):
        with pytest.raises(ValueError, match="no name for a file"):
            result: Any = attempt(name)
            await result


def test_a_shelf_outlives_an_event_loop(where: str) -> None:
    object_store = ObjectStore.at(where)
    asyncio.run(object_store.write("x", b"1"))
    assert asyncio.run(object_store.read("x")) == b"1"


# Where it is


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("s3://trees", "s3://trees"),
        ("S3://trees//a/b/", "s3://trees/a/b"),
        ("memory://", "memory://"),
        ("memory:///a/", "memory://a"),
        ("file:///data/a%20b/", "/data/a b"),
        ("file://localhost/data", "/data"),
        ("work/a/", "work/a"),
        ("./s3:/a", "s3:/a"),
        (Path("/data/x"), "/data/x"),
    ],
)
def test_a_place_has_one_name(url: str | Path, wanted: str) -> None:
    assert str(ObjectStore.at(url)) == wanted


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("gs://bucket/x", r"unknown protocol 'gs': one of file://, memory://, s3://"),
        ("simplecache::s3://bucket", "unknown protocol"),
        ("s3:/bucket/x", "no folder and no URL"),
        (Path("s3://bucket/x"), "no folder and no URL"),
        ("", "no folder and no URL"),
        ("s3://", r"no bucket's name: ''"),
        ("s3:///x", r"no bucket's name: ''"),
        ("s3://my bucket/x", r"no bucket's name: 'my bucket'"),
        ("s3://bucket/../x", r"holds no \?, # or \.\."),
        ("file://data/x", "needs a whole path, as file:///data/x"),
        ("file://", "needs a whole path"),
        (f"s3://key:{SECRET}@bucket/x", "takes no credentials: set AWS_ACCESS_KEY_ID"),
        (f"s3://bucket/x?X-Amz-Signature={SECRET}", r"holds no \?, # or"),
        ("s3://bucket/x\ny", "holds no"),
    ],
)
def test_a_wrong_place_is_said(url: str | Path, match: str) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        ObjectStore.at(url)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ExtraMissing, match=r"^s3:// stores need.* `pip install 'agent-r\[s3\]'`$"):
        ObjectStore.at("s3://bucket")
    ObjectStore.at("memory://x")


# A folder


async def test_a_folder_holds_the_bytes_that_the_store_writes(tmp_path: Path) -> None:
    await ObjectStore.at(tmp_path).below("a").write("x.json", b"content")
    files.write_bytes(tmp_path / "b" / "x.json", b"content")
    one, two = tmp_path / "a" / "x.json", tmp_path / "b" / "x.json"
    assert (one.read_bytes(), one.stat().st_mode) == (two.read_bytes(), two.stat().st_mode)
    assert await ObjectStore.at(tmp_path.as_uri()).below("b").read("x.json") == b"content"


async def test_a_write_that_fails_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    object_store = ObjectStore.at(tmp_path)
    await object_store.write("x", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StoreError, match=r"cannot write .*x: File too large"):
            await object_store.write("x", bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert await object_store.read("x") == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]


def write_for_ever(folder: str) -> None:
    while True:
        for letter in (b"a", b"b"):
            asyncio.run(ObjectStore.at(folder).write("x", letter * 3_000_000))


async def test_a_writer_that_is_killed_leaves_a_whole_file(tmp_path: Path) -> None:
    object_store = ObjectStore.at(tmp_path)
    await object_store.write("x", b"a" * 3_000_000)
    writer = multiprocessing.get_context("spawn").Process(
        target=write_for_ever, args=(str(tmp_path),)
    )
    writer.start()
    try:
        while not [path for path in tmp_path.iterdir() if path.name != "x"]:
            assert writer.is_alive()
    finally:
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join()
        writer.close()
    assert await object_store.read("x") in (b"a" * 3_000_000, b"b" * 3_000_000)
    assert await object_store.names() == ["x"]


async def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    said = await failures(ObjectStore.at(tmp_path / "file"))
    assert all("Not a directory" in line or "File exists" in line for line in said.values()), said
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match=r"cannot read .*folder: Is a directory"):
        await ObjectStore.at(tmp_path).read("folder")


# A bucket


async def test_a_bucket_that_is_missing_is_said(s3: str) -> None:
    said = await failures(ObjectStore.at("s3://no-such-bucket-here/x"))
    assert all("there is no such bucket: make it, or" in line for line in said.values()), said


async def test_the_top_of_a_bucket_is_a_shelf(s3: str) -> None:
    object_store = ObjectStore.at(s3)
    assert await object_store.names() == []
    await object_store.write("x", b"1")
    await object_store.below("y").write("z", b"2")
    assert await object_store.names() == ["x"]


async def test_more_than_a_page_of_names_is_listed(s3: str) -> None:
    object_store = ObjectStore.at(s3).below("many")
    wanted = [f"{i:03}" for i in range(2 * PAGE + 5)]
    await asyncio.gather(*(object_store.write(name, b"") for name in wanted))
    assert await object_store.names() == wanted


async def test_a_server_that_is_down_is_said(aws: Callable[[str], None]) -> None:
    with answering(200) as server:
        closed = server.url
    aws(closed)
    said = await failures(ObjectStore.at("s3://bucket/x"))
    assert all(f"no answer from {closed} (EndpointCon" in line for line in said.values()), said
    assert all("check AWS_ENDPOINT_URL" in line for line in said.values())


async def test_it_is_said_soon_after_all_tries(
    aws: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(200) as server:
        aws(server.url)
    monkeypatch.delenv("AWS_MAX_ATTEMPTS")
    started = time.monotonic()
    with pytest.raises(StoreError, match="no answer from"):
        await ObjectStore.at("s3://bucket/x").write("x", b"")
    assert time.monotonic() - started < 30


async def test_a_server_that_is_silent_is_said_before_any_work(
    aws: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_stores, "PROBE_S", 0.5)
    with answering(200, after_s=60) as server:
        aws(server.url)
        with pytest.raises(StoreError, match="no answer in time"):
            await ObjectStore.at("s3://bucket/x").require_writable()


async def test_a_server_that_is_silent_is_given_up(
    aws: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(object_stores.CLIENT, "read_timeout", 0.1)
    with answering(200, after_s=60) as server:
        aws(server.url)
        said = await failures(ObjectStore.at("s3://bucket/x"))
    assert all(f"no answer from {server.url} (ReadTimeout" in line for line in said.values()), said


@pytest.mark.parametrize(
    ("status", "code", "match"),
    [
        (403, "AccessDenied", "access is denied (AccessDenied): the credentials need s3:"),
        (403, "SignatureDoesNotMatch", "the credentials are refused (SignatureDoesNotMatch)"),
        (403, "InvalidAccessKeyId", "the credentials are refused (InvalidAccessKeyId)"),
        (400, "ExpiredToken", "the credentials are refused (ExpiredToken)"),
        (
            507,
            "QuotaExceeded",
            "the store answers QuotaExceeded (see https://store/doc): try again later",
        ),
        (503, "SlowDown", "the store answers SlowDown (see https://store/doc)"),
    ],
)
async def test_a_refusal_is_said_without_what_is_secret(
    status: int, code: str, match: str, aws: Callable[[str], None]
) -> None:
    body = refusal(code, f"see\nhttps://me:{SECRET}@store/doc?X-Amz-Signature={SECRET}")
    with answering(status, body) as server:
        aws(server.url)
        said = await failures(ObjectStore.at("s3://bucket/x"))
    assert all(match in line for line in said.values()), said


async def test_a_server_of_something_else_is_said(aws: Callable[[str], None]) -> None:
    with answering(404, b"<html>no such page</html>") as server:
        aws(server.url)
        said = await failures(ObjectStore.at("s3://bucket/x"))
    assert all("the store answers 404: check the URL and" in line for line in said.values()), said


@pytest.mark.parametrize(
    ("unset", "setting", "match"),
    [
        (["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], {}, "no usable AWS credentials"),
        (["AWS_ACCESS_KEY_ID"], {}, "no usable AWS credentials"),
        (["AWS_ACCESS_KEY_ID"], {"AWS_PROFILE": "mine"}, "no usable AWS credentials"),
        (
            [],
            {"AWS_ENDPOINT_URL": "https://127.0.0.1:1", "AWS_CA_BUNDLE": "/no/such/file"},
            "No such file or directory (HTTPClientError): check AWS_ENDPOINT_URL, AWS_CA_BUNDLE",
        ),
        ([], {"AWS_ENDPOINT_URL": "127.0.0.1:1"}, "Invalid endpoint: 127.0.0.1:1"),
    ],
)
async def test_settings_that_cannot_work_are_said(
    unset: list[str],
    setting: dict[str, str],
    match: str,
    aws: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with answering(200) as server:
        aws(server.url)
        for name in unset:
            monkeypatch.delenv(name)
        for name, value in setting.items():
            monkeypatch.setenv(name, value)
        said = await failures(ObjectStore.at("s3://bucket/x"))
    assert all(match in line for line in said.values()), said


async def test_a_bucket_without_the_right_to_delete_is_writable(aws: Callable[[str], None]) -> None:
    with answering(200, delete=403) as server:
        aws(server.url)
        await ObjectStore.at("s3://bucket/x").require_writable()


async def test_a_shelf_that_is_let_go_of_hangs_up(aws: Callable[[str], None]) -> None:
    with answering(200) as server:
        aws(server.url)
        object_store: ObjectStore | None = ObjectStore.at("s3://bucket/x")
        assert object_store is not None
        await object_store.write("x", b"")
        assert not server.ended.is_set()
        object_store = None
        gc.collect()
        assert await asyncio.to_thread(server.ended.wait, 5)


async def test_a_write_that_is_cancelled_is_let_go_of_at_once(aws: Callable[[str], None]) -> None:
    with answering(200, after_s=60) as server:
        aws(server.url)
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ObjectStore.at("s3://bucket/x").write("x", b""), 0.2)
        assert time.monotonic() - started < 30
