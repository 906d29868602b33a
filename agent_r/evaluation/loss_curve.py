"""Draw the loss of a fine-tuning job."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence


def draw_losses(losses: Sequence[tuple[int, float]], title: str) -> bytes:
    """A PNG of the loss by step; none where there is no loss, or no matplotlib."""
    if not losses or importlib.util.find_spec("matplotlib") is None:
        return b""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*losses, strict=True), color="#1b6ca8", linewidth=1)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", alpha=0.3)
    axes.set_title(title, loc="left")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100, metadata={"Software": ""})
    return picture.getvalue()
