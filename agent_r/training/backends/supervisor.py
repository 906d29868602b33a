"""Run a training job's command, and keep what it said and how it ended; `supervisor FOLDER WORD…`.

It outlives a kill of the run that began it. The command ends with it, whatever ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from pathlib import Path

from agent_r.errors import TrainerError
from agent_r.files import write_bytes
from agent_r.settings import Settings
from agent_r.training.backends.job_backend import JobState
from agent_r.training.process import run

OUTPUT, ENDED = "output.txt", "ended.json"  # in the folder in which a job works


class Ended(Settings):
    """How a command ended."""

    state: JobState
    error: str = ""
    seconds: float


async def supervise(folder: Path, command: list[str]) -> None:
    """Run the command to its end; SIGTERM cancels it."""
    began = time.monotonic()
    running = asyncio.ensure_future(run(command, log=folder / OUTPUT))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    state, error = JobState.SUCCEEDED, ""
    try:
        await running
    except asyncio.CancelledError:
        state = JobState.CANCELLED
    except TrainerError as failure:
        state, error = JobState.FAILED, str(failure)
    ended = Ended(state=state, error=error, seconds=round(time.monotonic() - began, 1))
    write_bytes(folder / ENDED, ended.model_dump_json().encode())


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(supervise(Path(sys.argv[1]), sys.argv[2:]))
