"""The experiment's statistics, on made-up results whose truth is known."""

from __future__ import annotations

import doctest
import math
from pathlib import Path

import numpy as np
import pytest

import benchmarks.paper.holm
from agent_r.errors import StoreError
from benchmarks.paper.bootstrap import Cells, Draws
from benchmarks.paper.holm import holm
from benchmarks.paper.panel import Panel, corrected, led, success
from benchmarks.paper.plot import draw
from benchmarks.paper.results import Result, all_of
from benchmarks.paper.tables import tables

SEEDS, TASKS = 5, 100


def worlds(rng: np.random.Generator, *gains: float) -> list[Cells]:
    """Tables of 0 and 1, one for each arm: tasks are hard or easy for all, seeds good or bad."""
    task = rng.normal(0, 1.5, (1, TASKS))
    return [
        (
            rng.random((SEEDS, TASKS))
            < 1 / (1 + np.exp(-(task + gain + rng.normal(0, 0.1, (SEEDS, 1)))))
        ).astype(float)
        for gain in gains
    ]


def test_a_true_difference_is_found_and_none_is_not() -> None:
    rng, draws = np.random.default_rng(1), Draws(SEEDS, TASKS, resamples=500)
    found = {0.0: 0, 1.0: 0}
    covered = 0
    for gain in found:
        for _ in range(60):
            less, more = worlds(rng, 0.0, gain)
            lead = draws.mean(more) - draws.mean(less)
            found[gain] += lead.p_value < 0.05
            low, high = lead.interval
            covered += gain == 0 and low <= 0 <= high
    assert found[1.0] >= 57
    assert found[0.0] <= 6
    assert covered >= 54


def test_tasks_that_all_seeds_share_do_not_count_as_so_many() -> None:
    """Five seeds that agree on every task know no more of other tasks than one."""
    once = np.array([[1.0] * 50 + [0.0] * 50])
    one, five = (
        Draws(n, 100, resamples=4000).mean(np.repeat(once, n, axis=0)).interval for n in (1, 5)
    )
    assert five == pytest.approx(one, abs=0.02)
    assert five[1] - five[0] == pytest.approx(2 * 1.96 * 0.05, abs=0.03)


def test_seeds_are_resampled_as_well() -> None:
    cells = np.repeat(np.array([[1.0], [0.0]]), 50, axis=1)
    low, high = Draws(2, 50).mean(cells).interval
    assert (low, high) == (0.0, 1.0)


def test_what_is_missing_is_in_no_mean() -> None:
    cells = np.array([[1.0, math.nan], [1.0, 0.0]])
    assert Draws(2, 2).mean(cells).value == pytest.approx(2 / 3)
    share = Draws(2, 2).share(np.array([[1.0, 1.0]] * 2), np.array([[1.0, math.nan], [1.0, 1.0]]))
    assert share.value == 1.0
    assert share.tasks == 2


def test_an_interval_at_zero_is_not_empty() -> None:
    nothing = Draws(3, 40).mean(np.zeros((3, 40)))
    low, high = nothing.rate_interval
    assert low == 0.0
    assert 0.05 < high < 0.15


def test_holm_goes_by_order_and_never_falls() -> None:
    assert doctest.testmod(benchmarks.paper.holm).failed == 0
    assert holm({}) == {}
    adjusted = holm({"c": 0.04, "a": 0.001, "b": 0.03, "d": 0.9})
    assert list(adjusted) == ["c", "a", "b", "d"]
    assert adjusted == pytest.approx({"a": 0.004, "b": 0.09, "c": 0.09, "d": 0.9})


def result(arm: str, seed: int, iteration: int, rows: list[Cells]) -> Result:
    names = [f"task {n}" for n in range(TASKS)]
    whole, *after = [dict(zip(names, map(float, cells[seed]), strict=True)) for cells in rows]
    return Result(
        seed=seed,
        arm=arm,
        iteration=iteration,
        key="k",
        actor=arm,
        rewards=whole,
        recovery={name: whole[name] for name in names[:20]},
        led=dict(zip((0, 1, 3), after, strict=True)),
        kinds={name: ("refused", "silent")[n % 2] for n, name in enumerate(names)},
        loops=0.1,
        recovery_loops=0.2,
        mean_steps=5.0,
        unplayed={},
        seconds=1.0,
    )


@pytest.fixture
def panel() -> Panel:
    rng = np.random.default_rng(0)
    results = []
    start = worlds(rng, 0.0, 0.5, -2.0, -3.0)
    for arm, falls in (("good", -2.0), ("ours", 0.3)):
        rows = worlds(rng, 0.0, 0.5, falls, falls - 0.5)
        results += [result(arm, seed, 1, rows) for seed in range(SEEDS)]
    results += [result("start", seed, 0, start) for seed in range(SEEDS)]
    return Panel.of(results)


def test_what_is_kept_after_a_mistake_is_compared_over_the_same_tasks(panel: Panel) -> None:
    kept = {arm: panel.kept(arm, panel.last, 1) for arm in panel.arms}
    assert kept["ours"] and kept["good"] and kept["start"]
    assert kept["ours"].value > 0.85 > 0.6 > kept["good"].value
    by_hand = panel.mean("good", 1, led(1)), panel.mean("good", 1, led(0))
    assert by_hand[0] and by_hand[1]
    assert kept["good"].value == pytest.approx(by_hand[0].value / by_hand[1].value)
    leads = {arm: panel.kept_lead(arm, 1, 1) for arm in ("start", "good")}
    assert all(p < 0.01 for p in corrected(leads).values())
    low, high = leads["good"].interval if leads["good"] else (0.0, 0.0)
    assert low < kept["ours"].value - kept["good"].value < high
    refused = panel.kept("good", 1, 1, "refused")
    assert refused and refused.tasks == TASKS // 2
    same = panel.lead("good", 1, success)
    assert same and same.p_value > 0.05


def test_the_tables_and_the_picture_show_every_arm(panel: Panel, tmp_path: Path) -> None:
    text = tables(panel)
    assert "Success, the share of full rewards, is the same" in text
    for arm in ("start", "good", "ours"):
        assert f"| {arm} | " in text
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1
    draw(panel, tmp_path / "a.png")
    draw(panel, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_what_is_kept_is_shown_by_the_depth_of_the_task(panel: Panel) -> None:
    names = [f"task {n}" for n in range(TASKS)]
    text = tables(panel, {name: 1 + n % 2 for n, name in enumerate(names)})
    [table] = [
        block for block in text.split("\n\n") if block.startswith("| arm | depth 1 | depth 2 |")
    ]
    shallow = panel.kept("ours", 1, 1, among=set(names[::2]))
    by_hand = [panel.mean("ours", 1, led(count, among=set(names[::2]))) for count in (1, 0)]
    assert shallow and by_hand[0] and by_hand[1]
    assert shallow.tasks == TASKS // 2
    assert shallow.value == pytest.approx(by_hand[0].value / by_hand[1].value)
    assert f"| ours | {100 * shallow.value:.1f} [" in table
    assert "depth 1" not in tables(panel)


def test_any_arm_can_be_compared_with_the_others(panel: Panel) -> None:
    all_ = [one for by_seed in panel.results.values() for one in by_seed.values()]
    turned = Panel.of(all_, "good")
    there, back = panel.kept_lead("good", 1, 1), turned.kept_lead("ours", 1, 1)
    assert there and back and back.value == pytest.approx(-there.value)
    assert "### Good less each arm after iteration 1" in tables(turned)


def test_half_an_experiment_has_its_tables_too(panel: Panel) -> None:
    some = Panel.of(
        result
        for by_seed in panel.results.values()
        for seed, result in by_seed.items()
        if seed < 2 or result.arm == "start"
    )
    assert "| good | " in tables(some)
    assert tables(Panel.of([])) == ""
    alone = Panel.of(result for key in [("start", 0)] for result in panel.results[key].values())
    assert "| start | " in tables(alone)


def test_a_file_that_is_no_result_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "seed-0").mkdir()
    (tmp_path / "seed-0" / "ours-1.json").write_text("{}")
    with pytest.raises(StoreError, match="is no result"):
        all_of(tmp_path)
