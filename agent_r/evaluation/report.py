"""Report a run of all iterations: one JSON file, one table."""

from __future__ import annotations

from collections.abc import Mapping
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
from agent_r.training.mixture import Mixture
from agent_r.training.serving.replies import Switched
from agent_r.training.training_record import TrainingRecord


class IterationReport(BaseModel):
    """One iteration: its data, its training, and the actor after it."""

    iteration: int
    built: BuildResult
    published: Published | None = None
    collect_usage: dict[str, int]
    collect_seconds: float
    training_rows: dict[str, int]
    mixture: Mixture = Mixture()
    loss_first: float | None
    loss_last: float | None
    train_seconds: float
    training: TrainingRecord | None = None
    model: str
    served: Switched | None = None  # how the actor that was trained is known to be the one measured
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
    control: Measurement | None = None  # trained as long as the last actor, without errors
    lead: float = 0.0  # of success on the same tasks, last actor against control
    lead_half_width: float = 0.0
    kept_leads: dict[int, KeptGain] = {}  # of the share kept, last actor against control
    seconds: float
    config: dict[str, Any]
    new: bool = Field(True, exclude=True)  # something was made that was not there before

    @classmethod
    def of(
        cls,
        config: Config,
        start: Measurement,
        iterations: list[IterationReport],
        seconds: float,
        control: Measurement | None = None,
    ) -> RunReport:
        """Compare the last actor with the first, and with a control, on the same tasks."""
        last = iterations[-1].measured
        gain, half = _paired(start, last)
        lead, lead_half = _paired(control, last) if control else (0.0, 0.0)
        return cls(
            dataset=config.dataset.name,
            seed=config.seed,
            start=start,
            iterations=iterations,
            gain=gain,
            gain_half_width=half,
            kept_gains=kept_gains(start.robustness, last.robustness),
            control=control,
            lead=lead,
            lead_half_width=lead_half,
            kept_leads=kept_gains(control.robustness, last.robustness) if control else {},
            seconds=seconds,
            config=config.model_dump(mode="json", exclude={"endpoint": {"headers"}}),
        )


def _paired(first: Measurement, last: Measurement) -> tuple[float, float]:
    """Gain of success on the tasks of both, and half of its 95 % interval."""
    both = sorted(first.rewards.keys() & last.rewards.keys())
    return metrics.paired_gain(
        [first.rewards[task] for task in both], [last.rewards[task] for task in both]
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
    if report.control is not None:
        rows.append(["control", *_measured(report.control), "", "", "", "", ""])
    return rows


def notes(report: RunReport) -> list[str]:
    """What the table has no room for: what its rates are of, and why revisions were dropped."""
    lines = [
        f"success of {report.start.success.n} held-out tasks; "
        f"recovery of {report.start.recovery.n} failures of the first actor, continued"
    ]
    lines += report.start.notes()
    lines += _compared(report.kept_gains, "first")
    if report.control is not None:
        lines += _compared(report.kept_leads, "control")
        lines.append(
            f"success: {100 * report.lead:+.0f} ± {100 * report.lead_half_width:.0f} points, last "
            "actor against control, which was trained as long on rows without errors"
        )
    for it in report.iterations:
        if it.mixture.rows:
            lines.append(f"iteration {it.iteration}: {it.mixture.line()}")
        if it.mixture.general is not None:
            lines.append(f"iteration {it.iteration}: {it.mixture.general.line()}")
        lines += it.measured.notes()
        why = ", ".join(f"{n} {reason}" for reason, n in it.built.drops.items()) or "nothing"
        lines.append(f"iteration {it.iteration} dropped: {why}")
        if it.training is not None:
            lines.append(f"iteration {it.iteration} trained: {it.training.line()}")
        if it.served is not None:
            lines += [f"iteration {it.iteration} served: {it.served.line()}", *it.served.doubts()]
    return lines


def _compared(gains: Mapping[int, KeptGain], other: str) -> list[str]:
    return [
        f"share kept after {count} injected: {100 * gain.gain:+.0f} points, last actor against "
        f"{other} [{100 * gain.low:+.0f}, {100 * gain.high:+.0f}] (95 %, the same {gain.n} tasks)"
        for count, gain in gains.items()
    ]


def _measured(m: Measurement) -> list[str]:
    recovery = percent(m.recovery) if m.recovery.n else "no failure"
    shares = (m.robustness.kept.get(count) for count in MISTAKES if count)
    kept = [percent(share) if share and share.n else "" for share in shares]
    return [percent(m.success), recovery, *kept, f"{100 * m.loops:.0f} %"]
