"""Jobs that are processes of this machine: the local trainer, and a command of the user's.

Each runs under a supervisor, which keeps what it says and how it ended, and which outlives a kill
of whoever asked for the job. The supervisor holds a lock for as long as it lives: that is how the
job is found at work, and why it is never begun twice.
"""

from __future__ import annotations

import asyncio
import fcntl
import importlib.util
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path

from pydantic import TypeAdapter

from agent_r import files
from agent_r.config import process_environment
from agent_r.errors import ExtraMissing, TrainerError
from agent_r.training.backends.job_backend import Handle, JobState, JobStatus, LogLines
from agent_r.training.backends.supervisor import ENDED, OUTPUT, Ended
from agent_r.training.backends.train_job import (
    TrainedModel,
    TrainJob,
    TrainReport,
    draw,
    job_digest,
    new_model,
    partial,
    report_in,
)

LOCK, ROWS = "lock", "dataset.jsonl"
PIECE = 2**16  # bytes of a log that are read at once; a longer line is read in pieces
CANCELLED_IN_S = 10.0
# Threads that spin while they wait would starve whatever else runs.
CHILD = {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
_ENDED = TypeAdapter(Ended)


class ProcessBackend(ABC):
    """A `JobBackend` whose handle is the folder in which a job works."""

    name = "this machine"
    poll_s = 1.0

    def __init__(self) -> None:
        self._children: dict[Handle, subprocess.Popen[bytes]] = {}

    @abstractmethod
    def command(self, job: TrainJob) -> list[str]:
        """The words of the job's command; what it needs is laid ready in `partial(job)`."""

    def environment(self, job: TrainJob) -> dict[str, str]:
        """Of the job's process."""
        return process_environment({})

    @abstractmethod
    def report(self, job: TrainJob, seconds: float) -> TrainReport:
        """Of a job that took so long and ended well, for the model that it has left."""

    async def submit(self, job: TrainJob) -> Handle:
        folder = partial(job)
        if not (is_locked(folder) or _has_succeeded(folder)):
            await asyncio.to_thread(self._begin, job)
        return str(folder.absolute())

    def _begin(self, job: TrainJob) -> None:
        folder = partial(job)
        (folder / ENDED).unlink(missing_ok=True)
        supervise = [sys.executable, "-m", "agent_r.training.backends.supervisor", str(folder)]
        words, environment = [*supervise, *self.command(job)], self.environment(job)
        with (folder / LOCK).open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # another run has just begun it
            process = subprocess.Popen(
                words,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=[lock.fileno()],  # the lock is the supervisor's, from its first moment
            )
            lock.truncate(0)
            lock.write(str(process.pid))
        self._children[str(folder.absolute())] = process

    async def poll(self, handle: Handle) -> JobStatus:
        folder, locked = Path(handle), is_locked(Path(handle))
        ended = files.load(folder / ENDED, _ENDED)
        if locked and ended is None:
            return JobStatus(state=JobState.RUNNING)
        self._reap(handle)
        if ended is None:
            return JobStatus(state=JobState.FAILED, message="its process was killed")
        return JobStatus(state=ended.state, message=ended.error)

    async def logs(self, handle: Handle, after: int) -> LogLines:
        ended = (Path(handle) / ENDED).exists()
        return await asyncio.to_thread(new_lines, Path(handle) / OUTPUT, after, whole=ended)

    async def cancel(self, handle: Handle) -> None:
        folder, until = Path(handle), time.monotonic() + CANCELLED_IN_S
        pid = (folder / LOCK).read_text(encoding="utf-8") if (folder / LOCK).exists() else ""
        if pid and is_locked(folder):
            os.kill(int(pid), signal.SIGTERM)
        while is_locked(folder) and time.monotonic() < until:
            await asyncio.sleep(0.05)
        self._reap(handle)

    async def result(self, job: TrainJob, handle: Handle) -> TrainReport:
        ended = files.load(Path(handle) / ENDED, _ENDED)
        try:
            return await asyncio.to_thread(self.report, job, ended.seconds if ended else 0.0)
        except TrainerError:
            (Path(handle) / ENDED).unlink(missing_ok=True)  # it is to be begun again
            raise

    def _reap(self, handle: Handle) -> None:
        """Our child has ended, or is about to; one of another run's is not ours."""
        if (child := self._children.pop(handle, None)) is not None:
            child.wait()


class LocalBackend(ProcessBackend):
    """The embedded model's own trainer, which goes on from a checkpoint where it was killed."""

    async def submit(self, job: TrainJob) -> Handle:
        if not all(importlib.util.find_spec(name) for name in ("torch", "transformers")):
            raise ExtraMissing("fine-tuning on this machine", "local")
        return await super().submit(job)

    def command(self, job: TrainJob) -> list[str]:
        return [sys.executable, "-m", "agent_r.training.job", str(partial(job) / "job.json")]

    def environment(self, job: TrainJob) -> dict[str, str]:
        return process_environment(
            CHILD | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(job.config.threads)}
        )

    def report(self, job: TrainJob, seconds: float) -> TrainReport:
        if (report := report_in(new_model(job))) is None:
            raise TrainerError(f"the training job ended without a model in {new_model(job)}")
        return report


class CommandBackend(ProcessBackend):
    """Runs a command of the user's: {dataset}, {model} and {out} are filled in, no shell reads it.

    The command is to leave a model folder at {out}, or a LoRA adapter's; {dataset} is one
    JSON-lines file of rows.
    """

    def command(self, job: TrainJob) -> list[str]:
        rows = partial(job) / ROWS
        rows.write_text("".join(draw(job)), encoding="utf-8")
        return fill_in(job.config.command, dataset=rows, model=job.model, out=new_model(job))

    def report(self, job: TrainJob, seconds: float) -> TrainReport:
        model = new_model(job)
        adapts = (model / "adapter_config.json").is_file()
        if not (adapts or (model / "config.json").is_file()):
            raise TrainerError(f"the training command left no model (config.json) in {model}")
        return TrainReport(
            digest=job_digest(job),
            rows=len(draw(job)),
            seconds=seconds,
            model=TrainedModel(served="adapter", base=str(job.model)) if adapts else TrainedModel(),
        )


def fill_in(template: str, *, dataset: Path, model: Path, out: Path) -> list[str]:
    """The words of a command; a value is one word, whatever it contains.

    >>> fill_in("train -d={dataset} {out}", dataset=Path("a b"), model=Path("m"), out=Path("o"))
    ['train', '-d=a b', 'o']
    """
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise TrainerError(f"cannot read the training command {template!r}: {error}") from error
    for name, value in (("{dataset}", dataset), ("{model}", model), ("{out}", out)):
        words = [word.replace(name, str(value)) for word in words]
    return words


def is_locked(folder: Path) -> bool:
    """Whether a job is at work in a folder."""
    try:
        with (folder / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _has_succeeded(folder: Path) -> bool:
    ended = files.load(folder / ENDED, _ENDED)
    return ended is not None and ended.state is JobState.SUCCEEDED


def new_lines(output: Path, after: int, *, whole: bool) -> LogLines:
    """Whole lines from there on; the last may lack its end once nothing more is to come."""
    try:
        with output.open("rb") as file:
            file.seek(after)
            piece = file.read(PIECE)
    except FileNotFoundError:
        return LogLines(lines=[], cursor=after)
    size = max(piece.rfind(b"\n"), piece.rfind(b"\r")) + 1
    if whole or (not size and len(piece) == PIECE):
        size = len(piece)
    lines = re.split(r"[\r\n]+", piece[:size].decode("utf-8", "replace"))
    return LogLines(lines=[line for line in lines if line], cursor=after + size)
