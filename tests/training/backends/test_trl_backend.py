"""The back end `trl`: the training script as a job that is killed, and goes on."""

from __future__ import annotations

import asyncio
import json
import sys
import types
from pathlib import Path
from typing import Any

import psutil
import pytest

from agent_r.errors import TrainerError
from agent_r.training.backends.process_backend import LOCK
from agent_r.training.backends.run_to_end import run_to_end
from agent_r.training.backends.train_job import (
    TrainedModel,
    TrainingProgress,
    TrainJob,
    TrainReport,
    job_digest,
    leave,
    partial,
    prepare,
    report_in,
)
from agent_r.training.backends.trl_backend import TrlBackend, start_of
from tests.support.tiny_job import job_of
from tests.support.waiting import soon

pytest.importorskip("trl")
pytest.importorskip("peft")

import torch


def trl_job(model: Path, rows: Path, out: Path, **trl: Any) -> TrainJob:
    config = {"backend": "trl", "trl": trl, "batch_tokens": 512, "learning_rate": 1e-2}
    return job_of(model, rows, out, config=config, checkpoint_s=0)


def kill(folder: Path) -> None:
    """The supervisor, and the script with it: nobody can tidy up."""
    supervisor = psutil.Process(int((folder / LOCK).read_text()))
    for process in [*supervisor.children(recursive=True), supervisor]:
        process.kill()


def run_here(script: Path, out: Path) -> TrainReport:
    """The same training without interruption, in this process."""
    torch.set_num_threads(1)
    scope: dict[str, Any] = {"__name__": "script"}
    sys.modules["script"] = types.ModuleType("script")  # where dataclasses look for their names
    exec(compile(script.read_text(encoding="utf-8"), script, "exec"), scope)
    assert scope["main"](["--out", str(out)]) == 0
    report = report_in(out)
    assert report is not None
    return report


@pytest.mark.filterwarnings("ignore")  # of one library to another
async def test_a_killed_job_goes_on_and_ends_as_if_it_had_not_been(
    model: Path, rows: Path, tmp_path: Path
) -> None:
    job = trl_job(model, rows, tmp_path / "out", full=True)
    running = asyncio.ensure_future(run_to_end(TrlBackend(), job))
    work = partial(job) / "model.partial"
    await soon(lambda: list(work.glob("checkpoint-*/whole.json")), within_s=120)
    kill(partial(job))
    with pytest.raises(TrainerError, match="killed"):
        await running
    expected = run_here(partial(job) / "train.py", tmp_path / "whole")
    seen: list[TrainingProgress] = []
    report = await run_to_end(TrlBackend(), job, seen.append)
    assert report.resumed_at > 0
    assert (report.digest, report.rows) == (job_digest(job), 300)
    assert seen[-1].step == seen[-1].of == report.steps
    own = {"seconds": 0.0, "cpu_seconds": 0.0, "resumed_at": 0, "digest": ""}
    assert report.model_copy(update=own) == expected.model_copy(update=own)
    for name in ("model.safetensors", "loss.jsonl"):
        assert (job.out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_script_of_a_job_can_be_taken_elsewhere(
    model: Path, rows: Path, tmp_path: Path
) -> None:
    job = trl_job(model, rows, tmp_path / "out", lora={"rank": 3, "target_modules": ["q_proj"]})
    assert prepare(job) is None
    command = TrlBackend().command(job)
    text = Path(command[-1]).read_text(encoding="utf-8")
    assert "agent_r" not in text
    assert '"rank": (3, ' in text
    assert '"target_modules": ("q_proj", ' in text
    assert f'"model": ("{model}", ' in text
    several = trl_job(model, rows, tmp_path / "more", processes=2)
    assert prepare(several) is None
    assert TrlBackend().command(several)[1:5] == [
        "-m", "accelerate.commands.launch", "--num_processes", "2"
    ]  # fmt: skip


def test_what_a_job_starts_from_is_a_folder_a_name_or_nowhere(
    model: Path, rows: Path, tmp_path: Path
) -> None:
    assert start_of(Path("Qwen/Qwen3-0.6B")) == "Qwen/Qwen3-0.6B"
    assert start_of(model) == str(model)

    def elsewhere(name: str, trained: TrainedModel) -> Path:
        job = trl_job(model, rows, tmp_path / name)
        report = TrainReport(digest="d", rows=1, seconds=1.0, model=trained)
        (tmp_path / f"{name}.partial" / "model").mkdir(parents=True)
        leave(job, report)
        folder = tmp_path / f"{name}.partial" / "model"
        assert report_in(folder) == report
        return folder

    assert start_of(elsewhere("hub", TrainedModel(repo="me/model@abc"))) == "me/model"
    with pytest.raises(TrainerError, match="the weights of ft-1 are nowhere"):
        start_of(elsewhere("far", TrainedModel(served="name", name="ft-1")))
    assert json.loads((tmp_path / "hub.partial" / "model" / "done.json").read_text())["rows"] == 1
