"""The parts of a card on history: what changed since the last version, what was merged."""

from __future__ import annotations

from typing import Any

from agent_r.algorithm.schema import SCHEMAS
from agent_r.config import dotted
from agent_r.dataset.card.facts import ManifestFacts, whole
from agent_r.dataset.card.markup import code, details, inline, number, table

_COUNTS = (
    "trees",
    "calls",
    "prompt tokens",
    "completion tokens",
    "pairs",
    "judged steps",
    "judge failed",
    "revisions",
    "good",
)
_LISTED = 20  # versions in the list, and settings in a comparison


def sources(facts: ManifestFacts) -> str:
    """The versions that a merged dataset is made of."""
    rows = [
        (
            inline(source.get("dataset", "")),
            inline(source.get("version", "")),
            number(sum(whole(source.get("rows") or {}).values())),
            "all" if source.get("weight") is None else number(source["weight"]),
            code(str(source.get("content_digest", ""))[:12]),
        )
        for source in facts.tables("sources")
    ]
    if not rows:
        return ""
    heads = ("dataset", "version", "rows:", "weight:", "content digest")
    return f"## Merged from\n\n{table(heads, rows)}"


def changes(facts: ManifestFacts) -> str:
    """What is different from the version before, and a list of the last versions."""
    history = facts.tables("history")
    if not history:
        return ""
    parts = ["## Versions"]
    if len(history) > 1:
        parts += [_kept(history[-2], history[-1]), _since(history[-2], history[-1])]
    shown = [_version(entry) for entry in reversed(history[-_LISTED:])]
    heads = "version rows: sft: came/went: revisions: iterations actor digest".split()
    listed = table(tuple(heads), shown)
    older = f"{len(history) - _LISTED} older ones are left out." if len(history) > _LISTED else ""
    parts.append(details(f"The last {len(shown)} versions", listed, *([older] if older else [])))
    return "\n\n".join(part for part in parts if part)


def _kept(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Whether the version before is all in this one, by the ids of its rows."""
    changed = _changed(before, after)
    if not changed:
        return ""
    name, gone = (
        inline(before.get("version", "")),
        sum(c.get("removed", 0) for c in changed.values()),
    )
    if not gone:
        return f"All rows of {name} are in this version as well."
    return f"{number(gone)} rows of {name} are not in this version; its tag keeps them."


def _changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Rows that came and went since the version before; nothing where it was not at hand."""
    known = _table(after, "changes")
    if not known or known.get("since") != before.get("version"):
        return {}
    return {name: whole(_table(_table(known, "rows"), name)) for name in SCHEMAS}


def _came_and_went(counts: dict[str, int]) -> str:
    """Rows that were added and removed, as people write it.

    >>> _came_and_went({"added": 45, "removed": 3}), _came_and_went({})
    ('+45 −3', '')
    """
    return f"+{counts['added']:,} −{counts['removed']:,}" if len(counts) == 2 else ""


def _version(entry: dict[str, Any]) -> tuple[str, ...]:
    rows = whole(_table(entry, "rows"))
    revisions = _table(entry, "counts").get("revisions", "")
    return (
        inline(entry.get("version", "")),
        number(sum(rows.values())),
        number(rows.get("sft", 0)),
        _came_and_went(whole(_table(_table(_table(entry, "changes"), "rows"), "sft"))),
        number(revisions),
        _joined(entry, "iterations"),
        _joined(entry, "actors"),
        code(str(entry.get("content_digest", ""))[:12]),
    )


def _table(entry: dict[str, Any], key: str) -> dict[str, Any]:
    found = entry.get(key)
    return found if isinstance(found, dict) else {}


def _joined(entry: dict[str, Any], key: str) -> str:
    found = entry.get(key)
    items = found if isinstance(found, list) else []
    more = [f"and {len(items) - 3} more"] if len(items) > 3 else []
    return ", ".join([*map(code, items[:3]), *more])


def _since(before: dict[str, Any], after: dict[str, Any]) -> str:
    """One table of everything that differs: rows, counts, actors, settings."""
    rows: list[tuple[str, ...]] = []
    changed = _changed(before, after)
    for name, was, now in _numbers(before, after, "rows", tuple(SCHEMAS)):
        change = _came_and_went(changed.get(name, {}))
        if was != now or any(changed.get(name, {}).values()):
            rows.append((f"`{name}` rows", number(was), number(now), change))
    for name, was, now in _numbers(before, after, "counts", _COUNTS):
        if was != now:
            rows.append((name, number(was), number(now), f"{now - was:+,}"))
    for key in ("actors", "iterations"):
        a, b = _joined(before, key), _joined(after, key)
        if a != b:
            rows.append((key, a, b, ""))
    since = f"Changed since {inline(before.get('version', ''))}"
    if not (rows := rows + _settings(before, after)):
        return f"{since}: the content of the rows alone."
    return f"{since}:\n\n{table(('what', 'before:', 'now:', 'change:'), rows)}"


def _numbers(
    before: dict[str, Any], after: dict[str, Any], key: str, names: tuple[str, ...]
) -> list[tuple[str, int, int]]:
    old, new = whole(_table(before, key)), whole(_table(after, key))
    return [(name, old.get(name, 0), new.get(name, 0)) for name in names]


def _settings(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, ...]]:
    old, new = dotted(_table(before, "config")), dotted(_table(after, "config"))
    changed = [k for k in sorted(old.keys() | new.keys()) if old.get(k) != new.get(k)]
    rows: list[tuple[str, ...]] = [
        (f"setting {code(key)}", _setting(old.get(key)), _setting(new.get(key)), "")
        for key in changed[:_LISTED]
    ]
    left = len(changed) - _LISTED
    return rows + ([(f"and {left} settings more", "", "", "")] if left > 0 else [])


def _setting(value: Any) -> str:
    return (
        "unset" if value is None else code(str(value).lower() if value in (True, False) else value)
    )
