"""Facts about jobs that are processes; the models are tiny, the processes and their deaths real."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.tiny_job import job_of, long_job
from tests.support.waiting import soon

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from agent_r.errors import TrainerError
from agent_r.training import job as training_job
from agent_r.training.backends.process_backend import (
    CommandBackend,
    LocalBackend,
    fill_in,
    is_locked,
)
from agent_r.training.backends.run_to_end import run_to_end
from agent_r.training.backends.train_job import (
    TrainedModel,
    TrainingProgress,
    TrainJob,
    finish,
    partial,
    prepare,
)


async def until_checkpoint(job: TrainJob) -> None:
    await soon(lambda: (partial(job) / "checkpoint.pt").exists())


def weights(folder: Path) -> dict[str, Any]:
    loaded, _ = training_job.load_model(folder)
    return dict(loaded.state_dict())


@pytest.fixture(scope="module")
def whole(model: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of the long job, run without interruption in this process."""
    torch.set_num_threads(1)
    job = long_job(model, rows, tmp_path_factory.mktemp("whole") / "out")
    assert prepare(job) is None
    finish(job, training_job.run(job))
    return job.out


async def test_a_job_leaves_a_model_its_report_and_its_curve(
    model: Path, rows: Path, tmp_path: Path
) -> None:
    seen: list[TrainingProgress] = []
    job = job_of(model, rows, tmp_path / "out")
    report = await run_to_end(LocalBackend(), job, seen.append)
    assert (report.rows, report.too_long, report.untrained) == (300, 0, 0)
    assert seen[-1].step == seen[-1].of == report.steps
    curve = [json.loads(line) for line in (job.out / "loss.jsonl").read_text().splitlines()]
    assert [point["step"] for point in curve] == list(range(1, report.steps + 1))
    assert report.first_loss is not None and report.last_loss is not None
    assert report.last_loss < 0.8 * report.first_loss
    assert weights(job.out).keys() == weights(model).keys()
    assert not partial(job).exists()

    again = await run_to_end(LocalBackend(), job, lambda at: seen.clear())
    assert again == report
    assert seen, "a finished job is not run again"
    other = job.model_copy(update={"seed": 2})
    with pytest.raises(TrainerError, match="another job"):
        await run_to_end(LocalBackend(), other)


async def test_a_job_outlives_a_kill_of_who_asked_and_is_found_again(
    model: Path, rows: Path, tmp_path: Path, whole: Path
) -> None:
    job = long_job(model, rows, tmp_path / "out")
    script = (
        "import asyncio, sys; "
        "from agent_r.training.backends.process_backend import LocalBackend; "
        "from agent_r.training.backends.run_to_end import run_to_end; "
        "from agent_r.training.backends.train_job import TrainJob; "
        "asyncio.run(run_to_end(LocalBackend(), TrainJob.model_validate_json(sys.argv[1])))"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, job.model_dump_json()])
    await until_checkpoint(job)
    parent.kill()
    parent.wait()
    supervisor = (partial(job) / "lock").read_text()
    assert is_locked(partial(job)), "it is at work"

    backend = LocalBackend()
    assert await backend.submit(job) == str(partial(job)), "not a second time"
    assert (partial(job) / "lock").read_text() == supervisor
    seen: list[TrainingProgress] = []
    report = await run_to_end(backend, job, seen.append)
    assert report.resumed_at == 0
    assert (job.out / "loss.jsonl").read_text() == (whole / "loss.jsonl").read_text()
    assert seen[-1].step == report.steps, "what it said meanwhile is heard as well"


async def test_a_killed_job_goes_on_and_ends_as_if_it_had_not_been(
    model: Path, rows: Path, tmp_path: Path, whole: Path
) -> None:
    job = long_job(model, rows, tmp_path / "out")
    running = asyncio.create_task(run_to_end(LocalBackend(), job))
    await until_checkpoint(job)
    supervisor = psutil.Process(int((partial(job) / "lock").read_text()))
    [training] = [c for c in supervisor.children() if "agent_r.training.job" in c.cmdline()]
    supervisor.kill()
    with pytest.raises(TrainerError, match="its process was killed"):
        await running
    await soon(lambda: not training.is_running())
    assert not job.out.exists()

    report = await run_to_end(LocalBackend(), job)
    assert 0 < report.resumed_at < report.steps
    assert (job.out / "loss.jsonl").read_text() == (whole / "loss.jsonl").read_text()
    resumed = weights(job.out)
    assert all(torch.equal(value, resumed[name]) for name, value in weights(whole).items())


async def test_a_cancelled_job_leaves_no_process(model: Path, rows: Path, tmp_path: Path) -> None:
    job = long_job(model, rows, tmp_path / "out")
    running = asyncio.create_task(run_to_end(LocalBackend(), job))
    await until_checkpoint(job)
    assert is_locked(partial(job))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not is_locked(partial(job))
    with pytest.raises(TrainerError, match=r"another job's work: delete it"):
        prepare(job.model_copy(update={"seed": 7}))


async def test_a_broken_model_is_one_line(model: Path, rows: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in model.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(TrainerError) as failure:
        await run_to_end(LocalBackend(), job_of(broken, rows, tmp_path / "out"))
    assert "\n" not in str(failure.value)
    assert "model" in str(failure.value)


COPY = "import shutil, sys; shutil.copytree(sys.argv[2], sys.argv[3]); open(sys.argv[1]).close()"


async def test_a_command_is_filled_in_and_run_once(model: Path, rows: Path, tmp_path: Path) -> None:
    script = tmp_path / "my train.py"
    script.write_text(COPY)
    command = f"'{sys.executable}' '{script}' {{dataset}} {{model}} {{out}}"
    job = job_of(model, rows, tmp_path / "out", config={"backend": "command", "command": command})
    report = await run_to_end(CommandBackend(), job)
    assert report.rows == 300
    assert (job.out / "config.json").is_file()
    script.write_text("raise SystemExit('not twice')")
    assert await run_to_end(CommandBackend(), job) == report


async def test_a_command_may_know_its_model_by_a_name(rows: Path, tmp_path: Path) -> None:
    script = "import pathlib, sys; p = pathlib.Path(sys.argv[2]); p.mkdir(); "
    script += "(p / 'config.json').write_text(sys.argv[1])"
    command = f'{sys.executable} -c "{script}" {{model}} {{out}}'
    config = {"backend": "command", "command": command}
    job = job_of(Path("qwen"), rows, tmp_path / "out", config=config)
    await run_to_end(CommandBackend(), job)
    assert (job.out / "config.json").read_text() == "qwen"


async def test_a_command_that_fails_says_its_last_line(
    model: Path, rows: Path, tmp_path: Path
) -> None:
    command = f"{sys.executable} -c 'raise ValueError(\"no disk\")'"
    job = job_of(model, rows, tmp_path / "out", config={"backend": "command", "command": command})
    with pytest.raises(TrainerError, match="the training job failed: ValueError: no disk"):
        await run_to_end(CommandBackend(), job)


def command_job(model: Path, rows: Path, out: Path, script: str) -> TrainJob:
    path = out.with_name("job.py")
    path.write_text(script)
    command = f"'{sys.executable}' '{path}' {{model}} {{out}}"
    return job_of(model, rows, out, config={"backend": "command", "command": command})


TALKS = """
import os, pathlib, sys, time
print("epoch 1 of 2", flush=True); time.sleep(0.05)
sys.stdout.write("x" * 3_000_000 + "\\n"); sys.stdout.flush()
sys.stderr.write("a warning of " + os.environ["MY_API_KEY"] + "\\n"); sys.stderr.flush()
for i in range(3):
    sys.stdout.write(f"\\r{i + 1}/3 \\x1b[32mdone\\x1b[0m")
    sys.stdout.flush(); time.sleep(0.05)
out = pathlib.Path(sys.argv[2]); out.mkdir(); (out / "config.json").write_text("{}")
sys.exit(int(os.environ.get("MY_JOB_FAILS", "0")))
"""


ADAPTS = """
import pathlib, sys
print('{"step": 1, "of": 1, "loss": 2.5}')
out = pathlib.Path(sys.argv[2]); out.mkdir(); (out / "adapter_config.json").write_text("{}")
"""


async def test_what_a_command_says_is_kept_beside_its_model_and_shown(
    model: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "sk-very-secret-1")
    shown: list[str] = []
    job = command_job(model, rows, tmp_path / "out", TALKS)
    await run_to_end(CommandBackend(), job, on_line=shown.append)
    kept = (tmp_path / "out.log").read_text()
    assert kept.count("x") >= 3_000_000
    assert "a warning of ***" in kept
    assert "epoch 1 of 2" in shown
    assert shown[-1] == "3/3 done"
    assert max(map(len, shown)) <= 2**17
    assert not [text for text in [kept, *shown] if "very-secret" in text]


async def test_a_failed_command_says_its_last_words_and_where_the_others_are(
    model: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "sk-very-secret-1")
    monkeypatch.setenv("MY_JOB_FAILS", "3")
    job = command_job(model, rows, tmp_path / "out", TALKS)
    with pytest.raises(
        TrainerError, match=r"failed: a warning of \*\*\* \(all that it said: \S+log\)$"
    ):
        await run_to_end(CommandBackend(), job)
    long = command_job(model, rows, tmp_path / "long", "raise ValueError('y' * 5_000_000)")
    with pytest.raises(TrainerError, match=r"failed: y{400} \(") as caught:
        await run_to_end(CommandBackend(), long)
    assert len(str(caught.value)) < 1000


async def test_a_command_that_leaves_no_model_is_begun_again(
    model: Path, rows: Path, tmp_path: Path
) -> None:
    job = command_job(model, rows, tmp_path / "out", "print('nothing')")
    with pytest.raises(TrainerError, match=r"left no model .+ \(all that it said: \S+out.log\)$"):
        await run_to_end(CommandBackend(), job)
    command_job(model, rows, tmp_path / "out", ADAPTS)
    report = await run_to_end(CommandBackend(), job)
    assert report.model == TrainedModel(served="adapter", base=str(model))
    assert (report.steps, report.last_loss) == (1, 2.5), "it has said so"


async def test_a_silent_command_that_fails_says_its_status(
    model: Path, rows: Path, tmp_path: Path
) -> None:
    job = command_job(model, rows, tmp_path / "out", "raise SystemExit(9)")
    with pytest.raises(TrainerError, match="failed: exit status 9"):
        await run_to_end(CommandBackend(), job)


def test_a_value_is_one_word_whatever_it_contains() -> None:
    words = fill_in("t -d {dataset} {out}/x", dataset=Path("a b;c"), model=Path(), out=Path("$o"))
    assert words == ["t", "-d", "a b;c", "$o/x"]
