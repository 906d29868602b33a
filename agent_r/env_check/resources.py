"""Count what this process holds: tasks, threads, child processes, sockets.

Children and sockets are read from /proc; where there is none, they are not counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_LOOPS_OWN = "asyncio_"  # threads of the loop's executor: they end with the loop, not with a world


@dataclass(frozen=True, slots=True)
class Resources:
    """All that is held at one moment."""

    tasks: frozenset[asyncio.Task[object]]
    threads: frozenset[threading.Thread]
    children: frozenset[tuple[int, str]]
    sockets: frozenset[str]

    @classmethod
    def now(cls) -> Resources:
        threads = [t for t in threading.enumerate() if not t.name.startswith(_LOOPS_OWN)]
        return cls(frozenset(asyncio.all_tasks()), frozenset(threads), _children(), _sockets())

    def more_than(self, before: Resources) -> str:
        """What has been added, in words; "" for nothing."""
        added = {
            "task": [task.get_name() for task in self.tasks - before.tasks],
            "thread": [thread.name for thread in self.threads - before.threads],
            "process": [f"{name} {pid}" for pid, name in self.children - before.children],
            "socket": list(self.sockets - before.sockets),
        }
        return "; ".join(
            f"{kind} {', '.join(sorted(names))[:120]}" for kind, names in added.items() if names
        )


def countable() -> str:
    """What can be counted on this machine."""
    return "task, thread, process or socket" if _PROC.is_dir() else "task or thread (no /proc here)"


def _children() -> frozenset[tuple[int, str]]:
    """Processes that this one has started and that still run.

    The fields after the name, which may hold blanks and brackets, are its state and its parent.
    """
    found, own = set(), str(os.getpid())
    for stat in _PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            head, _, tail = stat.read_text(errors="replace").rpartition(")")
            state, parent, *_ = tail.split()
            if parent == own and state != "Z":
                pid, _, name = head.partition(" (")
                found.add((int(pid), name))
    return frozenset(found)


def _sockets() -> frozenset[str]:
    found = set()
    for entry in _PROC.glob("self/fd/*"):
        with contextlib.suppress(OSError):
            found.add(str(entry.readlink()))
    return frozenset(target for target in found if target.startswith("socket:"))
