"""Two actors on the same tasks: who wins where, how sure that is, and what cannot be compared."""

from __future__ import annotations

import json
from itertools import product
from math import comb
from pathlib import Path

import pytest

from agent_r.algorithm.metrics import wilson
from agent_r.errors import DatasetError
from agent_r.evaluation.attempts import TaskScore
from agent_r.evaluation.compared_tables import costs_beside, gain_tables, who
from agent_r.evaluation.comparison import compare, permutation_test, read_measurement
from agent_r.evaluation.evaluate import Measurement
from flows.cli.main import main


def measurement(actor: str, *rewards: str, **conditions: str) -> Measurement:
    """A word of 1, 0 and `-` (not played) for each task, a letter an attempt."""
    scores = [
        TaskScore(
            task=f"task {at}",
            world="house",
            rewards=[None if letter == "-" else float(letter) for letter in word],
        )
        for at, word in enumerate(rewards)
    ]
    none = wilson(0, 0)
    return Measurement(
        actor=actor, success=none, mean_reward=0, loops=0, mean_steps=0, recovery=none,
        recovery_loops=0, rewards={"task 0": 1.0}, openings=[], scores=scores,
        conditions={"measure.max_steps": "20"} | conditions,
    )  # fmt: skip


@pytest.mark.parametrize("gains", [[3, 3, -1, 2, 0, -4], [1, 1, 1, -1], [2], [5, -5], [4] * 9])
def test_p_is_the_share_of_all_sign_changes_that_are_as_uneven(gains: list[int]) -> None:
    sums = [
        abs(sum(sign * gain for sign, gain in zip(signs, gains, strict=True)))
        for signs in product((-1, 1), repeat=len(gains))
    ]
    as_far = sum(one >= abs(sum(gains)) for one in sums) / len(sums)
    assert permutation_test(gains) == pytest.approx(as_far)


def test_with_one_attempt_p_is_mcnemars_exact_one() -> None:
    for wins, losses in ((8, 1), (5, 5), (0, 3), (40, 22)):
        n, fewer = wins + losses, min(wins, losses)
        tail = sum(comb(n, i) for i in range(fewer + 1)) / 2**n
        assert permutation_test([1] * wins + [-1] * losses) == pytest.approx(min(1, 2 * tail))


def test_wins_losses_and_gains_are_of_tasks() -> None:
    first = measurement("a", "1100", "0000", "1111", "1000")
    last = measurement("b", "1111", "0100", "1111", "0000")
    compared = compare(first, last)
    success, at, whole = compared.gains.values()
    assert list(compared.gains) == ["success", "pass@4", "pass^4"]
    assert (success.wins, success.losses, success.ties) == (2, 1, 1)
    assert success.gain == pytest.approx((0.5 + 0.25 + 0 - 0.25) / 4)
    assert success.low < success.gain < success.high
    assert (at.first, at.last, at.wins, at.losses) == (0.75, 0.75, 1, 1)
    assert (whole.first, whole.last, whole.p) == (0.25, 0.5, 1.0)
    assert compared.by_task["house/task 0"] == (2, 4)
    text = [*who(compared, Path("a"), Path("b")), *costs_beside(first, last)]
    assert "on the same 4 tasks × 4 attempts" in text
    rates, moved = gain_tables(compared)
    assert rates.rows[0][1:3] == ["44 %", "56 %"]
    assert [row[0] for row in moved.rows] == ["house/task 0", "house/task 1", "house/task 3"]


def test_a_model_is_no_better_than_itself_and_that_is_not_quite_certain() -> None:
    one = measurement("a", *["10"] * 5)
    gain = compare(one, one).gains["success"]
    assert (gain.gain, gain.wins, gain.losses, gain.ties, gain.p) == (0, 0, 0, 5, 1.0)
    assert gain.low < 0 < gain.high


def test_as_many_attempts_are_compared_as_both_have_had_and_what_was_not_played_is_left_out() -> (
    None
):
    compared = compare(measurement("a", "11", "0-", "00"), measurement("b", "1100", "1111", "0111"))
    assert (compared.tasks, compared.attempts, compared.left_out) == (2, 2, 1)
    assert "1 tasks are left out" in who(compared, Path("a"), Path("b"))[-1]


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (measurement("b", "1", "1"), "measure.tasks is 3 and 2"),
        (
            measurement("b", "1", "1", "1", **{"measure.max_steps": "30"}),
            "measure.max_steps is 20 and 30",
        ),
        (
            measurement("b", "1", "1", "1", **{"the world shop": "version 2"}),
            "the world shop is not there and version 2",
        ),
    ],
)
def test_what_was_measured_otherwise_is_refused_by_what_differs(
    last: Measurement, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, measured in (("a.json", measurement("a", "1", "0", "0")), ("b.json", last)):
        (tmp_path / name).write_text(measured.model_dump_json())
    assert main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert shown.err.endswith(f"cannot be compared: {why}\n")


def test_other_tasks_are_named() -> None:
    last = measurement("b", "1", "1")
    last.scores[1].task = "another"
    with pytest.raises(DatasetError, match="a task is 'house/task 1' and 'house/another'"):
        compare(measurement("a", "1", "1"), last)


def test_the_command_takes_files_folders_and_what_json_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, work = tmp_path / "a.json", tmp_path / "demo" / "work"
    printed = {"file": "x", "summary": {}} | measurement("a", "1", "0").model_dump(mode="json")
    one.write_text(json.dumps(printed))
    work.mkdir(parents=True)
    (work / "measure-0-b.json").write_text(measurement("b", "1", "1").model_dump_json())
    for folder in (work, work.parent):
        assert main(["compare", str(one), str(folder)]) == 0
        assert "+50 [" in capsys.readouterr().out
        assert main(["compare", str(one), str(folder), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["gains"]["success"]["wins"] == 1
    (work / "measure-1-c.json").write_text("{}")
    with pytest.raises(DatasetError, match="name one file"):
        read_measurement(work)
    for wrong in (tmp_path, tmp_path / "none", work / "measure-1-c.json"):
        assert main(["compare", str(one), str(wrong)]) == 2
        assert capsys.readouterr().err.count("\n") == 1
