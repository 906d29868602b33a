"""Draw the loss of a fine-tuning job."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence


def draw_losses(losses: Sequence[tuple[int, float]], title: str) -> bytes:
    """A PNG of the loss by step and its running mean; none without a loss, or matplotlib."""
    if not losses or importlib.util.find_spec("matplotlib") is None:
        return b""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.0), layout="constrained")
    axes = figure.subplots()
    steps = [step for step, _ in losses]
    axes.plot(steps, [loss for _, loss in losses], color="#1b6ca8", linewidth=1, alpha=0.4)
    axes.plot(steps, smoothed([loss for _, loss in losses]), color="#1b6ca8", linewidth=2)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", alpha=0.3)
    axes.set_title(title, loc="left")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100, metadata={"Software": ""})
    return picture.getvalue()


def smoothed(losses: Sequence[float]) -> list[float]:
    """The mean of each loss and those shortly before it: a tenth of all, at most.

    >>> smoothed([4.0, 2.0])
    [4.0, 2.0]
    """
    most = max(1, len(losses) // 10)
    windows = (losses[max(0, end - most) : end] for end in range(1, len(losses) + 1))
    return [sum(window) / len(window) for window in windows]
