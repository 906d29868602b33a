"""Train an arm's actor: the first one anew, on a mixture, and then on pairs where the arm does."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from agent_r import files
from agent_r.algorithm.rows import Row
from agent_r.config import digest
from agent_r.settings import Config
from agent_r.training.backends.choice import make_backend
from agent_r.training.backends.run_to_end import run_to_end
from agent_r.training.backends.train_job import Source, TrainJob
from benchmarks.paper.arms import Arm
from benchmarks.paper.experiment import Experiment, training_seed
from benchmarks.paper.mixtures import Mixture, counter, mixture
from benchmarks.paper.preference import by_preference, conversations_of
from benchmarks.paper.results import Training
from flows.general_rows import general_rows
from flows.run_context import RunContext


class Made(BaseModel):
    """What an iteration leaves for the next, and for its measurement."""

    model: str = ""
    version: str = ""  # folder of the rows so far; empty: the arm explores nothing
    training: Training = Training()


async def trained(
    experiment: Experiment,
    seed: int,
    arm: Arm,
    iteration: int,
    own: Sequence[Row],
    pairs: Sequence[Row],
) -> Made:
    """As many trained tokens whatever the arm; half of its share are of pairs, where it has those.

    Raises:
        AgentRError: there are no rows, or a job failed.
    """
    config, number = experiment.settings(seed, arm), training_seed(seed, iteration)
    start = RunContext.of(config).model_to_train
    count = counter(start, config.train.max_length)
    general = (await general_rows(config, seed=number)).rows
    tokens, of_pairs = 2 * experiment.tokens, arm.share / 2 if arm.preference else 0.0
    share = (arm.share - of_pairs) / (1 - of_pairs)
    sft = round((1 - of_pairs) * tokens)
    mixed = mixture(own, general, sft, count, share=share, good=arm.good, seed=number)
    name = f"{iteration}-{experiment.key(arm)}"
    made = await _fine_tuned(config, start, mixed, name, number)
    if arm.preference:
        preferred = Mixture()
        rows = conversations_of(pairs)
        preferred.add(rows, round(of_pairs * tokens), count, random.Random(number))
        made = await _preferring(config, made, preferred, name, number)
    return made


async def _fine_tuned(config: Config, start: Path, mixed: Mixture, name: str, seed: int) -> Made:
    rows = [{"messages": row["messages"]} for row in mixed.rows]
    job = TrainJob(model=start, config=config.train, seed=seed, **_places(config, rows, name))
    report = await run_to_end(make_backend(config.train), job)
    training = Training(
        rows=mixed.drawn,
        distinct=mixed.distinct,
        tokens=mixed.tokens,
        loss_first=report.first_loss,
        loss_last=report.last_loss,
        seconds={"train": report.seconds},
    )
    return Made(model=str(job.out), training=training)


async def _preferring(config: Config, made: Made, preferred: Mixture, name: str, seed: int) -> Made:
    rows = [row["pair"] for row in preferred.rows]
    settings = by_preference(config.train)
    places = _places(config, rows, f"{name}-preference")
    job = TrainJob(model=Path(made.model), config=settings, seed=seed, **places)
    report = await run_to_end(make_backend(settings), job)
    before = made.training
    training = before.model_copy(
        update={
            "rows": before.rows | preferred.drawn,
            "distinct": before.distinct | preferred.distinct,
            "tokens": before.tokens | preferred.tokens,
            "seconds": before.seconds | {"preference": report.seconds},
        }
    )
    return Made(model=str(job.out), training=training)


def _places(config: Config, rows: Sequence[Row], name: str) -> dict[str, Any]:
    """Rows in a file, and a folder for the model, both named by what they are."""
    folder = RunContext.of(config).work_folder
    stem = f"{name}-{digest(*(str(row) for row in rows))}"
    path = folder / f"mixture-{stem}.jsonl"
    files.write_jsonl(path, rows)
    return {"sources": (Source(path=path),), "out": folder / f"model-{stem}"}
