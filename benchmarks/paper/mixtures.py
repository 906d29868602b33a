"""Training mixtures of equal size: as many trained tokens for every arm, whatever its rows are."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent_r.algorithm.rows import Row
from agent_r.errors import ConfigError
from agent_r.local_model.token_count import load
from agent_r.training.encoding import IGNORED, encode
from benchmarks.paper.arms import HALF

_CLOSE = 0.001  # share of the budget that may be left over
CountTrained = Callable[[Row], int]


@dataclass(slots=True)
class Mixture:
    """Rows in training order, and of how many trained tokens of each kind."""

    rows: list[Row] = field(default_factory=list)
    drawn: Counter[str] = field(default_factory=Counter)  # rows, by kind
    distinct: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)

    def add(
        self, rows: Sequence[Row], tokens: int, count: CountTrained, rng: random.Random
    ) -> None:
        """Draw rows of so many trained tokens: in passes, each shuffled, the last one cut.

        Raises:
            ConfigError: there is no row that could be trained on.
        """
        left, seen = tokens, set[int]()
        while left > _CLOSE * tokens:
            before = left
            for row in rng.sample(list(rows), len(rows)):
                size = count(row)
                if not 0 < size <= left:
                    continue
                self._take(row, size, new=id(row) not in seen)
                seen.add(id(row))
                left -= size
                if left <= _CLOSE * tokens:
                    break
            if left == before:
                break
        if left == tokens:
            raise ConfigError("an arm has no row to train on: explore more trees (--trees)")

    def _take(self, row: Row, size: int, *, new: bool) -> None:
        kind = str(row.get("kind", "demonstration"))
        self.rows.append(row)
        self.drawn[kind] += 1
        self.distinct[kind] += new
        self.tokens[kind] += size


def mixture(
    own: Sequence[Row],
    demonstrations: Sequence[Row],
    tokens: int,
    count: CountTrained,
    *,
    share: float = HALF,
    good: float | None = None,
    seed: int,
) -> Mixture:
    """So many trained tokens: a share of own rows, the rest of demonstrations; all, without any.

    `good` is the share of good ways among the own ones.
    """
    rng, mixed = random.Random(seed), Mixture()
    of_own = round(share * tokens) if own else 0
    for rows, part in _parted(own, good):
        mixed.add(rows, round(part * of_own), count, rng)
    mixed.add(demonstrations, tokens - of_own, count, rng)
    rng.shuffle(mixed.rows)
    return mixed


def _parted(own: Sequence[Row], good: float | None) -> Iterator[tuple[list[Row], float]]:
    """Own rows in one part, or good ways and the others, and what share of them each is to be."""
    if own and good is None:
        yield list(own), 1.0
    elif own and good is not None:
        yield [row for row in own if row["kind"] == "good"], good
        yield [row for row in own if row["kind"] != "good"], 1 - good


def counter(model: Path, max_length: int) -> CountTrained:
    """Counts a row's trained tokens as the trainer does; 0: it would be dropped, as too long."""
    tokenizer = load(str(model))
    known: dict[int, tuple[Row, int]] = {}  # the row is held, for an id to stay its own

    def count(row: Row) -> int:
        if id(row) not in known:
            encoded = encode(tokenizer, row["messages"], max_length)
            labels = encoded[1] if encoded is not None else []
            known[id(row)] = row, len(labels) - labels.count(IGNORED)
        return known[id(row)][1]

    return count
