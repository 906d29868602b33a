"""A job's events at a provider, as lines of a log: in order of time, its steps as progress."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from openai.types.fine_tuning import FineTuningJobEvent

_STEP = re.compile(r"step\s+(\d+)\s*(?:/|of)\s*(\d+)\D*?loss\s*[=:]\s*([\d.eE+-]+)", re.IGNORECASE)


def in_order(events: Iterable[FineTuningJobEvent]) -> list[FineTuningJobEvent]:
    """The oldest first; a list has the newest first, and some providers none of both."""
    oldest_first = list(events)[::-1]
    return sorted(oldest_first, key=lambda event: (event.created_at, _step(event)))


def line_of(event: FineTuningJobEvent) -> str:
    """An event as a line: a step with its loss as the JSON that is read as progress.

    >>> said = dict(id="1", created_at=1, level="info", object="fine_tuning.job.event")
    >>> line_of(FineTuningJobEvent(**said, message="Step 3/40: training loss=0.5"))
    '{"step": 3, "of": 40, "loss": 0.5}'
    >>> line_of(FineTuningJobEvent(**said, message="The job has started"))
    'The job has started'
    """
    data = _data(event)
    step, loss = data.get("step"), data.get("train_loss", data.get("loss"))
    of = data.get("total_steps", data.get("of"))
    if found := _STEP.search(event.message or ""):
        step, of, loss = step or int(found[1]), of or int(found[2]), loss or float(found[3])
    if isinstance(step, int) and isinstance(loss, int | float):
        return json.dumps({"step": step, "of": of or step, "loss": loss})
    return event.message if event.level == "info" else f"{event.level}: {event.message}"


def _data(event: FineTuningJobEvent) -> dict[str, Any]:
    return event.data if isinstance(event.data, dict) else {}


def _step(event: FineTuningJobEvent) -> int:
    """Events of the same second are in the order of their steps."""
    step = _data(event).get("step")
    return step if isinstance(step, int) else 0
