"""Run a training job's process, and keep its output in a file."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from agent_r.config import secrets
from agent_r.errors import TrainerError
from agent_r.printable import printable_line

PIECE = 2**16  # bytes; a longer line is read in pieces
SAID_CHARS = 400  # of its last words, in an error
_SHORTEST_SECRET = 8  # characters; a shorter value is a word, or a number, of any text


async def run(
    command: list[str],
    *,
    log: Path,
    on_line: Callable[[str], None] = lambda line: None,
    on_error: Callable[[str], None] = lambda line: None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a process to its end; it is killed, with its children, when this is cancelled.

    All that it writes is added to `log`, less the values of our own secrets; `on_line` hears each
    line of its standard output, `on_error` of the other one.

    Raises:
        TrainerError: it cannot be started, or fails: with its last words.
    """
    hidden = [secret.encode() for secret in secrets() if len(secret) >= _SHORTEST_SECRET]
    try:
        with log.open("ab") as output:
            out = _Heard(output, hidden, on_line)
            errors = _Heard(output, hidden, on_error)
            code = await _run(command, out, errors, env)
    except OSError as error:
        raise TrainerError(f"cannot write {log}: {error.strerror or error}") from error
    if code:
        last = _last_words(errors.last or out.last, code)
        raise TrainerError(f"the training job failed: {last} (all that it said: {log})")


async def _run(
    command: list[str], out: _Heard, errors: _Heard, env: Mapping[str, str] | None
) -> int:
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=env, start_new_session=True
        )
    except OSError as error:
        raise TrainerError(f"cannot start the training command: {error}") from error
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        await asyncio.gather(out.hear(process.stdout), errors.hear(process.stderr))
        return await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


class _Heard:
    """One stream of a process; what ends a line is also what a progress bar begins it anew with."""

    def __init__(self, log: BinaryIO, hidden: list[bytes], on_line: Callable[[str], None]) -> None:
        self.last = ""  # line that is not blank
        self._log, self._hidden, self._on_line = log, hidden, on_line

    async def hear(self, stream: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await stream.read(PIECE):
            *lines, rest = re.split(rb"(?<=[\r\n])", rest + chunk)
            if len(rest) >= PIECE:
                lines, rest = [*lines, rest], b""
            self._take(lines)
        self._take([rest])

    def _take(self, lines: list[bytes]) -> None:
        for line in lines:
            for secret in self._hidden:
                line = line.replace(secret, b"***")
            self._log.write(line)
            text = _printable(line.decode("utf-8", "replace"))
            if text:
                self.last = text
                self._on_line(text)
        self._log.flush()


def _printable(text: str) -> str:
    """One line without control codes.

    >>> _printable("\\x1b[32m 10%|█  |\\r")
    '10%|█ |'
    """
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return printable_line(plain)


def _last_words(last: str, code: int) -> str:
    if code < 0:
        return f"killed by signal {signal.Signals(-code).name}"
    return last[-SAID_CHARS:] or f"exit status {code}"
