"""Folders for a moment's files, removed also after a kill: by the next one who makes one."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "agent-r-hub-"
_LOCK = ".lock"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder among the system's temporary ones, gone at the end.

    A lock on a file in it says that it is in use: the kernel lets go of it with its process, and
    what nobody holds is what a `kill -9` left.
    """
    _sweep(Path(tempfile.gettempdir()))
    new = Path(tempfile.mkdtemp(prefix=f".{PREFIX}"))
    with (new / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = new.rename(new.with_name(new.name[1:]))  # from here on it can be swept
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep(place: Path) -> None:
    for left in place.glob(f"{PREFIX}*"):
        with suppress(OSError), (left / _LOCK).open() as lock:  # another user's, or being removed
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
