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

from agent_r.local_model.parent_watch import end_with_us

LOOKS_EVERY_S = 0.2

_held: list[subprocess.Popen[bytes]] = []  # the shells; their pipes close when this process ends


@cache
def hold() -> None:
    """Wait, in a thread, until a server was started; then have it end with this process; once."""
    if os.name == "posix":
        threading.Thread(target=_guard_first, name="server-guard", daemon=True).start()


def servers() -> Iterator[Any]:
    """The temporary servers that Prefect has started in this process."""
    module = sys.modules.get("prefect.server.api.server")
    kind = getattr(module, "SubprocessASGIServer", None)  # it may be half imported yet
    yield from list(kind._instances.values()) if kind else ()


def _guard_first() -> None:
    while True:
        for server in servers():
            if process := getattr(server, "server_process", None):  # or half made
                _held.append(end_with_us(process.pid))
                return
        time.sleep(LOOKS_EVERY_S)
