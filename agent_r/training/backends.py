"""Fine-tuning back ends behind one small protocol: a job goes in, a model folder comes out.

A job is named by the digest of what it depends on. It works in `<out>.partial`, where a killed job
leaves a checkpoint to go on from, and its model appears at `out` in one rename. A job whose model
is there is not run again; another job in the same place is refused.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import random
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import Field, ValidationError

from agent_r.config import digest, process_environment
from agent_r.digests import sha256_of
from agent_r.errors import ExtraMissing, TrainerError
from agent_r.settings import Positive, Settings, TrainConfig
from agent_r.training.process import run

# Threads that spin while they wait would starve whatever else runs.
_CHILD = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}
_HASHED_WHOLE = 64 * 2**20  # bytes; a larger file of a model folder is known by name and size


class Source(Settings):
    """A file of training rows (JSON lines), and how many of them a job takes."""

    path: Path
    rows: Positive | None = Field(
        None, description="drawn at random, repeating where the file has fewer; empty: every row"
    )


class TrainJob(Settings):
    """One fine-tuning run, and all that its result depends on."""

    model: Path = Field(description="folder of the model to start from")
    sources: tuple[Source, ...] = Field(min_length=1)
    out: Path = Field(description="folder of the fine-tuned model")
    config: TrainConfig
    seed: int
    masked_weight: Annotated[float, Field(ge=0, le=0.2)] = Field(
        0.0, description="weight of the loss on context; the warm start learns faster with a little"
    )
    checkpoint_s: float = Field(15.0, ge=0, description="seconds between checkpoints, at least")


class TrainingProgress(Settings):
    """One line of a running job."""

    step: int
    of: int
    loss: float
    tokens: int
    tokens_per_s: float


class TrainReport(Settings):
    """What a finished job did; kept as `done.json` in the model's folder."""

    digest: str
    rows: int = Field(description="rows drawn, those dropped included")
    seconds: float
    too_long: int = Field(0, description="rows dropped: longer than max_length")
    untrained: int = Field(0, description="rows dropped: no token of them is trained on")
    steps: int = 0
    tokens: int = Field(0, description="tokens processed, over all epochs")
    trained_tokens: int = Field(0, description="of these, tokens that carry the loss")
    longest_reply: int = Field(0, description="tokens of the longest trained reply")
    cpu_seconds: float = 0.0
    first_loss: float | None = Field(None, description="mean of the first tenth of the steps")
    last_loss: float | None = Field(None, description="mean of the last tenth of the steps")
    resumed_at: int = Field(0, description="the step a killed job went on from")


class Trainer(Protocol):
    """The trainer interface: turns rows and a model into a new model."""

    async def fine_tune(self, job: TrainJob) -> TrainReport:
        """Run a job to its end, or return the report of the same job run before.

        Raises:
            TrainerError: the job failed, or `out` holds something else.
            ExtraMissing: the back end is not installed.
        """
        ...


def make_trainer(
    config: TrainConfig,
    on_progress: Callable[[TrainingProgress], None] | None = None,
    on_line: Callable[[str], None] = lambda line: None,
) -> Trainer:
    """The back end a config asks for; a job of the user's own says its progress in lines."""
    return CommandTrainer(on_line) if config.backend == "command" else LocalTrainer(on_progress)


class LocalTrainer:
    """Trains on this machine, in a process of its own that does not outlive this one."""

    def __init__(self, on_progress: Callable[[TrainingProgress], None] | None = None) -> None:
        self.on_progress = on_progress

    async def fine_tune(self, job: TrainJob) -> TrainReport:
        if not all(importlib.util.find_spec(name) for name in ("torch", "transformers")):
            raise ExtraMissing("fine-tuning on this machine", "local")
        done = await asyncio.to_thread(prepare, job)
        if done is not None:
            return done
        command = [sys.executable, "-m", "agent_r.training.job"]
        command += [str(partial(job) / "job.json"), str(os.getpid())]
        env = process_environment(_CHILD | {"OMP_NUM_THREADS": str(job.config.threads)})
        await run(command, log=partial(job) / "output.txt", on_line=self._read, env=env)
        report = finished(job)
        if report is None:
            raise TrainerError(f"the training job ended without a model in {job.out}")
        return report

    def _read(self, line: str) -> None:
        if self.on_progress and line.startswith("{"):  # and no library's own words
            self.on_progress(TrainingProgress.model_validate_json(line))


class CommandTrainer:
    """Runs a command of the user's: {dataset}, {model} and {out} are filled in, no shell reads it.

    The command is to leave a model folder at {out}; {dataset} is one JSON-lines file of rows. What
    it says is kept beside the model, in `<out>.log`, and `on_line` hears each line of it.
    """

    def __init__(self, on_line: Callable[[str], None] = lambda line: None) -> None:
        self.on_line = on_line

    async def fine_tune(self, job: TrainJob) -> TrainReport:
        done = await asyncio.to_thread(prepare, job)
        if done is not None:
            return done
        rows, model = await asyncio.to_thread(draw, job), new_model(job)
        dataset = partial(job) / "dataset.jsonl"
        dataset.write_text("".join(rows), encoding="utf-8")
        command = fill_in(job.config.command, dataset=dataset, model=job.model, out=model)
        started = time.monotonic()
        log = job.out.with_name(job.out.name + ".log")
        await run(command, log=log, on_line=self.on_line, on_error=self.on_line)
        if not (model / "config.json").is_file():
            raise TrainerError(
                f"the training command left no model (config.json) in {model} (what it said: {log})"
            )
        seconds = time.monotonic() - started
        return finish(job, TrainReport(digest=job_digest(job), rows=len(rows), seconds=seconds))


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


def prepare(job: TrainJob) -> TrainReport | None:
    """The report of the same job where it is finished, else its folder made ready.

    Raises:
        TrainerError: an input is missing, or there is another job's work in the way.
    """
    name = job_digest(job)
    if (report := finished(job)) is not None:
        if report.digest != name:
            raise TrainerError(f"{job.out} holds the model of another job: delete it, or move it")
        shutil.rmtree(partial(job), ignore_errors=True)
        return report
    if job.out.exists():
        raise TrainerError(f"{job.out} is in the way: it is no finished training job's")
    try:
        partial(job).mkdir(parents=True, exist_ok=True)
        marker = partial(job) / "digest"
        if marker.exists() and marker.read_text(encoding="utf-8") != name:
            raise TrainerError(f"{partial(job)} holds another job's work: delete it to start anew")
        (partial(job) / "job.json").write_text(job.model_dump_json(indent=1), encoding="utf-8")
        marker.write_text(name, encoding="utf-8")
    except OSError as error:
        raise TrainerError(f"cannot write the training job to {partial(job)}: {error}") from error
    return None


def partial(job: TrainJob) -> Path:
    """Where a job works until it is finished."""
    return job.out.with_name(job.out.name + ".partial")


def new_model(job: TrainJob) -> Path:
    """Where a job puts its model, before the rename to `out`."""
    return partial(job) / "model"


def finished(job: TrainJob) -> TrainReport | None:
    """The report in `out`, or None where there is none."""
    try:
        return TrainReport.model_validate_json((job.out / "done.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError) as error:
        raise TrainerError(f"cannot read {job.out / 'done.json'}: {error!r}") from error


def finish(job: TrainJob, report: TrainReport) -> TrainReport:
    """Finish a job: save the report with the new model, and rename its folder to `out`."""
    model = new_model(job)
    try:
        (model / "done.json").write_text(report.model_dump_json(indent=1), encoding="utf-8")
        model.rename(job.out)
    except OSError as error:
        raise TrainerError(f"cannot finish the model at {job.out}: {error}") from error
    shutil.rmtree(partial(job), ignore_errors=True)
    return report


def draw(job: TrainJob) -> list[str]:
    """The rows of a job as JSON lines: whole files, or seeded draws without favour."""
    rows: list[str] = []
    for number, source in enumerate(job.sources):
        try:
            text = source.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise TrainerError(f"cannot read training rows: {error}") from error
        lines = [line + "\n" for line in text.split("\n") if line.strip()]
        if not lines:
            raise TrainerError(f"{source.path} has no training rows")
        whole, rest = divmod(source.rows or len(lines), len(lines))
        rows += lines * whole + random.Random(f"{job.seed}:{number}").sample(lines, rest)
    return rows


def job_digest(job: TrainJob) -> str:
    """Names a job by content: equal inputs and settings, equal name, wherever they lie."""
    files = [f"{_content(source.path)}:{source.rows}" for source in job.sources]
    if (job.model / "config.json").is_file():
        parts = sorted(path for path in job.model.iterdir() if path.is_file())
        model = [f"{path.name}:{_content(path)}" for path in parts]
    elif job.config.backend == "command":
        model = [str(job.model)]  # a name that means something to the user's command
    else:
        raise TrainerError(f"{job.model} is not a model folder: it has no config.json")
    settings = job.config.model_copy(update={"threads": 1})  # they change the time, not the result
    return digest(settings, job.seed, json.dumps(job.masked_weight), *files, *model)


def _content(path: Path) -> str:
    try:
        if (size := path.stat().st_size) > _HASHED_WHOLE:
            return str(size)
        return sha256_of(path.read_bytes())
    except OSError as error:
        raise TrainerError(f"cannot read {path}: {error}") from error
