"""A process that must not outlive the one that started it, however that one ends."""

from __future__ import annotations

import os
import threading
import time

LOOKS_EVERY_S = 0.3


def end_with(parent: int) -> None:
    """End this process, from a thread, once `parent` is its parent no more."""
    threading.Thread(target=_watch, args=(parent,), name="parent-watch", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOKS_EVERY_S)
    os._exit(1)  # nothing here is worth saving, and a graceful end could hang
