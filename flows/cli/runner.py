"""Run a flow from a terminal, and end it: Ctrl-C and SIGTERM stop cleanly, and at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn

from agent_r.errors import PrefectFault
from flows.cli import server_guard
from flows.cli.prefect_faults import prefect_fault

MISTAKE, INTERRUPTED = 2, 130
GRACE_S = 5.0  # for Prefect to note that a run was cancelled


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end; SIGTERM ends it like Ctrl-C, so that a stopped container stops cleanly."""

    async def watched() -> Any:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is not None:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, stop, loop, task)
        try:
            return await work
        except Exception as error:
            if (fault := prefect_fault(error)) is not None:
                give_up(fault)  # at once: to end its loop, Prefect would wait for that server
            raise

    server_guard.hold()
    try:
        return asyncio.run(watched())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def stop(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    """Cancel what runs, and wait for it only so long."""
    task.cancel()
    loop.call_later(GRACE_S, leave)


def leave() -> NoReturn:
    """End at once, with one line: Prefect would spend minutes telling a stopped server of it.

    A Ctrl-C reaches the embedded server too. The model's server and the trainer end with us.
    """
    _end("stopped. What is finished is kept: the same command goes on from here.", INTERRUPTED)


def give_up(fault: PrefectFault) -> NoReturn:
    """End at once, with its line, for the same reason."""
    _end(str(fault), MISTAKE)


def _end(line: str, code: int) -> NoReturn:
    for server in server_guard.servers():
        with contextlib.suppress(Exception):  # it may be what is broken
            server.stop()
    print(f"agent-r: {line}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(code)


def say(notes: list[str]) -> None:
    """What a person should know beside the result."""
    for note in notes:
        print(f"agent-r: {note}", file=sys.stderr)


def show_progress() -> None:
    """Progress on standard error: one line that is rewritten on a terminal, else line by line."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("agent_r")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
