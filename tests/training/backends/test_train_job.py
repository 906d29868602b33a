"""Facts about what a job is made of, before anything runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_r.errors import TrainerError
from agent_r.training.backends.train_job import Source, draw, prepare
from tests.support.tiny_job import job_of


def test_files_are_drawn_whole_or_by_number(model: Path, rows: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text('{"n": 1}\n{"n": 2}\n{"n": 3}\n')
    sources = (Source(path=few), Source(path=few, rows=2), Source(path=few, rows=7))
    drawn = draw(job_of(model, rows, tmp_path / "out").model_copy(update={"sources": sources}))
    assert len(drawn) == 3 + 2 + 7
    assert len(set(drawn[3:5])) == 2
    assert min(drawn[5:].count(line) for line in drawn[:3]) == 2


def test_an_input_that_is_not_there_is_one_line(model: Path, rows: Path, tmp_path: Path) -> None:
    for job in (
        job_of(tmp_path / "none", rows, tmp_path / "out"),
        job_of(model, tmp_path / "none.jsonl", tmp_path / "out"),
    ):
        with pytest.raises(TrainerError, match="none"):
            prepare(job)
