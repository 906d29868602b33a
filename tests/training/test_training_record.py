"""Facts about what a report and a page say of a training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent_r.training.backends.train_job import TrainReport
from agent_r.training.training_record import MOST_POINTS, TrainingRecord
from tests.support.tiny_job import job_of


def test_a_record_has_the_curve_the_last_words_and_the_cost(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "sk-very-secret-1")
    job = job_of(Path("base"), rows, tmp_path / "out", config={"backend": "command",
                                                               "command": "x"})  # fmt: skip
    job.out.mkdir()
    progress = [json.dumps({"step": n, "of": 5000, "loss": 1 / n}) for n in range(1, 5001)]
    (job.out / "loss.jsonl").write_text("\n".join(progress) + "\n")
    words = [f"word {n}" for n in range(50)]
    log = [*progress, *words, "with sk-very-secret-1", *progress[-9:]]
    (tmp_path / "out.log").write_text("\n".join(log))
    report = TrainReport(digest="d", rows=1, seconds=61.0, steps=5000, job="j-1", money=1.5)
    record = TrainingRecord.of(job, report)
    assert len(record.losses) == MOST_POINTS
    assert (record.losses[0], record.losses[-1]) == ((1, 1.0), (5000, 1 / 5000))
    assert record.log == [*words[-19:], "with ***"]
    assert record.line() == "5000 steps, loss 0.057 → 0.000, 61 s, $1.50 (command j-1)"


def test_a_record_of_a_model_of_before_says_what_is_known(rows: Path, tmp_path: Path) -> None:
    report = TrainReport.model_validate({"digest": "d", "rows": 3, "seconds": 2.0})
    record = TrainingRecord.of(job_of(tmp_path / "base", rows, tmp_path / "out"), report)
    assert (record.losses, record.log, record.money) == ([], [], None)
    assert record.line() == "0 steps, 2 s (local)"
