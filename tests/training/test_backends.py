"""Facts about fine-tuning jobs; the models are tiny, the processes and their deaths are real."""

from __future__ import annotations

import asyncio
import fcntl
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import soon

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from agent_r.errors import TrainerError
from agent_r.settings import TrainConfig
from agent_r.training import job as training_job
from agent_r.training.backends import (
    CommandTrainer,
    LocalTrainer,
    Source,
    TrainingProgress,
    TrainJob,
    draw,
    fill_in,
    partial,
    prepare,
)
from agent_r.training.encoding import IGNORED, Encoded, encode_rows, plan_batches
from agent_r.training.progress_lines import spoken_line
from agent_r.training.warm_start import WarmStartRecipe, make_model, make_tokenizer
from agent_r.training.warm_start import warm_start as start_warm

WORDS = ["oak", "log", "plank", "stick", "bowl", "lamp", "wire", "sand"]


def conversation(rng: random.Random) -> list[dict[str, Any]]:
    messages = [{"role": "user", "content": f"Goal: {rng.choice(WORDS)}.", "train": False}]
    for _ in range(rng.randint(1, 4)):
        item = rng.choice(WORDS)
        trained = rng.random() < 0.8
        messages.append({"role": "assistant", "content": f"Action: get {item}", "train": trained})
        messages.append({"role": "user", "content": f"Got {item}", "train": False})
    messages[1]["train"] = True
    return messages


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = random.Random(0)
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    lines = [json.dumps({"messages": conversation(rng), "weight": 1.0}) for _ in range(300)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def tokenizer(rows: Path) -> Any:
    return make_tokenizer(rows.read_text().split("\n"), vocab=320)


def tiny(tokenizer: Any, seed: int = 0) -> Any:
    return make_model(tokenizer, hidden=32, layers=2, heads=2, kv_heads=1, context=128, seed=seed)


@pytest.fixture(scope="module")
def model(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tokenizer.save_pretrained(folder)
    tiny(tokenizer).save_pretrained(folder)
    return folder


def job_of(model: Path, rows: Path, out: Path, **changes: Any) -> TrainJob:
    settings: dict[str, Any] = {"epochs": 1, "batch_tokens": 512, "max_length": 128, "threads": 1}
    config = TrainConfig(**settings | changes.pop("config", {}))
    return TrainJob(
        model=model, sources=(Source(path=rows),), out=out, config=config, seed=1, **changes
    )


def long_job(model: Path, rows: Path, out: Path) -> TrainJob:
    """Long enough to be killed on the way: its first checkpoint is at its first step."""
    return job_of(model, rows, out, checkpoint_s=0, config={"epochs": 2})


@pytest.fixture(scope="module")
def encoded(rows: Path, tokenizer: Any) -> list[Encoded]:
    conversations = [json.loads(line)["messages"] for line in rows.read_text().splitlines()]
    return encode_rows(tokenizer, conversations, 128).rows


async def until_checkpoint(job: TrainJob) -> None:
    await soon(lambda: (partial(job) / "checkpoint.pt").exists())


def is_running(job: TrainJob) -> bool:
    """A training process holds the lock of its folder for as long as it lives."""
    with (partial(job) / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def weights(folder: Path) -> dict[str, Any]:
    loaded, _ = training_job.load_model(folder)
    return dict(loaded.state_dict())


def test_a_token_that_is_not_trained_on_has_no_gradient(
    tokenizer: Any, encoded: list[Encoded]
) -> None:
    model, seen = tiny(tokenizer), []
    head = model.get_output_embeddings()

    def keep(_: Any, args: tuple[Any, ...]) -> None:
        args[0].retain_grad()
        seen.append(args[0])

    head.register_forward_pre_hook(keep)
    batch = encoded[:6]
    training_job.batch_loss(model, batch, 0.0).backward()
    for row, gradient in zip(batch, seen[0].grad, strict=True):
        touched = gradient.abs().sum(-1) > 0
        carries = [label != IGNORED for label in row.labels[1:]]
        assert touched.tolist() == carries + [False] * (len(touched) - len(carries))


def test_the_loss_is_that_of_transformers(tokenizer: Any, encoded: list[Encoded]) -> None:
    model, batch = tiny(tokenizer), encoded[:5]
    with torch.no_grad():
        ours = training_job.batch_loss(model, batch, 0.0).item()
        theirs = [
            model(
                input_ids=torch.tensor([row.input_ids]), labels=torch.tensor([row.labels])
            ).loss.item()
            for row in batch
        ]
    counts = [row.trained for row in batch]
    mean = sum(a * b for a, b in zip(theirs, counts, strict=True)) / sum(counts)
    assert ours == pytest.approx(mean, rel=1e-5)


def test_what_follows_the_last_trained_token_does_not_matter(
    tokenizer: Any, encoded: list[Encoded]
) -> None:
    model, row = tiny(tokenizer), encoded[0]
    longer = Encoded([*row.input_ids, 9, 8, 7], [*row.labels, IGNORED, IGNORED, IGNORED])
    with torch.no_grad():
        losses = [training_job.batch_loss(model, [r], 0.0).item() for r in (row, longer)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_context_counts_with_its_weight(tokenizer: Any, encoded: list[Encoded]) -> None:
    model, row = tiny(tokenizer), encoded[0]
    every = Encoded(row.input_ids, row.input_ids)
    only = Encoded(
        row.input_ids,
        [IGNORED if x != IGNORED else i for x, i in zip(row.labels, row.input_ids, strict=True)],
    )
    with torch.no_grad():
        mixed, trained, context = (
            training_job.batch_loss(model, [r], w).item()
            for r, w in ((row, 0.1), (row, 0.0), (only, 0.0))
        )
    n, m = row.trained, len(every.input_ids) - 1 - row.trained
    assert mixed == pytest.approx((n * trained + 0.1 * m * context) / (n + 0.1 * m), rel=1e-5)


def test_every_row_is_in_one_batch_of_every_epoch_and_budgets_hold() -> None:
    lengths = [random.Random(i).randint(5, 90) for i in range(400)] + [900]
    plan = plan_batches(lengths, tokens=512, epochs=2, seed=3)
    assert sorted(row for batch in plan for row in batch) == sorted([*range(401)] * 2)
    assert all(
        len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 512 for batch in plan
    )
    assert plan == plan_batches(lengths, tokens=512, epochs=2, seed=3)
    assert plan != plan_batches(lengths, tokens=512, epochs=2, seed=4)


def test_the_learning_rate_rises_and_falls_to_nothing() -> None:
    rates = [training_job.schedule(step, 100, 0.1) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * i for i in range(1, 11)])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.001


def test_only_hidden_matrices_are_for_muon(tokenizer: Any) -> None:
    model = tiny(tokenizer)
    muon, adam = training_job.make_optimizers(model, "muon", 0.01)
    held = [sum(len(g["params"]) for g in o.param_groups) for o in (muon, adam)]
    assert held == [2 * 7, 1 + 2 * 2 + 1]  # seven matrices a layer; embedding and norms


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_a_checkpoint_holds_all_that_changes(
    name: str, tokenizer: Any, encoded: list[Encoded], tmp_path: Path
) -> None:
    runs = [
        training_job.Run(m, training_job.make_optimizers(m, name, 0.01))
        for m in (tiny(tokenizer), tiny(tokenizer, seed=5))
    ]

    def steps(run: training_job.Run) -> None:
        for start in range(0, 30, 10):
            loss = training_job.batch_loss(run.model, encoded[start : start + 10], 0.0)
            training_job.update(run, loss, 0.5)

    steps(runs[0])
    runs[0].save(tmp_path / "checkpoint.pt")
    runs[1].load(tmp_path / "checkpoint.pt")
    for run in runs:
        steps(run)
    assert runs[0].losses == runs[1].losses
    assert runs[1].step == 6
    for one, other in zip(*(run.model.parameters() for run in runs), strict=True):
        assert torch.equal(one, other)


def test_files_are_drawn_whole_or_by_number(model: Path, rows: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text('{"n": 1}\n{"n": 2}\n{"n": 3}\n')
    sources = (Source(path=few), Source(path=few, rows=2), Source(path=few, rows=7))
    drawn = draw(job_of(model, rows, tmp_path / "out").model_copy(update={"sources": sources}))
    assert len(drawn) == 3 + 2 + 7
    assert len(set(drawn[3:5])) == 2
    assert min(drawn[5:].count(line) for line in drawn[:3]) == 2


@pytest.fixture(scope="module")
def whole(model: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of the long job, run without interruption in this process."""
    torch.set_num_threads(1)
    job = long_job(model, rows, tmp_path_factory.mktemp("whole") / "out")
    assert prepare(job) is None
    training_job.run(job)
    return job.out


async def test_a_job_leaves_a_model_its_report_and_its_curve(
    model: Path, rows: Path, tmp_path: Path
) -> None:
    seen: list[TrainingProgress] = []
    job = job_of(model, rows, tmp_path / "out")
    report = await LocalTrainer(seen.append).fine_tune(job)
    assert (report.rows, report.too_long, report.untrained) == (300, 0, 0)
    assert seen[-1].step == seen[-1].of == report.steps
    curve = [json.loads(line) for line in (job.out / "loss.jsonl").read_text().splitlines()]
    assert [point["step"] for point in curve] == list(range(1, report.steps + 1))
    assert report.first_loss is not None and report.last_loss is not None
    assert report.last_loss < 0.8 * report.first_loss
    assert weights(job.out).keys() == weights(model).keys()
    assert not partial(job).exists()

    again = await LocalTrainer(seen.clear).fine_tune(job)  # type: ignore[arg-type]
    assert again == report
    assert seen, "a finished job is not run again"
    other = job.model_copy(update={"seed": 2})
    with pytest.raises(TrainerError, match="another job"):
        await LocalTrainer().fine_tune(other)


async def test_a_killed_job_goes_on_and_ends_as_if_it_had_not_been(
    model: Path, rows: Path, tmp_path: Path, whole: Path
) -> None:
    job = long_job(model, rows, tmp_path / "out")
    prepare(job)
    command = [sys.executable, "-m", "agent_r.training.job", partial(job) / "job.json"]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    await until_checkpoint(job)
    child.kill()
    child.wait()
    assert not job.out.exists()

    report = await LocalTrainer().fine_tune(job)
    assert 0 < report.resumed_at < report.steps
    assert (job.out / "loss.jsonl").read_text() == (whole / "loss.jsonl").read_text()
    resumed = weights(job.out)
    assert all(torch.equal(value, resumed[name]) for name, value in weights(whole).items())


async def test_a_job_ends_with_its_parent_and_goes_on_under_another(
    model: Path, rows: Path, tmp_path: Path
) -> None:
    job = long_job(model, rows, tmp_path / "out")
    script = (
        "import asyncio, sys; from agent_r.training.backends import *; "
        "asyncio.run(LocalTrainer().fine_tune(TrainJob.model_validate_json(sys.argv[1])))"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, job.model_dump_json()])
    await until_checkpoint(job)
    parent.kill()
    parent.wait()
    await soon(lambda: not is_running(job))
    assert not job.out.exists()

    report = await LocalTrainer().fine_tune(job)
    assert 0 < report.resumed_at < report.steps


async def test_a_cancelled_job_leaves_no_process(model: Path, rows: Path, tmp_path: Path) -> None:
    job = long_job(model, rows, tmp_path / "out")
    running = asyncio.create_task(LocalTrainer().fine_tune(job))
    await until_checkpoint(job)
    assert is_running(job)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not is_running(job)
    with pytest.raises(TrainerError, match=r"another job's work: delete it"):
        prepare(job.model_copy(update={"seed": 7}))


async def test_a_broken_model_is_one_line(model: Path, rows: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in model.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(TrainerError) as failure:
        await LocalTrainer().fine_tune(job_of(broken, rows, tmp_path / "out"))
    assert "\n" not in str(failure.value)
    assert "model" in str(failure.value)


def test_an_input_that_is_not_there_is_one_line(model: Path, rows: Path, tmp_path: Path) -> None:
    for job in (
        job_of(tmp_path / "none", rows, tmp_path / "out"),
        job_of(model, tmp_path / "none.jsonl", tmp_path / "out"),
    ):
        with pytest.raises(TrainerError, match="none"):
            prepare(job)


def test_rows_without_a_trained_token_are_no_job(model: Path, tmp_path: Path) -> None:
    empty = tmp_path / "rows.jsonl"
    empty.write_text('{"messages": [{"role": "user", "content": "hi", "train": false}]}\n')
    job = job_of(model, empty, tmp_path / "out")
    prepare(job)
    with pytest.raises(TrainerError, match="no row can be trained on"):
        training_job.run(job)


COPY = "import shutil, sys; shutil.copytree(sys.argv[2], sys.argv[3]); open(sys.argv[1]).close()"


async def test_a_command_is_filled_in_and_run_once(model: Path, rows: Path, tmp_path: Path) -> None:
    script = tmp_path / "my train.py"
    script.write_text(COPY)
    command = f"'{sys.executable}' '{script}' {{dataset}} {{model}} {{out}}"
    job = job_of(model, rows, tmp_path / "out", config={"backend": "command", "command": command})
    report = await CommandTrainer().fine_tune(job)
    assert report.rows == 300
    assert (job.out / "config.json").is_file()
    script.write_text("raise SystemExit('not twice')")
    assert await CommandTrainer().fine_tune(job) == report


async def test_a_command_may_know_its_model_by_a_name(rows: Path, tmp_path: Path) -> None:
    script = "import pathlib, sys; p = pathlib.Path(sys.argv[2]); p.mkdir(); "
    script += "(p / 'config.json').write_text(sys.argv[1])"
    command = f'{sys.executable} -c "{script}" {{model}} {{out}}'
    config = {"backend": "command", "command": command}
    job = job_of(Path("qwen"), rows, tmp_path / "out", config=config)
    await CommandTrainer().fine_tune(job)
    assert (job.out / "config.json").read_text() == "qwen"


async def test_a_command_that_fails_says_its_last_line(
    model: Path, rows: Path, tmp_path: Path
) -> None:
    command = f"{sys.executable} -c 'raise ValueError(\"no disk\")'"
    job = job_of(model, rows, tmp_path / "out", config={"backend": "command", "command": command})
    with pytest.raises(TrainerError, match="the training job failed: ValueError: no disk"):
        await CommandTrainer().fine_tune(job)


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


async def test_what_a_command_says_is_kept_beside_its_model_and_shown(
    model: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "sk-very-secret-1")
    shown: list[str] = []
    job = command_job(model, rows, tmp_path / "out", TALKS)
    await CommandTrainer(shown.append).fine_tune(job)
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
        await CommandTrainer().fine_tune(job)
    long = command_job(model, rows, tmp_path / "long", "raise ValueError('y' * 5_000_000)")
    with pytest.raises(TrainerError, match=r"failed: y{400} \(") as caught:
        await CommandTrainer().fine_tune(long)
    assert len(str(caught.value)) < 1000


async def test_a_silent_command_that_fails_says_its_status(
    model: Path, rows: Path, tmp_path: Path
) -> None:
    job = command_job(model, rows, tmp_path / "out", "raise SystemExit(9)")
    with pytest.raises(TrainerError, match="failed: exit status 9"):
        await CommandTrainer().fine_tune(job)


def test_a_jobs_own_words_are_logged_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    now = iter([0.0, 1.0, 2.0, 7.0])
    said = spoken_line("train", every=5.0, clock=lambda: next(now))
    with caplog.at_level("INFO", logger="agent_r.progress"):
        for words in ("first", "second", "third" + "!" * 1000):
            said(words)
    assert caplog.messages[0] == "train: first"
    assert caplog.messages[1].startswith("train: third!")
    assert len(caplog.messages) == 2
    assert len(caplog.messages[1]) < 250


def test_a_value_is_one_word_whatever_it_contains() -> None:
    words = fill_in("t -d {dataset} {out}/x", dataset=Path("a b;c"), model=Path(), out=Path("$o"))
    assert words == ["t", "-d", "a b;c", "$o/x"]


async def test_a_warm_start_makes_a_model_from_rows_alone(rows: Path, tmp_path: Path) -> None:
    recipe = WarmStartRecipe(
        vocab=320, hidden=32, layers=1, heads=2, kv_heads=1, context=128, epochs=1, threads=1
    )
    report = await start_warm(rows, tmp_path / "out", seed=0, recipe=recipe)
    assert report.last_loss is not None and report.first_loss is not None
    assert report.last_loss < report.first_loss
    loaded, tokenizer = training_job.load_model(tmp_path / "out")
    assert loaded.config.eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
