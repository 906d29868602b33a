"""Whatever Prefect cannot do is one line and exit code 2; a mistake of ours is no fault of its."""

from __future__ import annotations

import contextlib
import http.server
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL
from prefect.testing.utilities import prefect_test_harness

from flows.cli.prefect_faults import prefect_fault
from tests.support.ports import closed_port
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
SETTINGS = """
trees = 2
[endpoint]
kind = "scripted"
[search]
simulations = 2
max_depth = 4
"""
SOON = {"PREFECT_CLIENT_MAX_RETRIES": "2"}  # not five, of up to half a minute each
SLOWLY = SETTINGS.replace("trees = 2", "trees = 24").replace("= 2\nmax", "= 8\nmax")


@contextmanager
def odd_server(answer: bytes, status: int = 200) -> Iterator[str]:
    """Answers everything alike, but tells Prefect's version as its own."""
    import prefect

    class Odd(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            asked = self.path.endswith("/admin/version") and status == 200 and answer == b"{}"
            body = f'"{prefect.__version__}"'.encode() if asked else answer
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = answer

        def log_message(self, *_: object) -> None:
            """Nothing is said."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odd) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://me:pa55word@127.0.0.1:{server.server_port}/api"
        server.shutdown()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with prefect_test_harness(server_startup_timeout=120):
        yield str(PREFECT_API_URL.value())


def collect(
    folder: Path, url: str, *, settings: str = SETTINGS, **more: str
) -> subprocess.CompletedProcess[str]:
    (folder / "my.toml").write_text(settings)
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", "collect", "--config", "my.toml"],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "PREFECT_API_URL": url,
            **more,
        },
        capture_output=True,
        text=True,
        timeout=300,
    )


def assert_one_line(done: subprocess.CompletedProcess[str], match: str) -> None:
    assert done.returncode == 2, done.stderr
    [line] = done.stderr.splitlines()
    assert re.match(rf"agent-r: Prefect's server at http\S+/api cannot be used .*{match}", line)
    assert "pa55word" not in line
    assert done.stdout == ""


@pytest.mark.slow
def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = collect(tmp_path, f"http://127.0.0.1:{closed_port()}/api")
    assert_one_line(done, "unset PREFECT_API_URL")


@pytest.mark.parametrize(
    ("answer", "status"),
    [(b"{}", 200), (b"<html>hello</html>", 200), (b'{"detail": "no"}', 401)],
    ids=["another API", "a page", "no rights"],
)
@pytest.mark.slow
def test_a_server_that_answers_something_else_is_one_line(
    answer: bytes, status: int, tmp_path: Path
) -> None:
    with odd_server(answer, status) as url:
        assert_one_line(collect(tmp_path, url), "")


def call(modules: list[str]) -> Exception:
    """The error of the last of these modules, each of which calls the next."""

    def into(left: list[str]) -> None:
        if not left:
            raise KeyError("what is not there")
        space = {"__name__": left[0], "into": into, "left": left[1:]}
        exec("def run(): into(left)\nrun()", space)

    with pytest.raises(KeyError) as caught:
        into(modules)
    return caught.value


@pytest.mark.parametrize(
    ("modules", "is_prefects"),
    [
        (["flows.cli.main", "prefect.flow_engine", "httpx"], True),
        (
            ["flows.cli.main", "prefect.flow_engine", "flows.collect", "prefect.artifacts", "json"],
            True,
        ),
        (["flows.cli.main", "prefect.flow_engine", "flows.collect", "json"], False),
        (
            ["flows.cli.main", "prefect.flow_engine", "tasks.grow", "agent_r.algorithm.search"],
            False,
        ),
        (["flows.cli.main", "argparse"], False),
    ],
)
def test_a_mistake_of_ours_keeps_its_traceback(modules: list[str], is_prefects: bool) -> None:
    fault = prefect_fault(call(modules))
    assert (fault is not None) == is_prefects
    if fault is not None:
        assert str(fault).endswith("'what is not there'")


@contextmanager
def forwarded(url: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """Another address of a server, and what makes it die at once."""
    host, port = re.fullmatch(r"http://([^:/]+):(\d+)/api", url).groups()  # type: ignore[union-attr]
    listener = socket.create_server(("127.0.0.1", 0))
    ends: list[socket.socket] = [listener]

    def copy(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := one.recv(65536):
                other.sendall(piece)
        die(one, other)

    def die(*sockets: socket.socket) -> None:
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection((host, int(port)))
                ends.extend((near, far))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/api", lambda: die(*ends)
    finally:
        die(*ends)


@pytest.mark.slow
def test_prefects_own_server_is_asked_past_a_dead_proxy(server: str, tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{closed_port()}"
    done = collect(tmp_path, server, HTTP_PROXY=nobody, http_proxy=nobody, ALL_PROXY=nobody)
    assert "Traceback" not in done.stderr
    assert list(tmp_path.rglob("harvest-*/*.json")), done.stderr


@pytest.mark.slow
def test_a_server_that_dies_in_the_middle_is_one_line_and_nothing_is_lost(
    server: str, tmp_path: Path
) -> None:
    done: list[subprocess.CompletedProcess[str]] = []
    with forwarded(server) as (url, die):
        run = threading.Thread(
            target=lambda: done.append(collect(tmp_path, url, settings=SLOWLY, **SOON)), daemon=True
        )
        run.start()
        until(lambda: list(tmp_path.rglob("harvest-*/*.json")))
        die()
        run.join(timeout=300)
    [ended] = done
    said = [line for line in ended.stderr.splitlines() if "iteration 1" not in line]
    assert (ended.returncode, len(said)) == (2, 1), ended.stderr
    assert said[0].startswith("agent-r: Prefect's server at ")
    assert list(tmp_path.rglob("harvest-*/*.json"))
