"""Count what a dataset version holds, row by row, for the card and `agent-r diff`.

The value does not depend on the rows' order, and its size does not grow with their number.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agent_r.algorithm.proof.cleaning import UNPROVED
from agent_r.algorithm.rows import Row

TOKENS = 64  # a row's tokens are counted up to a multiple of it
_LONGEST = 2000  # characters kept of one message of the example
_EXAMPLE = ("id", "env", "task", "parts", "reward_bad", "reward", "verified", "actor")
_NUMBERS = ("error_step", "fork_step", "reward_bad", "reward_good")


class Statistics:
    """Counts, histograms and one example, of rows that are seen once each.

    `counts` and `crossed` are of `sft` rows unless their name says otherwise; what only revisions
    have (localiser, signal, agreement, verified) is counted of revisions alone.
    """

    def __init__(self) -> None:
        self._rows: Counter[str] = Counter()
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._crossed: defaultdict[str, defaultdict[str, Counter[str]]] = defaultdict(
            lambda: defaultdict(Counter)
        )
        self._histograms: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._tasks: set[bytes] = set()
        self._revised: set[bytes] = set()  # of these, those with a revision
        self._example: tuple[tuple[Any, ...], Row] | None = None

    def add(self, config: str, row: Row) -> None:
        """Count a row of a config; a column that an older schema lacks is not counted."""
        self._rows[config] += 1
        if config == "sft":
            self._add_sft(row)
        elif config == "critique":
            agrees = _truth(row.get("agrees_with_value"))
            self._counts["critique_verdict"][_name(row.get("verdict"))] += 1
            self._crossed["critique_verdict_agrees"][_name(row.get("verdict"))][agrees] += 1
        elif config == "preference":
            self._counts["preference_env"][_name(row.get("env"))] += 1
        elif config == "trees":
            self._counts["trees_env"][_name(row.get("env"))] += 1
            self._bin("trees_depth", row.get("depth"))
            self._note_task(row)

    def take(self, counted: Mapping[str, Any], tasks: Iterable[Row], example: Row | None) -> None:
        """Count all rows of another version, by its own `value()`.

        Args:
            tasks: `env`, `task`, `task_digest` and, of `sft`, `kind` of its rows: how many are new
                cannot be added.
            example: its example's row, whole.
        """
        self._rows.update(counted["rows"])
        for sums, name in ((self._counts, "counts"), (self._histograms, "histograms")):
            for key, counts in counted[name].items():
                sums[key].update(counts)
        for key, table in counted["crossed"].items():
            for group, counts in table.items():
                self._crossed[key][group].update(counts)
        for task in tasks:
            self._note_task(task)
        if example is not None:
            self._note_example(example)

    def _add_sft(self, row: Row) -> None:
        kind, env = _name(row.get("kind")), _name(row.get("env"))
        self._note_task(row)
        self._counts["kind"][kind] += 1
        self._counts["env"][env] += 1
        self._counts["actor"][_name(row.get("actor"))] += 1
        self._counts["part"].update(_name(part) for part in row.get("parts") or ())
        self._crossed["env_kind"][env][kind] += 1
        self._crossed["iteration_kind"][_name(row.get("iteration"))][kind] += 1
        trained = sum(bool(message["train"]) for message in row.get("messages") or ())
        self._bin("trained_replies", trained)
        self._bin("steps", row.get("steps"))
        if tokens := row.get("tokens"):
            self._bin("tokens", -(-tokens // TOKENS) * TOKENS)
        self._bin("reward", row.get("reward"))
        if kind == "revision":
            self._add_revision(row)

    def _add_revision(self, row: Row) -> None:
        for column in ("localiser", "signal_source"):
            self._counts[column][_name(row.get(column))] += 1
        for column in ("agrees_with_value", "verified"):
            self._counts[column][_truth(row.get(column))] += 1
        for column in _NUMBERS:
            self._bin(column, row.get(column))
        self._bin("reward_revision", row.get("reward"))
        kind, depth = row.get("error_kind") or UNPROVED, _name(row.get("depth"))
        self._crossed["error_kind_depth"][kind][depth] += 1
        self._note_example(row)

    def _note_example(self, row: Row) -> None:
        key = _clarity(row)
        if self._example is None or key < self._example[0]:
            self._example = (key, row)

    def _bin(self, name: str, value: Any) -> None:
        if isinstance(value, float):
            if not math.isfinite(value):
                return
            self._histograms[name][f"{round(value, 2) + 0.0:.2f}"] += 1  # -0.0 is 0.00
        elif isinstance(value, int):
            self._histograms[name][str(value)] += 1

    def _note_task(self, row: Row) -> None:
        task = "\0".join((_name(row.get("env")), _name(row.get("task_digest") or row.get("task"))))
        key = hashlib.blake2b(task.encode("utf-8", "replace"), digest_size=8).digest()
        self._tasks.add(key)
        if row.get("kind") == "revision":
            self._revised.add(key)

    def value(self) -> dict[str, Any]:
        """All of it, ready for JSON; the keys are sorted, those of a histogram by number."""
        return {
            "rows": dict(sorted(self._rows.items())),
            "tasks": len(self._tasks),
            "tasks_revised": len(self._revised),
            "counts": {name: dict(sorted(c.items())) for name, c in sorted(self._counts.items())},
            "crossed": {
                name: {key: dict(sorted(c.items())) for key, c in sorted(table.items())}
                for name, table in sorted(self._crossed.items())
            },
            "histograms": {
                name: dict(sorted(c.items(), key=lambda item: float(item[0])))
                for name, c in sorted(self._histograms.items())
            },
            "example": _shorten(self._example[1]) if self._example else None,
        }


def _name(value: Any) -> str:
    return "unknown" if value is None else str(value)


def _truth(value: Any) -> str:
    return "unknown" if value is None else str(bool(value)).lower()


def _clarity(row: Row) -> tuple[Any, ...]:
    """What makes a revision a good example: executed, confirmed by the tree, whole, short."""
    length = sum(len(message["content"]) for message in row.get("messages") or ())
    missing = {"bad", "signal", "good"} - set(row.get("parts") or ())
    agrees = row.get("agrees_with_value") is True
    return (not row.get("verified"), not agrees, len(missing), length, str(row.get("id")))


def _shorten(row: Row) -> Row:
    messages = [
        {
            "role": message["role"],
            "content": _cut(message["content"]),
            "train": bool(message["train"]),
        }
        for message in row.get("messages") or ()
    ]
    final = _cut(row.get("final_observation") or "")
    kept = {column: row.get(column) for column in _EXAMPLE}
    return kept | {"messages": messages, "final_observation": final}


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


@dataclass(frozen=True, slots=True)
class Drift:
    """How far one distribution moved between two versions; the means where it is of numbers."""

    name: str
    distance: float  # total variation, 0 (the same shares) to 1 (nothing in common)
    mean_before: float | None = None
    mean_after: float | None = None


def drift(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Drift]:
    """Compare two `Statistics.value()`: every distribution that both have, the farthest first."""
    found = []
    for section in ("counts", "crossed", "histograms"):
        old, new = before.get(section) or {}, after.get(section) or {}
        for name in sorted(old.keys() & new.keys()):
            left, right = _flat(old[name]), _flat(new[name])
            if not (left and right):
                continue
            means = (mean(left), mean(right)) if section == "histograms" else (None, None)
            found.append(Drift(name, total_variation(left, right), *means))
    return sorted(found, key=lambda d: (-d.distance, d.name))


def _flat(counts: Mapping[str, Any]) -> dict[str, int]:
    """A crossed table as one distribution, and an empty one as none.

    >>> _flat({"textcraft": {"good": 2, "revision": 1}})
    {'textcraft × good': 2, 'textcraft × revision': 1}
    """
    flat: dict[str, int] = {}
    for key, value in counts.items():
        below = value if isinstance(value, Mapping) else {"": value}
        flat |= {f"{key} × {k}" if k else key: n for k, n in below.items() if n}
    return flat


def total_variation(before: Mapping[str, int], after: Mapping[str, int]) -> float:
    """Half the sum of the differences between two distributions' shares.

    >>> total_variation({"good": 1, "revision": 1}, {"good": 3, "revision": 1})
    0.25
    """
    old, new = sum(before.values()), sum(after.values())
    keys = before.keys() | after.keys()
    return sum(abs(before.get(k, 0) / old - after.get(k, 0) / new) for k in sorted(keys)) / 2


def quantile(histogram: Mapping[float, int], share: float) -> float:
    """The smallest value that so large a share of all does not exceed; of no empty histogram.

    >>> quantile({64: 3, 128: 1}, 0.5), quantile({64: 3, 128: 1}, 1.0)
    (64, 128)
    """
    needed = share * sum(histogram.values())
    below = 0
    for value in sorted(histogram):
        below += histogram[value]
        if below >= needed:
            break
    return value


def mean(histogram: Mapping[Any, int]) -> float | None:
    """Mean of a histogram's values; None where it is empty.

    >>> mean({"0.00": 1, "1.00": 3})
    0.75
    """
    total = sum(histogram.values())
    return sum(float(value) * n for value, n in histogram.items()) / total if total else None
