"""A fine-tuning job: what goes in, the folders that it works in, and the report that comes out.

A job is named by the digest of what it depends on. It works in `<out>.partial`, where a killed job
leaves a checkpoint to go on from, and its model appears at `out` in one rename. A job whose model
is there is not run again; another job in the same place is refused. A model that lies elsewhere
has a folder as well, with its report alone.
"""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from agent_r.config import digest
from agent_r.digests import sha256_of
from agent_r.errors import StoreError, TrainerError
from agent_r.files import write_bytes
from agent_r.settings import Positive, Settings, TrainConfig

REPORT = "done.json"  # in a model's folder: the report of the job that made it
LOSSES = "loss.jsonl"  # beside it: {"step", "loss"} lines
_HASHED_WHOLE = 64 * 2**20  # bytes; a larger file of a model folder is known by name and size


class Source(Settings):
    """A file of training rows (JSON lines), and how many of them a job takes."""

    path: Path
    rows: Positive | None = Field(
        None, description="drawn at random, repeating where the file has fewer; empty: every row"
    )


class TrainJob(Settings):
    """One fine-tuning run, and all that its result depends on."""

    model: Path = Field(
        description="folder of the model to start from, or a name that means something to the job"
    )
    sources: tuple[Source, ...] = Field(min_length=1)
    out: Path = Field(description="folder of the fine-tuned model")
    config: TrainConfig
    seed: int
    masked_weight: Annotated[float, Field(ge=0, le=0.2)] = Field(
        0.0, description="weight of the loss on context; the warm start learns faster with a little"
    )
    checkpoint_s: float = Field(15.0, ge=0, description="seconds between checkpoints, at least")


class TrainingProgress(Settings):
    """How far a running job is: a line of its log that is such a JSON object."""

    step: int
    of: int
    loss: float
    tokens: int = 0
    tokens_per_s: float = 0.0


class TrainedModel(Settings):
    """Which model a job made, and how it is served."""

    served: Literal["folder", "adapter", "name"] = Field(
        "folder",
        description="`folder`: its weights are in its folder, or in `repo`; `adapter`: a LoRA "
        "adapter is, to be laid on `base`; `name`: a server elsewhere has it",
    )
    name: str = Field("", description="what a server calls it; empty: as the settings say")
    repo: str = Field("", description="where it lies on the Hub, `owner/name@commit`")
    base: str = Field("", description="folder or name of the model that an adapter is laid on")


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
    job: str = Field("", description="what its back end calls the job")
    money: float | None = Field(None, description="dollars, where the back end says it")
    model: TrainedModel = TrainedModel()


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
    return report_in(job.out)


def report_in(folder: Path) -> TrainReport | None:
    """The report of the job that made a model, or None where its folder has none."""
    try:
        return TrainReport.model_validate_json((folder / REPORT).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError) as error:
        raise TrainerError(f"cannot read {folder / REPORT}: {error!r}") from error


def trained_model(folder: Path) -> TrainedModel:
    """How the model of a folder is served; one without a report of ours is in its folder."""
    report = report_in(folder)
    return report.model if report is not None else TrainedModel()


def leave(job: TrainJob, report: TrainReport) -> TrainReport:
    """Put the report beside the new model: from now on the job is done, and can be finished."""
    try:
        write_bytes(new_model(job) / REPORT, report.model_dump_json(indent=1).encode())
    except StoreError as error:
        raise TrainerError(str(error)) from error
    return report


def finish(job: TrainJob, report: TrainReport) -> TrainReport:
    """Save the report with the new model, and rename its folder to `out`."""
    leave(job, report)
    try:
        new_model(job).rename(job.out)
    except OSError as error:
        raise TrainerError(f"cannot finish the model at {job.out}: {error}") from error
    shutil.rmtree(partial(job), ignore_errors=True)
    return report


def ends_of(losses: Sequence[float]) -> tuple[float, float]:
    """Mean of the first tenth of the losses, and of the last.

    >>> ends_of([3.0, 2.0, 1.0])
    (3.0, 1.0)
    """
    tenth = math.ceil(len(losses) / 10)
    return sum(losses[:tenth]) / tenth, sum(losses[-tenth:]) / tenth


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
    settings = job.config.anywhere().model_copy(update={"threads": 1})  # they change the time only
    return digest(settings, job.seed, json.dumps(job.masked_weight), *files, *_identity(job))


def _identity(job: TrainJob) -> list[str]:
    """What the model is that a job starts from."""
    if (job.model / "config.json").is_file():
        # But for its report, which says how long its training took.
        parts = sorted(p for p in job.model.iterdir() if p.is_file() and p.name != REPORT)
        return [f"{path.name}:{_content(path)}" for path in parts]
    if (before := report_in(job.model)) is not None:  # its weights lie elsewhere
        return [before.digest, before.model.model_dump_json()]
    if job.config.backend == "local":
        raise TrainerError(f"{job.model} is not a model folder: it has no config.json")
    return [str(job.model)]  # a name that means something to the job


def _content(path: Path) -> str:
    try:
        if (size := path.stat().st_size) > _HASHED_WHOLE:
            return str(size)
        return sha256_of(path.read_bytes())
    except OSError as error:
        raise TrainerError(f"cannot read {path}: {error}") from error
