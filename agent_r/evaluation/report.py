"""Report a run of all iterations: one JSON file, one table, one picture."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from agent_r.algorithm import metrics
from agent_r.dataset.build import BuildResult
from agent_r.evaluation.evaluate import Measurement
from agent_r.evaluation.injection import MISTAKES
from agent_r.evaluation.robustness import KeptGain, kept_gains, percent
from agent_r.hub.publish import Published
from agent_r.settings import Config


class IterationReport(BaseModel):
    """One iteration: its data, its training, and the actor after it."""

    iteration: int
    built: BuildResult
    published: Published | None = None
    collect_usage: dict[str, int]
    collect_seconds: float
    training_rows: dict[str, int]
    loss_first: float | None
    loss_last: float | None
    train_seconds: float
    model: str
    measured: Measurement


class RunReport(BaseModel):
    """The actor before, and after each iteration."""

    dataset: str
    seed: int
    start: Measurement
    iterations: list[IterationReport]
    gain: float  # of success on the same held-out tasks, last actor against first
    gain_half_width: float  # of its 95 % interval (paired)
    kept_gains: dict[int, KeptGain] = {}  # of the share kept after so many injected mistakes
    seconds: float
    config: dict[str, Any]
    new: bool = Field(True, exclude=True)  # something was made that was not there before

    @classmethod
    def of(
        cls, config: Config, start: Measurement, iterations: list[IterationReport], seconds: float
    ) -> RunReport:
        """Compare the last actor with the first on the same tasks."""
        last = iterations[-1].measured
        both = sorted(start.rewards.keys() & last.rewards.keys())
        before = [start.rewards[task] for task in both]
        after = [last.rewards[task] for task in both]
        gain, half = metrics.paired_gain(before, after)
        return cls(
            dataset=config.dataset.name,
            seed=config.seed,
            start=start,
            iterations=iterations,
            gain=gain,
            gain_half_width=half,
            kept_gains=kept_gains(start.robustness, last.robustness),
            seconds=seconds,
            config=config.model_dump(mode="json"),
        )


def newest_model(folder: Path) -> str:
    """The model that the last report in a dataset's folder ends with; "" where there is none."""
    try:
        report = RunReport.model_validate_json((folder / "report.json").read_bytes())
    except (OSError, ValidationError):
        return ""
    return report.iterations[-1].model


HEADINGS = (
    "actor",
    "success [95 %]",
    "recovery [95 %]",
    "kept after 1 mistake",
    "after 3",
    "loops",
    "length",
    "trees",
    "verified",
    "dropped",
    "tokens",
)


def table(report: RunReport) -> list[list[str]]:
    """Rows for `HEADINGS`: the actor at the start, then after each iteration.

    `length` is the revision length: steps of a bad trajectory up to its first error (paper).
    """
    rows = [["start", *_measured(report.start), "", "", "", "", ""]]
    for it in report.iterations:
        spent = it.collect_usage
        rows.append(
            [
                f"iteration {it.iteration}",
                *_measured(it.measured),
                f"{it.built.revision_length:.1f}",
                str(it.built.counts.get("trees", 0)),
                str(it.built.counts.get("verified revisions", 0)),
                str(sum(it.built.drops.values())),
                f"{(spent['prompt_tokens'] + spent['completion_tokens']) / 1e6:.2f} M",
            ]
        )
    return rows


def notes(report: RunReport) -> list[str]:
    """What the table has no room for: what its rates are of, and why revisions were dropped."""
    lines = [
        f"success of {report.start.success.n} held-out tasks; "
        f"recovery of {report.start.recovery.n} failures of the first actor, continued"
    ]
    lines += report.start.notes()
    lines += [
        f"share kept after {count} injected: {100 * gain.gain:+.0f} points, last actor against "
        f"first [{100 * gain.low:+.0f}, {100 * gain.high:+.0f}] (95 %, the same {gain.n} tasks)"
        for count, gain in report.kept_gains.items()
    ]
    for it in report.iterations:
        lines += it.measured.notes()
        why = ", ".join(f"{n} {reason}" for reason, n in it.built.drops.items()) or "nothing"
        lines.append(f"iteration {it.iteration} dropped: {why}")
    return lines


def _measured(m: Measurement) -> list[str]:
    recovery = percent(m.recovery) if m.recovery.n else "no failure"
    shares = (m.robustness.kept.get(count) for count in MISTAKES if count)
    kept = [percent(share) if share and share.n else "" for share in shares]
    return [percent(m.success), recovery, *kept, f"{100 * m.loops:.0f} %"]


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
    for name, rates, colour in (
        ("success on held-out tasks", [m.success for m in measured], "#1b6ca8"),
        ("recovery from the first actor's failures", [m.recovery for m in measured], "#c8553d"),
        ("share of success kept after one mistake", kept, "#4a7c3a"),
    ):
        points = [(i, r) for i, r in enumerate(rates) if r.n]
        if not points:
            continue
        axes.errorbar(
            [i for i, _ in points],
            [100 * r.rate for _, r in points],
            yerr=[
                [100 * (r.rate - r.low) for _, r in points],
                [100 * (r.high - r.rate) for _, r in points],
            ],
            label=name,
            color=colour,
            marker="o",
            capsize=4,
        )
    axes.set_xticks(range(len(measured)), ["start", *map(str, range(1, len(measured)))])
    axes.set_xlabel("iteration of Agent-R")
    axes.set_ylabel("%, 95 % interval")
    axes.set_ylim(0, max(100.0, *(100 * rate.high for rate in kept)))
    axes.grid(axis="y", alpha=0.3)
    axes.set_title(f"{report.dataset}, seed {report.seed}", loc="left")
    figure.legend(loc="outside lower center", ncols=2, fontsize="small", frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": ""})
    return True
