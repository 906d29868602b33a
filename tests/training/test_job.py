"""Facts about the training loop; the models are tiny."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.support.tiny_job import job_of, tiny

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from agent_r.errors import TrainerError
from agent_r.training import job as training_job
from agent_r.training.backends.train_job import prepare
from agent_r.training.encoding import IGNORED, Encoded, encode_rows, plan_batches
from agent_r.training.progress_lines import spoken_line
from agent_r.training.warm_start import WarmStartRecipe
from agent_r.training.warm_start import warm_start as start_warm


@pytest.fixture(scope="module")
def encoded(rows: Path, tokenizer: Any) -> list[Encoded]:
    conversations = [json.loads(line)["messages"] for line in rows.read_text().splitlines()]
    return encode_rows(tokenizer, conversations, 128).rows


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


def test_rows_without_a_trained_token_are_no_job(model: Path, tmp_path: Path) -> None:
    empty = tmp_path / "rows.jsonl"
    empty.write_text('{"messages": [{"role": "user", "content": "hi", "train": false}]}\n')
    job = job_of(model, empty, tmp_path / "out")
    prepare(job)
    with pytest.raises(TrainerError, match="no row can be trained on"):
        training_job.run(job)


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


async def test_a_warm_start_makes_a_model_from_rows_alone(rows: Path, tmp_path: Path) -> None:
    recipe = WarmStartRecipe(
        vocab=320, hidden=32, layers=1, heads=2, kv_heads=1, context=128, epochs=1, threads=1
    )
    report = await start_warm(rows, tmp_path / "out", seed=0, recipe=recipe)
    assert report.last_loss is not None and report.first_loss is not None
    assert report.last_loss < report.first_loss
    loaded, tokenizer = training_job.load_model(tmp_path / "out")
    assert loaded.config.eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.log"]
