"""Lay a comparison out: how two actors differ, on which tasks, and what each has cost."""

from __future__ import annotations

from pathlib import Path

from agent_r.evaluation.comparison import Comparison
from agent_r.evaluation.evaluate import Measurement
from agent_r.evaluation.score_tables import Table

MOST_TASKS = 12  # that are named, those of the largest difference


def who(compared: Comparison, first: Path, last: Path) -> list[str]:
    """Who is compared, and on what."""
    times = f" × {compared.attempts} attempts" if compared.attempts > 1 else ""
    lines = [
        f"first  {compared.first}  {first}",
        f"last   {compared.last}  {last}",
        f"on the same {compared.tasks} tasks{times}",
    ]
    if compared.left_out:
        lines.append(f"{compared.left_out} tasks are left out: one of both could not play them all")
    return lines


def gain_tables(compared: Comparison) -> list[Table]:
    """The rates side by side, and the tasks on which they differ most."""
    rows = [
        [
            name,
            f"{100 * gain.first:.0f} %",
            f"{100 * gain.last:.0f} %",
            f"{100 * gain.gain:+.0f} [{100 * gain.low:+.0f}, {100 * gain.high:+.0f}]",
            f"{gain.wins} · {gain.losses} · {gain.ties}",
            f"{gain.p:.2g}",
        ]
        for name, gain in compared.gains.items()
    ]
    headings = ["", "first", "last", "difference [95 %]", "tasks won · lost · tied", "p"]
    found = [Table("Last against first, in points", headings, rows)]
    moved = sorted(compared.by_task.items(), key=lambda one: (-abs(one[1][1] - one[1][0]), one[0]))
    if moved:
        more = f" {MOST_TASKS} of {len(moved)}" if len(moved) > MOST_TASKS else ""
        named = [
            [task, *(f"{won} of {compared.attempts}" for won in both)]
            for task, both in moved[:MOST_TASKS]
        ]
        found.append(Table(f"Where they differ{more}", ["task", "first", "last"], named))
    return found


def costs_beside(first: Measurement, last: Measurement) -> list[str]:
    """Calls and tokens an attempt, of both."""
    lines = []
    for name, measured in (("first", first), ("last", last)):
        played = sum(len(score.played) for score in measured.scores)
        costs = [score.cost for score in measured.scores]
        calls, prompt, sampled = (
            sum(getattr(cost, part) for cost in costs) / max(played, 1)
            for part in ("calls", "prompt_tokens", "completion_tokens")
        )
        lines.append(
            f"{name}: {calls:.1f} calls, {prompt:,.0f} prompt and {sampled:,.0f} sampled tokens an "
            "attempt"
        )
    return lines
