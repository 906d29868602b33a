"""Files: written beside and renamed, so that what has a name is complete."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from agent_r.errors import StoreError

T = TypeVar("T")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all.

    Raises:
        StoreError: the folder cannot be written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink()
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


def slug(task: str) -> str:
    """A file name for a task: readable, and distinct even where the readable part is not.

    >>> slug("ash boards")
    'ash-boards-4091966e2684'
    """
    readable = re.sub(r"[^a-z0-9]+", "-", task.lower()).strip("-")[:60]
    return f"{readable}-{hashlib.sha256(task.encode()).hexdigest()[:12]}"


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a folder beside, then rename: a folder with its final name is complete.

    Raises:
        StoreError: it exists already, or cannot be written.
    """
    if path.exists():
        raise StoreError(f"{path} exists already and is never overwritten")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    try:
        yield beside
        beside.chmod(0o755)
        beside.rename(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


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
