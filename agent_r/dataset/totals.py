"""Add up what versions that become one were made of: their worlds, actors, counts and drops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from agent_r.dataset.manifest import Manifest

_OF_ALL = ("account", "audit", "cost")
# Of an earlier version that was merged, or made in a loop, unless the newer one says it itself.
_KEPT = ("sources", "merge_seed", "outcomes")


def together(manifests: Iterable[Manifest]) -> dict[str, Any]:
    """Who and what made the rows of several versions, and all that it took."""
    known = list(manifests)
    digests = [str(m.get("prompt_digest", "")).split(", ") for m in known]
    # Of some versions alone, these would be taken for all of it.
    whole = {name: [m[name] for m in known if m.get(name) is not None] for name in _OF_ALL}
    return {
        "environments": distinct(m.get("environments", []) for m in known),
        "actors": distinct(m.get("actors", []) for m in known),
        "tokenizers": distinct(m.get("tokenizers", []) for m in known),
        "generators": distinct(m.get("generators", []) for m in known),
        "iterations": sorted(distinct(m.get("iterations", []) for m in known)),
        "prompt_digest": ", ".join(distinct(digests)),
        "counts": added(m.get("counts", {}) for m in known),
        "drops": added(m.get("drops", {}) for m in known),
        **{name: _sum(found) for name, found in whole.items() if len(found) == len(known)},
    }


def grown(earlier: Manifest | None, own: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest says of rows of its own and those of an earlier version, both together.

    Settings are the newest: the history keeps the others.
    """
    if earlier is None:
        return dict(own)
    kept = {name: earlier[name] for name in _KEPT if name in earlier}
    rest = {name: value for name, value in own.items() if name not in _OF_ALL}
    return {**kept, **rest, **together([earlier, dict(own)])}


def distinct(lists: Iterable[Iterable[Any]]) -> list[Any]:
    """All values, each once, in the order they come."""
    found: list[Any] = []
    for values in lists:
        found += [value for value in values if value not in found]
    return found


def added(counters: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts of several, whole: what it took to make them."""
    total: Counter[str] = Counter()
    for counts in counters:
        total.update(counts)
    return dict(total)


def _sum(values: list[Any]) -> Any:
    """Numbers added, tables by their keys, lists joined.

    >>> _sum([{"pairs": {"tried": 1}, "worlds": ["a"]}, {"pairs": {"tried": 2}, "worlds": ["b"]}])
    {'pairs': {'tried': 3}, 'worlds': ['a', 'b']}
    """
    if isinstance(values[0], Mapping):
        names = distinct(values)
        return {name: _sum([table[name] for table in values if name in table]) for name in names}
    return distinct(values) if isinstance(values[0], list) else round(sum(values), 4)
