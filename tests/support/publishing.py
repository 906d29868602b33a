"""A client process that publishes: it can be killed, raced, and asked what came of it."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.writer import export
from agent_r.errors import AgentRError
from agent_r.hub.publish import Published, publish
from agent_r.hub.repository import Hub
from agent_r.hub.secret_rules import Detector
from tests.support.hub_server import WRITE, LoopbackHub
from tests.support.made import Made

REPO = "tester/recovery"
# A server without threads to fork from, which has all imported already: a client in milliseconds.
# (It does not take over our sys.path by itself before Python 3.13.)
os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
Detector().find("")  # the rules are read here, once for all clients
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__, "pandas"])  # which pyarrow imports when it reads


def hub_at(url: str, *, token: str = WRITE, timeout_s: float = 10.0, repo: str = REPO) -> Hub:
    return Hub(repo, endpoint=url, token=SecretStr(token), timeout_s=timeout_s)


def not_loaded(hub: Hub, commit: str, rows: dict[str, int]) -> None:
    """In place of a stranger's `load_dataset`: it takes seconds, and one test does it for real."""


def client(url: str, version: Path, temporary: str, pipe: Connection) -> None:
    """Publish, and send what came of it: the commit, or the failure's type and line."""
    tempfile.tempdir = temporary  # the server has the environment of whoever needed it first
    try:
        done = publish(version, hub_at(url), sleep=lambda _: None, load=not_loaded)
    except AgentRError as error:
        pipe.send((type(error).__name__, str(error)))
    else:
        pipe.send(("Published", done.commit))


@dataclass(slots=True)
class Client:
    """A process that publishes a version."""

    process: ForkServerProcess
    pipe: Connection

    @classmethod
    def start(cls, url: str, version: Path) -> Client:
        here, there = _CONTEXT.Pipe(duplex=False)
        process = _CONTEXT.Process(target=client, args=(url, version, tempfile.gettempdir(), there))
        process.start()
        there.close()
        return cls(process, here)

    def outcome(self) -> Any:
        """What it said; None where it was killed before."""
        self.process.join(120)
        assert self.process.exitcode is not None, "the client hangs"
        said = self.pipe.recv() if self.process.exitcode == 0 else None
        self.pipe.close()
        self.process.close()
        return said


def next_of(made: Made, folder: Path, drop: int) -> Path:
    """A later version in the same folder: a row of preferences less."""
    if not (folder / made.version.name).exists():
        shutil.copytree(made.version, folder / made.version.name)
    rows = [(name, row) for name in ("sft", "preference", "trees") for row in made.rows(name)]
    told = {"environments": read_manifest(made.version)["environments"]}
    return Path(export(rows[drop:], folder, provenance=lambda: told).path)


def send(hub: Hub, version: Path, waits: list[float] | None = None, **options: Any) -> Published:
    sleep = (waits if waits is not None else []).append
    return publish(version, hub, sleep=sleep, load=not_loaded, **options)


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
