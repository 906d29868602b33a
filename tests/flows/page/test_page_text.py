"""What the artifacts of a run say of it while it runs, and at its end."""

from __future__ import annotations

from uuid import uuid4

import pytest

from agent_r.collection.progress import Progress
from agent_r.diagnostics.account import Account
from flows.page.run_names import by_chance
from flows.page.run_page import MOST_WARNINGS, current_stage, opened, show_account


@pytest.mark.parametrize(
    ("name", "drawn"),
    [("hopeful-goat", True), ("nightly-run", False), ("my-test", False), ("goat", False)],
)
def test_a_drawn_name_is_two_words_of_prefects_own(name: str, drawn: bool) -> None:
    assert by_chance(name) is drawn


def test_a_stage_that_runs_shows_its_count_and_one_that_is_over_what_came_of_it() -> None:
    seconds = iter([0.0, 10.0, 10.0, 10.0, 10.0, 10.0])
    with opened(uuid4()) as (page, _):
        current_stage().name = "self-train demo"
        with opened(uuid4()):
            current_stage().name, current_stage().line = "measure demo, start", "success 0.5 of 4"
        with opened(uuid4()):
            current_stage().name = "collect demo, iteration 1"
            Progress("iteration 1", 40, "trees", clock=lambda: next(seconds), every=60,
                     details=lambda: ["8/8 slots", "0.01 spent"]).done = 20  # fmt: skip
            assert page.progress().splitlines() == [
                "- **measure demo, start**, done: success 0.5 of 4",
                "- **collect demo, iteration 1** ▓▓▓▓▓▓░░░░░░ 50 %: "
                "iteration 1: 20/40 trees · 2.0/s · 10 s left · 8/8 slots · 0.01 spent",
            ]
            assert page.newest.startswith("iteration 1: 20/40 trees")
    assert page.shown[-1].text() == "- **self-train demo**, done"


def test_a_stage_that_fails_or_is_stopped_says_so() -> None:
    with opened(uuid4()) as (page, stage):
        stage.name = "collect demo"
        stage.fail("no answer")
    assert page.progress() == "- **collect demo**, failed: no answer"
    for error, end in ((KeyError, "failed"), (KeyboardInterrupt, "stopped")):
        with pytest.raises(error), opened(uuid4()) as (page, stage):
            stage.name = "grow demo"
            raise error
        assert page.progress() == f"- **grow demo**, {end}"


def test_warnings_stand_below_each_once_and_not_without_end() -> None:
    with opened(uuid4()) as (page, stage):
        stage.name = "grow demo"
        page.warnings.update(["the budget ends here", *map(str, range(20)), "the budget ends here"])
    text = page.progress()
    assert text.count("- **!** the budget ends here") == 1
    assert text.endswith(f"- {21 - MOST_WARNINGS} warnings more are in the log")


def test_the_account_is_as_it_is_when_somebody_looks() -> None:
    with opened(uuid4()) as (page, _):
        assert page.rows()[0] == []
        counted = Account(trees={"with a pair": 3}, pairs={"revisions": 3, "same_error": 1})
        show_account(lambda: counted, "iteration 1, by now")
    rows, of = page.rows()
    assert of == "iteration 1, by now: 3 trees"
    assert rows[2] == {
        "of all": "pairs", "so many were": "same error", "how many": "1", "share": "25%"
    }  # fmt: skip
