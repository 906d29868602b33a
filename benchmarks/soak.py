"""Does it hold? Many short runs under one Prefect server and one worker, with accidents.

    python benchmarks/soak.py --runs 300

Each run is a `collect` of one tree by the scripted actor into a dataset of its own, so what is
counted is what Prefect and our flows cost. A line every so many finished runs: memory, threads and
open files of server and worker, and the database. On the way the server is stopped for a minute,
then killed and begun again, and the worker is killed and another one begun; runs that these
accidents ended are retried, once the automations have called them dead. At the end every dataset
must have one version, and one alone; then half of the runs are dated back, and the server's
retention (docs/prefect.md) must delete them.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.support.prefect_server import Server, healthy, kill, patiently, serving

IN_FLIGHT = 4
AWAY_S = 60.0
RETRIED = ("FAILED", "CRASHED")
SERVER = {  # as docs/prefect.md advises for one that stays
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    ),
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": "86400",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": "60",
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=300)
    arguments.add_argument("--every", type=int, default=25, help="runs to a line")
    given = arguments.parse_args()
    print(f"$ python benchmarks/soak.py --runs {given.runs}", flush=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), [], **SERVER) as server,
    ):
        soak = Soak(server, given.runs, given.every)
        soak.run()
        sys.exit(soak.verdict())


@dataclass
class Soak:
    """Runs submitted, those that ended, and what was seen on the way."""

    server: Server
    runs: int
    every: int
    states: dict[str, str] = field(default_factory=dict)  # of each run, by id
    submitted: int = 0
    retries: int = 0
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.serving, self.working = self.server.started[0], self.server.started[-1]

    def run(self) -> None:
        accidents: list[tuple[int, Callable[[], None]]] = [
            (self.runs // 4, self.server_away),
            (self.runs // 2, self.server_killed),
            (3 * self.runs // 4, self.worker_killed),
        ]
        self.line()
        shown = 0
        while (done := self.done()) < self.runs:
            while self.submitted < self.runs and self.submitted - done < IN_FLIGHT:
                self.submit()
            if accidents and done >= accidents[0][0]:
                accidents.pop(0)[1]()
            if done >= shown + self.every:
                shown = done
                self.line()
            time.sleep(1)
        self.line()

    def submit(self) -> None:
        parameters: dict[str, Any] = {
            "endpoint": {"kind": "scripted"},
            "dataset": f"soak-{self.submitted}",
            "budget": {"trees": 1},
        }
        self.states[self.server.run("collect/collect", **parameters)] = "SCHEDULED"
        self.submitted += 1

    def done(self) -> int:
        """How many runs are at a good end; those that are at another one are retried."""
        going_on = [run for run, state in self.states.items() if state != "COMPLETED"]
        for run in going_on:
            self.states[run] = self.server.get(f"/flow_runs/{run}")["state"]["type"]
            if self.states[run] in RETRIED:
                self.retries += 1
                state = {"state": {"type": "SCHEDULED", "name": "AwaitingRetry"}, "force": True}
                self.server.post(f"/flow_runs/{run}/set_state", state)
        return sum(state == "COMPLETED" for state in self.states.values())

    def server_away(self) -> None:
        print(f"# the server is stopped for {AWAY_S:.0f} s", flush=True)
        self.serving.send_signal(signal.SIGSTOP)
        time.sleep(AWAY_S)
        self.serving.send_signal(signal.SIGCONT)
        patiently(lambda: healthy(self.server))

    def server_killed(self) -> None:
        print("# the server is killed, and begun again", flush=True)
        self.serving = self.again(self.serving)
        patiently(lambda: healthy(self.server))

    def worker_killed(self) -> None:
        print("# the worker and its runs are killed, and another worker begins", flush=True)
        self.working = self.again(self.working)

    def again(self, process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        """The same command once more, after a `kill -9`."""
        seen = psutil.Process(process.pid)
        command, environment, folder = seen.cmdline(), seen.environ(), seen.cwd()
        kill(process.pid)
        process.wait()
        with (self.server.folder.parent / f"again-{process.pid}.log").open("wb") as log:
            fresh = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self.server.started.append(fresh)
        return fresh

    def line(self) -> None:
        seconds = time.monotonic() - self.began
        database = sum(path.stat().st_size for path in self.server.database.parent.iterdir())
        done = sum(state == "COMPLETED" for state in self.states.values())
        locked = sum(
            path.read_bytes().count(b"database is locked")
            for path in self.server.folder.parent.glob("*.log")
        )
        print(
            f"{done:>4} runs {seconds:>6.0f} s · server {usage(self.serving.pid)} · "
            f"worker {usage(self.working.pid)} · database {database / 1e6:.1f} MB · "
            f"{self.retries} retried · {locked} times locked",
            flush=True,
        )

    def verdict(self) -> int:
        """0: every dataset has one version with one tree, and no run is open."""
        folders = (self.server.folder / "datasets_out").glob("soak-*")
        versions = Counter(len([*folder.glob("v*")]) for folder in folders)
        whole = versions == {1: self.runs}
        print(f"datasets by their number of versions: {dict(versions)}", flush=True)
        open_runs = Counter(self.states.values()) != {"COMPLETED": self.runs}
        return 1 if open_runs or not whole or not self.deleted() else 0

    def deleted(self) -> bool:
        """Whether retention deletes old runs, and only these."""
        old = [*self.states][: self.runs // 2]
        marks = ",".join("?" * len(old))
        with contextlib.closing(sqlite3.connect(self.server.database, timeout=60)) as database:
            database.execute(
                "UPDATE flow_run SET end_time = datetime('now', '-2 days') "
                f"WHERE id IN ({marks})", old,
            )  # fmt: skip
            database.commit()
        patiently(lambda: self.count() <= self.runs - len(old))
        print(f"{len(old)} runs dated back by two days: {self.count()} runs are left", flush=True)
        self.line()
        return self.count() == self.runs - len(old)

    def count(self) -> int:
        return int(self.server.post("/flow_runs/count", {}))


def usage(pid: int) -> str:
    """Of a process alone, without its children."""
    process = psutil.Process(pid)
    with process.oneshot():
        memory = process.memory_info().rss / 1e6
        return f"{memory:.0f} MB {process.num_threads()} threads {process.num_fds()} files"


if __name__ == "__main__":
    main()
