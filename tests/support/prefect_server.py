"""A real Prefect server and real workers, each with a home of its own, set up as the docs say."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.utilities.asyncutils import run_coro_as_sync

from tests.support.ports import free_port
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs/prefect.md").read_text(encoding="utf-8")
SLOW_MACHINE_S = 400.0  # for what takes seconds
patiently = partial(until, within_s=SLOW_MACHINE_S, every_s=1.0)


def commands(heading: str) -> list[str]:
    """The lines after a prompt in a section of docs/prefect.md, as they stand there."""
    section = DOCS.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\$ ([^#\n]*[^#\s])", section, flags=re.MULTILINE)


@dataclass
class Server:
    """A server, the folder in which it was deployed, and all processes that were started for it."""

    folder: Path
    url: str
    environment: dict[str, str]
    database: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.api = httpx.Client(base_url=f"{self.url}/api", timeout=60)

    def start(self, command: str, *, home: str) -> subprocess.Popen[bytes]:
        """A process that stays, in a session of its own, with a Prefect home of its own."""
        log = (self.folder.parent / f"{home}-{len(self.started)}.log").open("wb")
        words = [sys.executable, "-m", *shlex.split(command)]
        environment = self.environment | {"PREFECT_HOME": str(self.folder.parent / home)}
        with log:
            process = subprocess.Popen(
                words, cwd=self.folder, env=environment, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.started.append(process)
        return process

    def do(self, command: str, **more: str) -> str:
        """A command of the docs, in the project's folder; what it printed."""
        words = shlex.split(command)
        modules = {"prefect": ["-m", "prefect"], "agent-r": ["-m", "flows.cli"], "python": []}
        words = [sys.executable, *modules[words[0]], *words[1:]]
        environment = self.environment | {"PREFECT_HOME": str(self.folder.parent / "person")} | more
        done = subprocess.run(
            words, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr}"
        return done.stdout

    def post(self, path: str, body: Any) -> Any:
        return self.ask("POST", path, body)

    def get(self, path: str) -> Any:
        return self.ask("GET", path, None)

    def ask(self, method: str, path: str, body: Any) -> Any:
        """As Prefect's own client: a busy SQLite answers 503, or late."""
        for last in (*[False] * 20, True):
            try:
                answer = self.api.request(method, path, json=body)
            except httpx.TransportError:
                if last:
                    raise
                continue
            if answer.status_code < 500 or last:
                break
            time.sleep(2)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def deployment(self, name: str) -> str:
        """Its id; the name is `flow/deployment`."""
        return str(self.get(f"/deployments/name/{name}")["id"])

    def run(self, deployment: str, **parameters: Any) -> str:
        """Submit a run, as the form does; its id."""
        path = f"/deployments/{self.deployment(deployment)}/create_flow_run"
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        body |= {"idempotency_key": uuid.uuid4().hex}
        return str(self.post(path, body)["id"])

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        """All runs of a deployment, the earliest first."""
        wanted = {"deployments": {"id": {"any_": [self.deployment(deployment)]}}}
        return list(self.post("/flow_runs/filter", wanted | {"sort": "EXPECTED_START_TIME_ASC"}))

    def children(self, run: str) -> list[dict[str, Any]]:
        """The subflow runs of a run, the earliest first."""
        wanted = {"flow_runs": {"parent_flow_run_id": {"any_": [run]}}, "sort": "START_TIME_ASC"}
        return list(self.post("/flow_runs/filter", wanted))

    def artifacts(self, key: str) -> list[dict[str, Any]]:
        """Those of a key, each with the id that its page has."""
        return list(self.post("/artifacts/filter", {"artifacts": {"key": {"any_": [key]}}}))

    def unended(self, run: str) -> list[str]:
        """Names of the task runs of a run, and of the runs within it, that are not at an end."""
        tasks = self.post("/task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
        within = self.children(run)
        ends = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
        left = [each["name"] for each in [*tasks, *within] if each["state"]["type"] not in ends]
        return left + [name for child in within for name in self.unended(child["id"])]

    def wait(self, run: str, *states: str, within_s: float = SLOW_MACHINE_S) -> dict[str, Any]:
        """The run once it is in one of these states (by name)."""

        def there() -> dict[str, Any] | None:
            found: dict[str, Any] = self.get(f"/flow_runs/{run}")
            return found if found["state"]["name"] in states else None

        try:
            return until(there, within_s=within_s, every_s=1.0)
        except TimeoutError:
            state = self.get(f"/flow_runs/{run}")["state"]
            raise AssertionError(f"not {states} but {state['name']}: {state['message']}") from None

    def logs(self, run: str) -> str:
        found = self.post("/logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}})
        return "\n".join(line["message"] for line in found)

    def pid(self, run: str) -> int:
        """Of the process in which a run is."""
        return int(patiently(lambda: self.get(f"/flow_runs/{run}")["infrastructure_pid"]))

    def close(self) -> None:
        """End all that was started, and all that these have started."""
        for process in self.started:
            kill(process.pid)
        for process in self.started:
            process.wait(timeout=30)
        self.api.close()


def kill(pid: int) -> None:
    """-9 for a process and its children."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGKILL)


@contextlib.contextmanager
def started(project: Path, command: str, **secrets: str) -> Iterator[Server]:
    """A server with nothing on it, begun by `command` (at the docs' port, or at another)."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("PREFECT_", "HF_", "PYTEST"))}
    ours_alone = {
        "PYTHONPATH": str(ROOT),
        "PREFECT_API_URL": f"{url}/api",
        "AGENT_R_ALLOW": "code,commands,paths",  # tests say in a run's parameters what holds it up
        "PREFECT_UI_API_URL": f"{url}/api",  # where it is not on its usual port
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "HF_HUB_DISABLE_XET": "1",
    }
    # In memory where there is such a folder: while a busy disk syncs, SQLite has all writers wait.
    memory = Path("/dev/shm")
    held = memory if memory.is_dir() else project.parent
    database = Path(tempfile.mkdtemp(dir=held)) / "prefect.db"
    server = Server(project, url, kept | ours_alone | secrets, database)
    server.environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = f"sqlite+aiosqlite:///{database}"
    try:
        server.start(command.replace("4200", str(port)), home="server")
        patiently(lambda: healthy(server))
        yield server
    finally:
        server.close()
        shutil.rmtree(database.parent)


@contextlib.contextmanager
def serving(folder: Path, deployments: list[dict[str, Any]], **secrets: str) -> Iterator[Server]:
    """A server set up as docs/prefect.md says, with deployments of a test's own beside ours."""
    project = folder / "project"
    project.mkdir()
    shutil.copytree(ROOT / "automations", project / "automations")
    shutil.copytree(ROOT / "configs", project / "configs")
    ours = (ROOT / "prefect.yaml").read_text(encoding="utf-8")
    own = yaml.safe_dump(deployments, sort_keys=False) if deployments else ""
    text = ours + own
    (project / "prefect.yaml").write_text(text, encoding="utf-8")
    start, *others, worker = commands("Set up")
    with started(project, start, **secrets) as server:
        for command in others:
            if not command.startswith("export "):
                server.do(command)
        server.start(worker, home="worker")
        yield server


@contextlib.contextmanager
def showing(folder: Path, entrypoint: str, name: str) -> Iterator[Server]:
    """A server that shows one deployment."""
    deployment = {"name": name, "entrypoint": entrypoint, "work_pool": {"name": "nobody"}}
    with idle(folder) as server:
        (server.folder / "prefect.yaml").write_text(yaml.safe_dump({"deployments": [deployment]}))
        server.do("agent-r deploy")
        yield server


@contextlib.contextmanager
def idle(folder: Path) -> Iterator[Server]:
    """A server that does nothing by itself: no worker, no service.

    Nothing but a test's own requests writes into its database, so none of them waits for another.
    """
    project = folder / "project"
    project.mkdir()
    with started(project, f"{commands('Set up')[0]} --no-services") as server:
        yield server


@contextlib.contextmanager
def asking(url: str | None) -> Iterator[None]:
    """This process itself speaks to a server; nothing of it is left for the next one.

    Prefect sends events by one service a process, which keeps to the server it began with.
    """
    with temporary_settings({PREFECT_API_URL: url}):
        try:
            yield
        finally:
            run_coro_as_sync(_all_sent())


async def _all_sent() -> None:
    waiting = EventsWorker.drain_all(timeout=60)
    if inspect.isawaitable(waiting):
        await waiting


def healthy(server: Server) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return server.api.get("/health").status_code == 200
    return False
