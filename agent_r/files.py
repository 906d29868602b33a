"""Read and write files; each is written beside and renamed, so it is complete or absent."""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from agent_r.digests import sha256_of
from agent_r.errors import StoreError

STALE_S = 48 * 3600.0
SCRATCH = "agent-r-scratch-"  # how the names of folders for a moment's files begin
_LOCK = ".lock"

T = TypeVar("T")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all.

    Raises:
        StoreError: the folder cannot be written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}-{uuid.uuid4().hex}")  # the user's own file mode
        try:
            scratch.write_bytes(content)
            scratch.replace(path)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


def write_json(path: Path, value: Any) -> None:
    """Plain values as JSON for people: indented, keys in the order given."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Plain values of a JSON file.

    Raises:
        StoreError: there is no such file, or it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read {path}: {error}") from error


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    """One JSON object a line."""
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    write_bytes(path, "".join(f"{line}\n" for line in lines).encode())


def save(path: Path, kind: TypeAdapter[T], value: T) -> None:
    """A typed value, compact."""
    write_bytes(path, kind.dump_json(value))


def load(path: Path, kind: TypeAdapter[T]) -> T | None:
    """A typed value; None where the file is missing, or holds something else and must be redone."""
    try:
        return kind.validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


def sha256(path: Path) -> str:
    """Digest of a file's bytes.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


def slug(task: str) -> str:
    """A file name for a task: readable, and distinct even where the readable part is not.

    >>> slug("ash boards")
    'ash-boards-4091966e2684'
    """
    readable = re.sub(r"[^a-z0-9]+", "-", task.lower()).strip("-")[:60]
    return f"{readable}-{sha256_of(task, 12)}"


def link(path: Path, to: Path) -> None:
    """The same file at a second place; a copy where the disk has no links."""
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        to.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, to)


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A folder to fill, next to where it will be; gone at the end unless it was kept.

    Raises:
        StoreError: nothing can be written there, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        staged = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    try:
        yield staged
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _sweep(path: Path) -> None:
    """Remove what a kill -9 left beside long ago; what is younger may be somebody's work."""
    for left in path.parent.glob(f".{path.name}-*"):
        if left.is_dir() and time.time() - left.stat().st_mtime > STALE_S:
            shutil.rmtree(left, ignore_errors=True)


def keep(staged: Path, path: Path) -> None:
    """Give a filled folder its final name: what has one is complete.

    Raises:
        StoreError: there is such a folder already, or it cannot be named so.
    """
    if path.exists():
        raise StoreError(f"{path} exists already and is never overwritten")
    try:
        staged.chmod(0o755)
        staged.rename(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


def require_writable(folder: Path) -> None:
    """Find out before hours of work, not after.

    Raises:
        StoreError: nothing can be written there.
    """
    there = folder.absolute()
    while not there.exists():  # tried where it would be made: a run that is refused leaves nothing
        there = there.parent
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise StoreError(f"cannot write to {folder}: {error.strerror or error}") from error


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder among the system's temporary ones, gone at the end.

    A lock on a file in it says that it is in use: the kernel lets go of it with its process, and
    what nobody holds is what a `kill -9` left. Who makes the next one removes it.
    """
    _sweep_scratch(Path(tempfile.gettempdir()))
    new = Path(tempfile.mkdtemp(prefix=f".{SCRATCH}"))
    with (new / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = new.rename(new.with_name(new.name[1:]))  # from here on it can be swept
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _sweep_scratch(place: Path) -> None:
    for left in place.glob(f"{SCRATCH}*"):
        with suppress(OSError), (left / _LOCK).open() as lock:  # another user's, or being removed
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
