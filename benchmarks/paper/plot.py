"""The experiment's picture: reward, and what is kept after a mistake, by iteration and arm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.paper.arms import OURS, START
from benchmarks.paper.bootstrap import Estimate
from benchmarks.paper.panel import Panel, reward

# Okabe and Ito's colours, which also the colour-blind tell apart; ours is drawn heavier.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#555555")
_MARKS = "osv^Dxp"
_APART = 0.05  # of an iteration: intervals of several arms lie beside each other


def draw(panel: Panel, path: Path) -> None:
    """A PNG; nothing of it depends on when it is drawn."""
    figure = Figure(figsize=(10.0, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    _panel(panel, left, "final reward on held-out tasks", lambda a, i: panel.mean(a, i, reward))
    _panel(
        panel, right, "share of success kept after one mistake", lambda a, i: panel.kept(a, i, 1)
    )
    handles, labels = left.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize="small"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": ""})


def _panel(
    panel: Panel, axes: Axes, title: str, get: Callable[[str, int], Estimate | None]
) -> None:
    arms = [arm for arm in panel.arms if arm != START]
    iterations = range(max(iteration for _, iteration in panel.results) + 1)
    top = 1.0
    for place, arm in enumerate(sorted(arms, key=lambda arm: arm != OURS)):
        known = [(i, e) for i in iterations if (e := get(arm, i)) is not None]
        aside = (place - (len(arms) - 1) / 2) * _APART
        ends = [e.rate_interval for _, e in known]
        values = [e.value for _, e in known]
        top = max([top, *(high for _, high in ends)])
        axes.errorbar(
            [i + aside * (i > 0) for i, _ in known],
            [100 * value for value in values],
            yerr=[
                [100 * (value - low) for value, (low, _) in zip(values, ends, strict=True)],
                [100 * (high - value) for value, (_, high) in zip(values, ends, strict=True)],
            ],
            label=arm,
            color=_COLOURS[place % len(_COLOURS)],
            marker=_MARKS[place % len(_MARKS)],
            linewidth=2.4 if arm == OURS else 1.2,
            markersize=5,
            capsize=2,
            elinewidth=0.9,
        )
    axes.set_title(title, loc="left", fontsize="medium")
    axes.set_xticks(list(iterations), ["start", *map(str, iterations[1:])])
    axes.set_xlabel("iteration")
    axes.set_ylabel("%, 95 % interval")
    axes.set_ylim(0, 100 * top)
    axes.grid(axis="y", alpha=0.3)
