"""Draw a run: success, recovery and the share kept after a mistake, by iteration."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent_r.algorithm import metrics
from agent_r.evaluation.report import RunReport

_BESIDE = 0.06  # iterations by which the control's point lies beside the last actor's


def _draw(
    axes: Any, points: Sequence[tuple[float, metrics.Rate]], name: str, colour: str, **style: Any
) -> None:
    """Rates with their intervals, in percent."""
    axes.errorbar(
        [at for at, _ in points],
        [100 * rate.rate for _, rate in points],
        yerr=[
            [100 * (rate.rate - rate.low) for _, rate in points],
            [100 * (rate.high - rate.rate) for _, rate in points],
        ],
        label=name,
        color=colour,
        capsize=4,
        **style,
    )


def draw_curve(report: RunReport, path: Path) -> bool:
    """Success, recovery and share kept by iteration; False where matplotlib is missing."""
    if importlib.util.find_spec("matplotlib") is None:
        return False
    from matplotlib.figure import Figure

    measured = [report.start, *(it.measured for it in report.iterations)]
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    unknown = metrics.wilson(0, 0)
    kept = [m.robustness.kept.get(1, unknown) for m in measured]
    control = report.control
    for name, rates, colour, of_control in (
        (
            "success on held-out tasks",
            [m.success for m in measured],
            "#1b6ca8",
            control and control.success,
        ),
        (
            "recovery from the first actor's failures",
            [m.recovery for m in measured],
            "#c8553d",
            None,
        ),
        (
            "share of success kept after one mistake",
            kept,
            "#4a7c3a",
            control and control.robustness.kept.get(1, unknown),
        ),
    ):
        points = [(i, r) for i, r in enumerate(rates) if r.n]
        if points:
            _draw(axes, points, name, colour, marker="o")
        if points and of_control and of_control.n:
            ends = [points[0], (len(measured) - 1 + _BESIDE, of_control)]
            _draw(axes, ends, f"{name.partition(' ')[0]}: control", colour, marker="s", ls=":")
    axes.set_xticks(range(len(measured)), ["start", *map(str, range(1, len(measured)))])
    axes.set_xlabel("iteration of Agent-R")
    axes.set_ylabel("%, 95 % interval")
    drawn = [*kept, control.robustness.kept.get(1, unknown)] if control else kept
    axes.set_ylim(0, max(100.0, *(100 * rate.high for rate in drawn)))
    axes.grid(axis="y", alpha=0.3)
    axes.set_title(f"{report.dataset}, seed {report.seed}", loc="left")
    figure.legend(loc="outside lower center", ncols=2, fontsize="small", frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": ""})
    return True
