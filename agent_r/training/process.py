"""Run a training job's process, and keep its output in a file."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from typing import IO, BinaryIO, cast

from agent_r.config import without_secrets
from agent_r.errors import TrainerError
from agent_r.local_model.parent_watch import end_with_us
from agent_r.printable import printable_line

PIECE = 2**16  # bytes; a longer line is read in pieces
SAID_CHARS = 400  # of its last words, in an error


async def run(command: list[str], *, log: Path) -> None:
    """Run a process to its end; it is killed, with its children, when this is cancelled.

    All that it writes is added to `log`, less the values of our own secrets. It ends when we do,
    however that is.

    Raises:
        TrainerError: it cannot be started, or fails: with its last words.
    """
    try:
        with log.open("ab") as output:
            out, errors = _Heard(output), _Heard(output)
            code = await _run(command, out, errors)
    except OSError as error:
        raise TrainerError(f"cannot write {log}: {error.strerror or error}") from error
    if code:
        raise TrainerError(_last_words(errors.last or out.last, code))


async def _run(command: list[str], out: _Heard, errors: _Heard) -> int:
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, start_new_session=True
        )
    except OSError as error:
        raise TrainerError(f"cannot start the training command: {error}") from error
    assert process.stdout is not None
    assert process.stderr is not None
    guard = end_with_us(process.pid)
    try:
        await asyncio.gather(out.hear(process.stdout), errors.hear(process.stderr))
        return await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        guard.kill()
        guard.wait()
        cast(IO[bytes], guard.stdin).close()


class _Heard:
    """One stream of a process; what ends a line is also what a progress bar begins it anew with."""

    def __init__(self, log: BinaryIO) -> None:
        self.last = ""  # line that is not blank
        self._log = log

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
            text = without_secrets(line.decode("utf-8", "replace"))
            self._log.write(text.encode("utf-8", "replace"))
            self.last = plain_line(text) or self.last
        self._log.flush()


def plain_line(text: str) -> str:
    """One line of what was meant for a terminal, without its control codes.

    >>> plain_line("\\x1b[32m 10%|█  |\\r")
    '10%|█ |'
    """
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return printable_line(plain)


def _last_words(last: str, code: int) -> str:
    if code < 0:
        return f"killed by signal {signal.Signals(-code).name}"
    return last[-SAID_CHARS:] or f"exit status {code}"
