"""Stop Prefect's temporary server when this process ends, also after kill -9."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

LOOKS_EVERY_S = 0.2

_held: list[subprocess.Popen[bytes]] = []  # the shells; their pipes close when this process ends


@cache
def hold() -> None:
    """Wait, in a thread, until a server was started; then tie it to this process; once."""
    if os.name == "posix":
        threading.Thread(target=_tie_first, name="tether", daemon=True).start()


def servers() -> Iterator[Any]:
    """The temporary servers that Prefect has started in this process."""
    module = sys.modules.get("prefect.server.api.server")
    kind = getattr(module, "SubprocessASGIServer", None)  # it may be half imported yet
    yield from list(kind._instances.values()) if kind else ()


def _tie_first() -> None:
    while True:
        for server in servers():
            if process := getattr(server, "server_process", None):  # or half made
                _held.append(_tie(process.pid))
                return
        time.sleep(LOOKS_EVERY_S)


def _tie(pid: int) -> subprocess.Popen[bytes]:
    """A shell reads from a pipe that nobody writes to: it ends when we do, however that is.

    In a session of its own, for a Ctrl-C is not meant for it.
    """
    command = ["/bin/sh", "-c", 'read -r _; kill "$0" 2>/dev/null', str(pid)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
