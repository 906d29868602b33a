"""The part of a card that measures: how right judgements, errors, signals and choices are."""

from __future__ import annotations

from agent_r.dataset.audit.shares import MEASURES
from agent_r.dataset.card.facts import ManifestFacts
from agent_r.dataset.card.markup import code, details, inline, number, table

# What a reader asks first; the rest opens at a click.
_FIRST = (
    "waste_judged_bad",
    "waste_labelled_bad",
    "good_is_wrong",
    "bad_is_wrong",
    "error_is_none",
    "correction_not_needed",
    "trained_refused",
    "trained_not_needed",
    "chosen_not_better",
    "signal_false",
    "reason_false",
    "reason_elsewhere",
    "tasks_revised",
)
_HEADS = ("of the …", "so many", "count:", "of:", "share:", "not known:")


def beside_expert(facts: ManifestFacts) -> str:
    """What an audit found when the version was built; empty where there was none."""
    rows = {name: row for name in MEASURES if (row := _row(facts, name))}
    if not rows:
        return ""
    named = facts.table("audit").get("worlds")
    worlds = ", ".join(map(code, named)) if isinstance(named, list) else ""
    first = [rows[name] for name in _FIRST if name in rows]
    others = [row for name, row in rows.items() if name not in _FIRST]
    parts = [
        "## Beside the expert",
        f"The expert of {worlds or 'the world'} knows the fewest actions to a goal, from any "
        "state; it measured these rows, and made none of them. A step is *needed* if it brings the "
        "goal nearer, *refused* if the world says so, *silently wasteful* if it is accepted and "
        "the goal is no nearer, *harmful* if the goal is farther away or lost.",
        table(_HEADS, first),
        details("Everything that was measured", table(_HEADS, others)) if others else "",
        _errors(facts),
    ]
    return "\n\n".join(part for part in parts if part)


def _row(facts: ManifestFacts, name: str) -> tuple[str, ...]:
    found = facts.numbers("audit", "shares", name)
    count, of, unknown = (found.get(key, 0) for key in ("count", "of", "unknown"))
    if not (of or unknown):
        return ()
    what, whole = MEASURES[name]
    share = f"{100 * count / of:.1f} %" if of else "–"
    return whole, what, number(count), number(of), share, number(unknown) if unknown else ""


def _errors(facts: ManifestFacts) -> str:
    """What the errors of revisions did, by the depth of their tasks."""
    kinds = {
        kind: facts.numbers("audit", "errors", kind) for kind in facts.table("audit", "errors")
    }
    depths = sorted({d for counted in kinds.values() for d in counted}, key=lambda d: (len(d), d))
    if not depths:
        return ""
    rows = [
        (inline(kind), *(number(counted[d]) if d in counted else "" for d in depths))
        for kind, counted in kinds.items()
    ]
    heads = ("the error was", *(f"depth {inline(depth)}:" for depth in depths))
    return details("The errors that revisions correct", table(heads, rows))
