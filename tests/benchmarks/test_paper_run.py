"""The experiment, very small and real: two arms beside the start, one iteration, four trees."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.paper.__main__ import main
from benchmarks.paper.results import all_of

pytest.importorskip("torch")
pytest.importorskip("transformers")

CONFIG = Path(__file__).parents[2] / "configs" / "paper-experiment.toml"


@pytest.mark.slow
def test_an_arm_explores_is_trained_and_is_measured_as_the_start_was(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["--config", str(CONFIG), "--arms", "ours", "both", "--seeds", "0"]
    words += ["--iterations", "1", "--trees", "4", "--tasks", "4", "--tokens", "500"]
    words += ["--set", "train.epochs=1", "--out", str(tmp_path / "results")]
    assert main(words) == 0, capfd.readouterr().err
    assert "3/3" in capfd.readouterr().out

    results = all_of(tmp_path / "results")
    assert [(r.arm, r.iteration) for r in results] == [("both", 1), ("ours", 1), ("start", 0)]
    for tested in ("rewards", "recovery", "kinds"):
        assert len({tuple(getattr(result, tested)) for result in results}) == 1
    both, ours, start = results
    assert len({both.actor, ours.actor, start.actor}) == 3
    assert "preference" in both.training.tokens
    for arm in (both, ours):
        assert sum(arm.training.tokens.values()) == pytest.approx(1000, rel=0.1)
        assert arm.training.counts["trees"] == 4

    shutil.rmtree(tmp_path / "work")  # results are enough
    assert main(words) == 0
    assert "3 of 3 results are there" in capfd.readouterr().out
    assert not list((tmp_path / "work").glob("seed-*"))
