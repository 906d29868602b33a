"""Runs `agent-r` again and again, and kills it with -9 at given writes: a process of its own.

    python killed_run.py POINT[,POINT…] ARGUMENTS…

Each POINT is a run; it is killed just before its POINT-th write, rename, removal or start of a
process under the current folder; 0 lets it run to its end. Runs are forks of one process that has
imported everything: that saves seconds each. A line of JSON a run: its exit code, and what it was
about to do when it was killed.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import flows.self_train  # noqa: F401 - imported once for all runs
from flows.cli.main import main

# So is what a run imports only when it comes to need it.
for each in ("matplotlib.figure", "matplotlib.backends.backend_agg", "pandas",
             "prefect.server.api.server"):  # fmt: skip
    importlib.import_module(each)

CRASHED = 70  # no exit code of the command's own
WRITES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "subprocess.Popen"}


def watch(point: int, told: int) -> None:
    """Kill this process before its `point`-th write; tell of each by the pipe `told`."""
    here = str(Path.cwd())
    seen = 0

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal seen
        if event == "open":
            flags = args[2] if isinstance(args[2], int) else 0
            if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event not in WRITES:
            return
        what = str(args[0])
        if event != "subprocess.Popen":
            inside = what.startswith((here, "datasets_out"))
            if not inside or ".prefect" in what:
                return
        seen += 1
        if seen == point:
            os.write(told, f"{event} {what}"[:400].encode())
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def run(point: int, arguments: list[str]) -> dict[str, Any]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        if point:
            watch(point, writer)
        code = CRASHED
        try:
            code = main(arguments)
        except BaseException:  # noqa: BLE001 -- the process is a fork: nothing else would say it
            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as told:
        at = told.read().decode()
    return {"exit": os.waitstatus_to_exitcode(status), "at": at}


if __name__ == "__main__":
    for number in sys.argv[1].split(","):
        sys.stdout.write(json.dumps(run(int(number), sys.argv[2:])) + "\n")
        sys.stdout.flush()
