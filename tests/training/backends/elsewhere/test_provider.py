"""Facts about fine-tuning at a provider; the provider is a real server on loopback."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agent_r.errors import TrainerError, TrainerUnavailable
from agent_r.settings import TrainConfig
from agent_r.settings.remote_training import ProviderConfig
from agent_r.training.backends.elsewhere.provider import ProviderBackend
from agent_r.training.backends.job_backend import JobState
from agent_r.training.backends.run_to_end import run_to_end
from agent_r.training.backends.train_job import Source, TrainJob, TrainReport, trained_model
from tests.support.faulty_endpoint import KEY
from tests.support.fine_tuning_server import FineTuningServer
from tests.support.ports import closed_port
from tests.support.waiting import soon

HIDDEN = "SOME_PROVIDER_KEY"
ONE_JOB = Path(__file__).parents[3] / "support" / "one_job.py"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HIDDEN, KEY)
    monkeypatch.setattr(ProviderBackend, "poll_s", 0.02)
    monkeypatch.setattr("agent_r.training.backends.run_to_end.FIRST_S", 0.01)


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """Rows: one of each kind that a provider reads otherwise than we do."""
    user = {"role": "user", "content": "Goal: a bowl.", "train": False}
    good, bad = ({"role": "assistant", "content": f"Action: {n}", "train": n == 1} for n in (1, 2))
    conversations = [[user, good, user], [user, bad, user, good], [user, bad]]
    path = tmp_path / "few.jsonl"
    path.write_text("".join(json.dumps({"messages": m}) + "\n" for m in conversations))
    return path


def job_at(server: FineTuningServer, few: Path, out: str = "out", **changes: Any) -> TrainJob:
    table = {"base_url": server.base_url, "api_key_env": HIDDEN} | changes.pop("provider", {})
    config = TrainConfig(backend="provider", provider=ProviderConfig(**table))
    plain = {"model": Path("tiny"), "sources": (Source(path=few),), "seed": 1}
    return TrainJob(**plain | {"out": few.parent / out, "config": config} | changes)


async def ended(job: TrainJob, lines: list[str] | None = None) -> TrainReport:
    assert job.config.provider is not None
    heard = lines if lines is not None else []
    return await run_to_end(ProviderBackend(job.config.provider), job, on_line=heard.append)


async def test_rows_go_up_with_a_weight_and_a_name_comes_back(few: Path) -> None:
    with FineTuningServer() as server:
        job = job_at(server, few)
        lines: list[str] = []
        report = await ended(job, lines)
    (begun,) = server.jobs.values()
    assert report.model.name == begun["fine_tuned_model"] == "ft:tiny:org:agent-r:ftjob-2"
    assert (report.rows, report.untrained, report.tokens) == (3, 1, 1234)
    assert (report.first_loss, report.last_loss, report.steps, report.seconds) == (2.0, 0.5, 4, 60)
    assert "validating files" in lines and "Created fine-tuning job" in lines
    assert begun["hyperparameters"] == {"n_epochs": 3} and begun["seed"] == 1
    (rows,) = (each.decode().splitlines() for each in server.rows.values())
    weights = [[m.get("weight") for m in json.loads(row)["messages"]] for row in rows]
    assert weights == [[None, 1], [None, 0, None, 1]]  # and no user's turn at the end
    assert trained_model(job.out) == report.model and not (job.out / "config.json").exists()


async def test_a_job_is_begun_once_though_its_answer_is_lost(few: Path) -> None:
    with FineTuningServer(lost=1) as server:
        backend = ProviderBackend(job_at(server, few).config.provider)
        with pytest.raises(TrainerUnavailable):
            await backend.submit(job_at(server, few))
        assert await backend.submit(job_at(server, few)) == "ftjob-2"
    assert list(server.jobs) == ["ftjob-2"] and len(server.files) == 1


@pytest.mark.parametrize("odd", [{"forgets": ["metadata"]}, {"refuses": ["metadata", "seed"]}])
async def test_a_job_is_found_again_without_its_metadata(few: Path, odd: dict[str, Any]) -> None:
    with FineTuningServer(**odd) as server:
        backend = ProviderBackend(job_at(server, few).config.provider)
        # Others, so that ours is not on the first page.
        begun = [await backend.submit(job_at(server, few, seed=n)) for n in range(4)]
        assert len(set(begun)) == len(server.jobs) == 4
        assert await backend.submit(job_at(server, few, seed=0)) == begun[0]
    assert len(server.jobs) == 4


async def test_one_that_has_failed_says_why_and_is_begun_anew(few: Path) -> None:
    error = {"code": "invalid_training_file", "message": "too few rows", "param": "training_file"}
    with FineTuningServer(states=["failed"], error=error) as server:
        for _ in range(2):
            with pytest.raises(TrainerError) as failure:
                await ended(job_at(server, few))
    assert "invalid_training_file: too few rows (training_file)" in str(failure.value)
    assert len(server.jobs) == 2 and len(server.files) == 1


@pytest.mark.parametrize("odd", [{"nameless": 2}, {"checkpointed": True}])
async def test_a_name_that_comes_late_or_as_a_checkpoint_is_waited_for(
    few: Path, odd: dict[str, Any]
) -> None:
    with FineTuningServer(**odd) as server:
        assert (await ended(job_at(server, few))).model.name == server.names[1]


@pytest.mark.parametrize("status", [429, 503])
async def test_trouble_that_passes_is_waited_out(
    few: Path, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_r.training.backends.run_to_end.AWAY_S", 1.0)
    left = iter([None, None, None, None, status, status])
    with FineTuningServer(broken=lambda method, path: next(left, None)) as server:
        lines: list[str] = []
        assert (await ended(job_at(server, few), lines)).model.name
    assert len(server.jobs) == 1 and any(f"answers {status}" in line for line in lines)


async def test_a_provider_without_events_is_heard_by_its_states_alone(few: Path) -> None:
    def broken(method: str, path: str) -> int | None:
        return 404 if path.endswith(("events", "checkpoints")) else None

    with FineTuningServer(broken=broken) as server:
        report = await ended(job_at(server, few))
    assert report.model.name and report.first_loss is None


async def test_the_next_job_starts_from_the_model_of_the_last(few: Path) -> None:
    with FineTuningServer() as server:
        first = await ended(job_at(server, few, out="first"))
        await ended(job_at(server, few, out="second", model=few.parent / "first"))
    assert list(server.jobs.values())[1]["model"] == first.model.name


async def test_who_is_cancelled_cancels_the_job(few: Path) -> None:
    with FineTuningServer(states=["running"]) as server:
        task = asyncio.create_task(ended(job_at(server, few)))
        while not any("events" in call for call in server.calls):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (job,) = server.jobs.values()
        assert job["status"] == "cancelled"
        status = await ProviderBackend(job_at(server, few).config.provider).poll(job["id"])
    assert status.state is JobState.CANCELLED


async def test_a_job_goes_on_when_its_driver_is_killed_and_is_found_again(few: Path) -> None:
    """One that was not killed reports the same."""
    with FineTuningServer(states=["running"]) as server:
        job = job_at(server, few)
        text = few.parent / "job.json"
        text.write_text(job.model_dump_json())
        killed = subprocess.Popen([sys.executable, ONE_JOB, text], stderr=subprocess.DEVNULL)
        await soon(lambda: any("events" in call for call in server.calls))
        killed.kill()
        killed.wait()
        server.states = ["running", "succeeded"]
        report = await ended(job)
        whole = await ended(job.model_copy(update={"out": few.parent / "whole"}))
    assert len(server.jobs) == 1 and whole == report


async def test_no_row_with_a_secret_leaves_this_machine(few: Path) -> None:
    row = few.read_text().splitlines()[0].replace("a bowl", f"a bowl with {KEY}")
    few.write_text(few.read_text() + row + "\n")
    with FineTuningServer() as server, pytest.raises(TrainerError) as failure:
        await ended(job_at(server, few))
    assert "row 4 of those drawn" in str(failure.value) and KEY not in str(failure.value)
    assert not server.files


WRONG = {
    "key": ({"api_key_env": "HOME"}, "refuses the key in $HOME (401"),
    "no key": ({"api_key_env": "NOT_SET_HERE"}, "wants a key: set $NOT_SET_HERE"),
    "model": ({"model": "huge"}, "Model huge is not available for fine-tuning"),
    "no such API": ({"base_url": "{}/v0"}, "in OpenAI's protocol, with its /v1?"),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_what_is_wrong_is_one_line_without_the_key(few: Path, wrong: str) -> None:
    table, said = WRONG[wrong]
    with FineTuningServer() as server:
        address = server.base_url.removesuffix("/v1")
        table = {name: value.format(address) for name, value in table.items()}
        with pytest.raises(TrainerError) as failure:
            await ended(job_at(server, few, provider=table))
    line = str(failure.value)
    assert said in line and "\n" not in line and KEY not in line
    assert not server.jobs


async def test_one_that_is_down_is_unavailable(few: Path) -> None:
    nowhere = f"http://127.0.0.1:{closed_port()}/v1"
    with FineTuningServer() as server:
        job = job_at(server, few, provider={"base_url": nowhere})
    with pytest.raises(TrainerUnavailable, match=nowhere):
        await ProviderBackend(job.config.provider).submit(job)


async def test_a_page_in_place_of_json_is_told(few: Path) -> None:
    with FineTuningServer() as server:
        job = job_at(server, few, provider={"base_url": server.base_url + "/portal"})
        with pytest.raises(TrainerError):
            await ended(job)
