"""Facts about Hugging Face Jobs: the Hub is a server on loopback, and its jobs are processes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_r.errors import TrainerError, TrainerUnavailable
from agent_r.settings import TrainConfig
from agent_r.training.backends.choice import check_backend
from agent_r.training.backends.elsewhere.hf_jobs import HfJobsBackend
from agent_r.training.backends.job_backend import JobState
from agent_r.training.backends.run_to_end import log_of, run_to_end
from agent_r.training.backends.train_job import TrainJob, TrainReport, trained_model
from tests.support.hub_faults import Fault, Lost, Status
from tests.support.hub_jobs import Job
from tests.support.hub_server import READ, WRITE, LoopbackHub
from tests.support.ports import closed_port
from tests.support.tiny_job import job_of
from tests.support.waiting import soon

HELD = "SOME_HUB_TOKEN"
SUPPORT = Path(__file__).parents[3] / "support"
STAND_IN, ONE_JOB = SUPPORT / "stand_in_script.py", SUPPORT / "one_job.py"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    monkeypatch.setenv(HELD, WRITE)
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "xet"))
    monkeypatch.setattr(HfJobsBackend, "poll_s", 0.05)
    with LoopbackHub(tmp_path / "hub", xet=True) as hub:
        yield hub


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that takes a second, and not the half minute that PyTorch and TRL take to come."""
    text = STAND_IN.read_text()
    monkeypatch.setattr(
        "agent_r.training.backends.elsewhere.hf_submission.train_script", lambda _: text
    )


def job_at(hub: LoopbackHub, model: Path, rows: Path, out: str = "out", **table: Any) -> TrainJob:
    place = {
        "repo": "acme/actor",
        "flavor": "cpu-basic",
        "endpoint": hub.url,
        "token_env": HELD,
    } | table
    config = {"backend": "hf-jobs", "hf_jobs": place, "epochs": 1, "max_length": 128}
    trl = {"full": True, "precision": "fp32", "gradient_checkpointing": False}
    job = job_of(model, rows, hub.store.folder.parent / out)
    return job.model_copy(
        update={"config": TrainConfig(**config, trl=trl, batch_tokens=4096, learning_rate=1e-3)}
    )


async def ended(job: TrainJob, lines: list[str] | None = None) -> TrainReport:
    heard = lines if lines is not None else []
    return await run_to_end(HfJobsBackend(job.config.hf_jobs), job, on_line=heard.append)


def only(hub: LoopbackHub) -> Job:
    (job,) = hub.desk.jobs.values()
    return job


@pytest.mark.slow
async def test_the_script_itself_trains_there_and_its_model_comes_back(
    hub: LoopbackHub, model: Path, rows: Path
) -> None:
    job = job_at(hub, model, rows)
    report = await ended(job)
    assert report.rows == 300 and report.steps > 3 and report.money == pytest.approx(0.003)
    assert report.last_loss is not None and report.first_loss is not None
    assert report.last_loss < report.first_loss
    commit = hub.store.repos["models/acme/actor"].tags[report.digest]
    assert report.model.repo == f"acme/actor@{commit}" and trained_model(job.out) == report.model
    assert (job.out / "config.json").exists() and not (job.out / ".cache").exists()
    steps = (job.out / "loss.jsonl").read_text().splitlines()
    assert [json.loads(step)["step"] for step in steps] == [*range(1, report.steps + 1)]


@pytest.mark.usefixtures("stand_in")
async def test_what_goes_up_is_private_and_the_token_is_a_secret(
    hub: LoopbackHub, model: Path, rows: Path
) -> None:
    job = job_at(hub, model, rows, flavor="l4x1", timeout="2h", namespace="acme")
    lines: list[str] = []
    report = await ended(job, lines)
    begun = only(hub)
    assert begun.namespace == "acme" and begun.spec["timeoutSeconds"] == 7200
    assert begun.spec["flavor"] == "l4x1" and begun.spec["labels"]["agent-r-job"] == report.digest
    assert begun.spec["secrets"] == {"HF_TOKEN": WRITE}
    assert all(hub.store.repos[f"models/acme/{name}"].private for name in ("actor", "actor-base"))
    assert "my token is ***" in lines and WRITE not in log_of(job.out).read_text()
    assert WRITE not in json.dumps(begun.facts) and WRITE not in (job.out / "done.json").read_text()
    (bucket,) = hub.desk.buckets.values()
    assert sorted(path.split("/")[1] for path in bucket) == ["rows.jsonl", "train.py"]


@pytest.mark.usefixtures("stand_in")
async def test_the_next_job_starts_from_the_commit_of_the_last(
    hub: LoopbackHub, model: Path, rows: Path
) -> None:
    first = await ended(job_at(hub, model, rows, download=False))
    out = hub.store.folder.parent / "out"
    assert not (out / "config.json").exists() and (out / "done.json").exists()
    second = await ended(job_at(hub, out, rows, out="second"))
    spec = list(hub.desk.jobs.values())[1].spec
    repo, _, commit = first.model.repo.partition("@")
    mounted = {"type": "model", "source": repo, "revision": commit, "mountPath": "/model"}
    assert mounted.items() <= spec["volumes"][0].items()
    assert second.digest != first.digest


@pytest.mark.usefixtures("stand_in")
async def test_a_job_is_begun_once_though_its_answer_is_lost(
    hub: LoopbackHub, model: Path, rows: Path
) -> None:
    hub.faults.append(Fault("POST", r"/api/jobs/tester$", Lost()))
    job = job_at(hub, model, rows)
    backend = HfJobsBackend(job.config.hf_jobs)
    with pytest.raises(TrainerUnavailable):
        await backend.submit(job)
    assert await backend.submit(job) == only(hub).id
    await soon(lambda: only(hub).stage == "COMPLETED")
    assert await HfJobsBackend(job.config.hf_jobs).submit(job) == only(hub).id
    hub.store.delete("models/acme/actor")  # by its owner: then there is no model to find
    assert await HfJobsBackend(job.config.hf_jobs).submit(job) != "job000000000000000000000"


@pytest.mark.usefixtures("stand_in")
async def test_one_that_fails_says_its_last_words_and_is_begun_anew(
    hub: LoopbackHub, model: Path, rows: Path
) -> None:
    hub.desk.environment["FAILS"] = "1"
    with pytest.raises(TrainerError, match="train: no row can be trained on") as failure:
        await ended(job_at(hub, model, rows))
    assert f"{hub.url}/jobs/tester/" in str(failure.value)
    hub.desk.environment.clear()
    assert (await ended(job_at(hub, model, rows))).rows == 300
    assert [job.stage for job in hub.desk.jobs.values()] == ["ERROR", "COMPLETED"]


@pytest.mark.usefixtures("stand_in")
async def test_who_is_cancelled_cancels_the_job(hub: LoopbackHub, model: Path, rows: Path) -> None:
    hub.desk.environment["WAITS_FOR"] = "/never"
    job = job_at(hub, model, rows)
    task = asyncio.create_task(ended(job))
    await soon(lambda: hub.desk.jobs and log_of(job.out).exists())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert only(hub).stage == "CANCELED"
    backend = HfJobsBackend(job.config.hf_jobs)
    assert (await backend.poll(only(hub).id)).state is JobState.CANCELLED
    assert (await backend.poll("job-of-yesterday")).state is JobState.FAILED


@pytest.mark.usefixtures("stand_in")
async def test_a_job_goes_on_when_its_driver_is_killed_and_is_found_again(
    hub: LoopbackHub, model: Path, rows: Path
) -> None:
    """One that was not killed reports the same."""
    door = hub.store.folder.parent / "door"
    hub.desk.environment["WAITS_FOR"] = str(door)
    job = job_at(hub, model, rows)
    text = hub.store.folder.parent / "job.json"
    text.write_text(job.model_dump_json())
    # The first driver has begun the job, and dies before it has a handle of it.
    hub.faults.append(Fault("POST", r"/api/jobs/tester$", Lost()))
    with pytest.raises(TrainerUnavailable):
        await HfJobsBackend(job.config.hf_jobs).submit(job)
    killed = subprocess.Popen([sys.executable, ONE_JOB, text], stderr=subprocess.DEVNULL)
    await soon(lambda: (job.out.parent / "out.partial" / "handle.json").exists())
    killed.kill()
    killed.wait()
    door.touch()
    report = await ended(job)
    assert len(hub.desk.jobs) == 1
    whole = await ended(job.model_copy(update={"out": job.out.with_name("whole")}))
    assert len(hub.desk.jobs) == 1 and whole == report


WRONG = {
    "no token": ({"token_env": "NOT_SET_HERE"}, "wants a token: set $NOT_SET_HERE"),
    "wrong token": ({"token_env": "HOME"}, "401, Unauthorized): set $HOME"),
    "read only": ({"token_env": "ONLY_READS"}, "the token may not start jobs for you (403"),
    "another's": ({"repo": "rich/actor"}, "is of tester, who may not write to rich/actor"),
    "namespace": ({"namespace": "rich"}, "the token may not start jobs for rich (403"),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_what_is_wrong_is_one_line_before_anything_is_done(
    hub: LoopbackHub, model: Path, rows: Path, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONLY_READS", READ)
    table, words = WRONG[wrong]
    with pytest.raises(TrainerError) as failure:
        await check_backend(job_at(hub, model, rows, **table).config)
    line = str(failure.value)
    assert words in line and "\n" not in line and WRITE not in line
    assert not hub.desk.jobs and not hub.store.repos


async def test_rows_do_not_go_into_a_public_bucket(
    hub: LoopbackHub, model: Path, rows: Path
) -> None:
    hub.desk.buckets["tester/jobs-artifacts"] = {}
    hub.desk.public.add("tester/jobs-artifacts")
    with pytest.raises(TrainerError, match="jobs-artifacts is public"):
        await ended(job_at(hub, model, rows))
    assert not hub.desk.jobs and not hub.desk.buckets["tester/jobs-artifacts"]


async def test_no_money_is_told_and_a_hub_that_is_down_may_come_back(
    hub: LoopbackHub, model: Path, rows: Path
) -> None:
    hub.faults.append(Fault("POST", r"/api/jobs/tester$", Status(402)))
    with pytest.raises(TrainerError, match="402"):
        await ended(job_at(hub, model, rows))
    hub.faults[:] = [Fault("POST", r"/api/jobs/tester$", Status(503))]
    backend = HfJobsBackend(job_at(hub, model, rows).config.hf_jobs)
    with pytest.raises(TrainerUnavailable, match="503"):
        await backend.submit(job_at(hub, model, rows))
    nowhere = f"http://127.0.0.1:{closed_port()}"
    job = job_at(hub, model, rows, endpoint=nowhere)
    with pytest.raises(TrainerUnavailable, match=nowhere):
        await HfJobsBackend(job.config.hf_jobs).submit(job)
