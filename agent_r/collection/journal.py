"""Keep an unfinished tree's replies on disk: after a kill only requests in flight are repeated."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import TypeAdapter, ValidationError

from agent_r.actor import Actor, ActorAround, Completion, Message, SamplingParams
from agent_r.errors import StoreError

_LINE = TypeAdapter(tuple[str, list[Completion]])


class Journal(ActorAround):
    """An actor that records its replies in a file and reads them back; use as a `with`.

    A reply is on disk before the search sees it, so an interrupted tree grows again into the tree
    that it would have been, whatever the endpoint would say today. A line is written in one piece;
    one that a kill cut short is asked for again.

    Raises:
        StoreError: the file cannot be read or written, or the disk is full.
    """

    def __init__(self, actor: Actor, path: Path) -> None:
        super().__init__(actor)
        self._path = path
        self._replies = _read(path)
        self._file: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            os.close(self._file)

    async def complete(
        self, messages: Sequence[Message], *, n: int, params: SamplingParams
    ) -> list[Completion]:
        asked = _key(messages, n, params)
        if asked not in self._replies:
            replies = await self.actor.complete(messages, n=n, params=params)
            self._write(asked, replies)
            return replies
        return self._replies[asked]

    def forget(self) -> None:
        """Delete the journal: the tree is saved, and holds its replies."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def _write(self, asked: str, replies: list[Completion]) -> None:
        line = _LINE.dump_json((asked, replies)) + b"\n"
        try:
            if self._file is None:
                self._file = _open(self._path)
            os.write(self._file, line)
        except OSError as error:
            raise StoreError(f"cannot write {self._path}: {error.strerror or error}") from error


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        os.write(file, b"\n")  # what a kill cut short stays a line of its own
    return file


def _read(path: Path) -> dict[str, list[Completion]]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    replies_of: dict[str, list[Completion]] = {}
    for line in lines:
        with contextlib.suppress(ValidationError):
            asked, replies = _LINE.validate_json(line)
            replies_of.setdefault(asked, replies)
    return replies_of


def _key(messages: Sequence[Message], n: int, params: SamplingParams) -> str:
    """Names a request; lengths part the texts, so that no two conversations read alike."""
    drawn = (n, params.temperature, params.max_tokens, params.stop, params.seed)
    key = hashlib.blake2b(repr(drawn).encode(), digest_size=16)
    for message in messages:
        content = message.content.encode("utf-8", "surrogatepass")
        key.update(f"{message.role} {len(content)} ".encode())
        key.update(content)
    return key.hexdigest()
