"""End a process when the one that started it ends, however that is: also after kill -9."""

from __future__ import annotations

import os
import subprocess
import threading
import time

LOOKS_EVERY_S = 0.3


def end_with(parent: int) -> None:
    """End this process, from a thread, once `parent` is its parent no more."""
    threading.Thread(target=_watch, args=(parent,), name="parent-watch", daemon=True).start()


def end_with_us(pid: int) -> subprocess.Popen[bytes]:
    """End a process of another's program once this one has ended; keep what is returned so long.

    A shell reads from a pipe that nobody writes to: it ends when we do. It is in a session of its
    own, for a Ctrl-C is not meant for it.
    """
    command = ["/bin/sh", "-c", 'read -r _; kill "$0" 2>/dev/null', str(pid)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOKS_EVERY_S)
    os._exit(1)  # nothing here is worth saving, and a graceful end could hang
