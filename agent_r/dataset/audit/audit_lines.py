"""Say what an audit found, a line for each measure: its share, its count, and of how many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent_r.dataset.audit.shares import MEASURES, Share


def audit_lines(value: dict[str, Any]) -> Iterator[str]:
    """The shares, then the errors by their kind and their tasks' depth.

    >>> list(audit_lines({"shares": {"trained_refused": {"count": 1, "of": 8, "unknown": 2}}}))
    [' 12.5 %     1 of     8  trained actions: refused (2 more not known)']
    """
    for name, (what, whole) in MEASURES.items():
        if (counted := value.get("shares", {}).get(name)) is not None:
            yield _line(Share(**counted), f"{whole}: {what}")
    if errors := value.get("errors"):
        yield "errors that revisions correct, by the depth of their tasks:"
        for kind, depths in errors.items():
            counts = ", ".join(f"{n} of depth {depth}" for depth, n in depths.items())
            yield f"  {kind:9} {sum(depths.values()):4}: {counts}"
    if faults := value.get("faults"):
        yield f"{faults} rows could not be measured: the world or its expert broke at them"


def _line(share: Share, what: str) -> str:
    percent = f"{100 * share.count / share.of:5.1f} %" if share.of else "      –"
    more = f" ({share.unknown} more not known)" if share.unknown else ""
    return f"{percent} {share.count:5} of {share.of:5}  {what}{more}"
