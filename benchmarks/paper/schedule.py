"""Run jobs in processes of their own, some at a time, each once what it needs is there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_r.config import process_environment

_LAST_CHARS = 400  # of a failed job's last words


@dataclass(frozen=True, slots=True)
class Job:
    """A module of Python with its arguments, and the jobs that come before it."""

    name: str
    module: str
    arguments: tuple[str, ...]
    log: Path
    needs: tuple[str, ...] = ()


async def run_all(
    jobs: Sequence[Job], *, at_once: int, on_line: Callable[[str], None]
) -> dict[str, str]:
    """Begin jobs in their order as soon as they can; returns the last words of those that failed.

    A job whose need has failed is not begun, and counts as failed as well.
    """
    waiting, ended = list(jobs), dict[str, str]()
    running: dict[asyncio.Task[str], str] = {}
    planned = {job.name for job in jobs}
    try:
        while waiting or running:
            for job in list(waiting):
                needs = [need for need in job.needs if need in planned]
                if lost := [need for need in needs if ended.get(need)]:
                    waiting.remove(job)
                    ended[job.name] = f"{lost[0]} failed"
                elif len(running) < at_once and all(need in ended for need in needs):
                    waiting.remove(job)
                    running[asyncio.create_task(_run(job, on_line))] = job.name
            if running:
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    ended[running.pop(task)] = task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return {name: words for name, words in ended.items() if words}


async def _run(job: Job, on_line: Callable[[str], None]) -> str:
    """One process to its end; what it said last, where it failed."""
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with job.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", job.module, *job.arguments),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=log,
            env=process_environment({"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"}),
            start_new_session=True,  # it ends with us, its children with it
        )
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                on_line(line.decode("utf-8", "replace").rstrip())
            code = await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if not code:
        return ""
    said = job.log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["nothing"]
    return f"{said[-1][-_LAST_CHARS:]} (exit status {code}; all of it: {job.log})"
