"""The back end `trl`: the training script as a job that is killed, and goes on."""

from __future__ import annotations

import asyncio
import json
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


def trl_job(model: Path, rows: Path, out: Path, **trl: Any) -> TrainJob:
    config = {"backend": "trl", "trl": trl, "batch_tokens": 512, "learning_rate": 1e-2}
    return job_of(model, rows, out, config=config, checkpoint_s=0)


def kill(folder: Path) -> None:
    """The supervisor, and the script with it: nobody can tidy up."""
    supervisor = psutil.Process(int((folder / LOCK).read_text()))
    for process in [*supervisor.children(recursive=True), supervisor]:
        process.kill()


async def test_a_killed_job_goes_on_and_ends_as_if_it_had_not_been(
    model: Path, rows: Path, tmp_path: Path
) -> None:
    whole, killed = (trl_job(model, rows, tmp_path / name, full=True) for name in ("a", "b"))
    seen: list[TrainingProgress] = []
    report = await run_to_end(TrlBackend(), whole, seen.append)
    assert report.digest == job_digest(whole)
    assert (report.rows, report.too_long, report.untrained) == (300, 0, 0)
    assert seen[-1].step == seen[-1].of == report.steps
    assert "supervisor" not in (whole.out.with_name("a.log")).read_text()

    running = asyncio.ensure_future(run_to_end(TrlBackend(), killed))
    work = partial(killed) / "model.partial"
    await soon(lambda: list(work.glob("checkpoint-*/whole.json")), within_s=120)
    kill(partial(killed))
    with pytest.raises(TrainerError, match="killed"):
        await running
    after = await run_to_end(TrlBackend(), killed)
    assert after.resumed_at > 0
    timed = {"seconds": 0.0, "cpu_seconds": 0.0, "resumed_at": 0}
    assert after.model_copy(update=timed) == report.model_copy(update=timed)
    for name in ("model.safetensors", "loss.jsonl"):
        assert (whole.out / name).read_bytes() == (killed.out / name).read_bytes()


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
