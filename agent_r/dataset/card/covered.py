"""The part of a card that says which errors are covered, how deep, and what other tasks lacked."""

from __future__ import annotations

from agent_r.dataset.card.facts import ManifestFacts
from agent_r.dataset.card.markup import details, inline, number, table

NO_DEPTH = {"0", "unknown"}  # of tasks whose world cannot say how deep they are


def covered(facts: ManifestFacts) -> str:
    """Kinds of error by the depth of their tasks; what the trees without a revision lacked."""
    parts = [part for part in (_errors(facts), _lacking(facts)) if part]
    return "\n\n".join(("## Which errors it holds", *parts)) if parts else ""


def _errors(facts: ManifestFacts) -> str:
    kinds = sorted(
        facts.crossed("error_kind_depth"), key=lambda kind: (-sum(kind[1].values()), kind[0])
    )
    depths = sorted({d for _, counted in kinds for d in counted}, key=lambda d: (len(d), d))
    if not depths:
        return ""
    by_depth = () if set(depths) <= NO_DEPTH else depths
    rows = [
        (
            inline(kind),
            number(sum(counted.values())),
            *(number(counted[depth]) if depth in counted else "" for depth in by_depth),
        )
        for kind, counted in kinds
    ]
    heads = ("the error was", "revisions:", *(_head(depth) for depth in by_depth))
    return (
        "What sort of mistake each revision corrects, by what replay proved of it"
        f"{', and how deep its task is' if by_depth else ''}:\n\n{table(heads, rows)}"
    )


def _head(depth: str) -> str:
    return "no depth:" if depth in NO_DEPTH else f"depth {inline(depth)}:"


def _lacking(facts: ManifestFacts) -> str:
    counted = facts.numbers("account", "lacking")
    trees = sum(counted.values())
    if not trees:
        return ""
    rows = [
        (inline(what), number(n), f"{100 * n / trees:.0f} %")
        for what, n in sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    ]
    found = table(
        ("what it lacked, or why most of its pairs were dropped", "trees:", "share:"), rows
    )
    return details(f"What the {number(trees)} trees without a revision lacked", found)
