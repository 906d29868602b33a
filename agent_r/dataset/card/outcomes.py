"""The part of a card on models that were trained on it: success and recovery, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from agent_r.algorithm.metrics import Rate
from agent_r.dataset.card.facts import ManifestFacts
from agent_r.dataset.card.markup import code, inline, table
from agent_r.dataset.card.numbers import percent

_HEADS = ("actor", "trained on", "held-out tasks solved:", "recovers from an error:")


def outcome(actor: str, trained_on: Sequence[str], success: Rate, recovery: Rate) -> dict[str, Any]:
    """What a manifest says of one actor, and of the versions that it was trained on."""
    rates = {"success": asdict(success), "recovery": asdict(recovery)}
    return {"actor": actor, "trained_on": list(trained_on), **rates}


def outcomes(facts: ManifestFacts) -> str:
    """What was measured before this version was written; of itself nothing was known then."""
    version = inline(facts.text("version"))
    rows = [row for one in facts.tables("outcomes") if (row := _row(one))]
    unknown = f"What a model gains that is trained on {version} was not known when it was written."
    parts = ["## What training on it does"]
    if rows:
        parts += [
            "Measured on held-out tasks, greedily, each actor of the loop before the next "
            "version was made:",
            table(_HEADS, rows),
            "Where the intervals of two actors overlap, a gain may be chance." if rows[1:] else "",
        ]
    return "\n\n".join(part for part in (*parts, unknown) if part)


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    success, recovery = (_rate(one.get(name)) for name in ("success", "recovery"))
    if not success:
        return ()
    on = one.get("trained_on")
    versions = ", ".join(map(inline, on)) if isinstance(on, list) else ""
    return code(one.get("actor", "")), versions or "none of these", success, recovery


def _rate(value: Any) -> str:
    """A rate of a manifest; nothing where it is none, or of no case."""
    if not isinstance(value, dict):
        return ""
    names = ("rate", "low", "high", "n")
    numbers = [value.get(name) for name in names]
    if not all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
        return ""
    rate = Rate(*numbers)  # type: ignore[arg-type]
    return f"{percent(rate)} of {rate.n:,}" if rate.n else ""
