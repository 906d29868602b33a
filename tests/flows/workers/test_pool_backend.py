"""Facts about how a job travels to another machine and back; its runs are in test_deployed.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_r.errors import TrainerError
from agent_r.local_model.model_folder import PACKAGED
from agent_r.settings import PoolConfig
from agent_r.training.backends.train_job import (
    TrainedModel,
    TrainJob,
    TrainReport,
    finish,
    job_digest,
    new_model,
)
from flows.workers.pool_backend import fetch, send
from tests.support.tiny_job import job_of, write_rows


@pytest.fixture
def job(tmp_path: Path) -> TrainJob:
    model = tmp_path / "before"
    model.mkdir()
    (model / "config.json").write_text("{}")
    rows = write_rows(tmp_path / "rows.jsonl")
    pool = PoolConfig(job_variables={"env": {"A": "1"}})
    command = {"backend": "command", "command": "x {out}", "pool": pool}
    return job_of(model, rows, tmp_path / "out", config=command)


def trained(job: TrainJob, model: TrainedModel) -> None:
    new_model(job).mkdir(parents=True)
    (new_model(job) / "weights").write_text("new")
    finish(job, TrainReport(digest=job_digest(job), rows=300, seconds=1.0, model=model))


def test_a_job_is_the_same_one_wherever_it_travels(job: TrainJob, tmp_path: Path) -> None:
    place = tmp_path / "shared/job"
    sent = send(job, place, at_same_path=False)
    assert sent == send(job, place, at_same_path=False), "a second time nothing is in the way"
    assert sent.model.parent == sent.sources[0].path.parent == sent.out.parent == place
    assert job_digest(sent) == job_digest(job)
    assert sent.config.pool is None

    with pytest.raises(TrainerError, match="a folder that both machines have"):
        fetch(place, new_model(job))
    trained(sent, TrainedModel())
    report = fetch(place, new_model(job))
    assert (new_model(job) / "weights").read_text() == "new"
    assert fetch(place, new_model(job)) == report, "a second time it is there"
    assert not place.exists()


def test_what_an_adapter_is_laid_on_stays(job: TrainJob, tmp_path: Path) -> None:
    sent = send(job, tmp_path / "shared", at_same_path=False)
    trained(sent, TrainedModel(served="adapter", base=str(sent.model)))
    report = fetch(tmp_path / "shared", new_model(job))
    assert (Path(report.model.base) / "config.json").exists()


def test_on_a_disk_that_both_have_only_the_packaged_model_travels(
    job: TrainJob, tmp_path: Path
) -> None:
    assert send(job, tmp_path / "place", at_same_path=True).model == job.model
    packaged = job.model_copy(update={"model": PACKAGED})
    assert send(packaged, tmp_path / "place", at_same_path=True).model == tmp_path / "place/base"
    named = job.model_copy(update={"model": Path("owner/name")})
    assert send(named, tmp_path / "place", at_same_path=False).model == Path("owner/name")
