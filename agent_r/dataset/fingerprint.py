"""Compare rows: a digest of all, a canonical spelling of each, a key for near duplicates."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

from agent_r.algorithm.rows import Row
from agent_r.algorithm.schema import LATER, SCHEMAS
from agent_r.digests import sha256_of


class Fingerprint:
    """A digest of all rows, whatever their order and their files; a few bytes a config.

    SHA-256 of each row, added up modulo 2**256: equal rows in any order give an equal sum, and a
    row that is there twice counts twice.
    """

    def __init__(self) -> None:
        self._sums = dict.fromkeys(SCHEMAS, 0)

    def add(self, config: str, line: bytes) -> None:
        """Take in a row, as canonical JSON."""
        row = int.from_bytes(hashlib.sha256(line).digest())
        self._sums[config] = (self._sums[config] + row) % 2**256

    def take(self, sums: Mapping[str, str]) -> None:
        """Take in all rows of another version, by the sums of its own fingerprint."""
        for config, digits in sums.items():
            self._sums[config] = (self._sums[config] + int(digits, 16)) % 2**256

    @property
    def sums(self) -> dict[str, str]:
        """Of each config, in hexadecimal: what the digest is made from."""
        return {config: f"{number:064x}" for config, number in self._sums.items()}

    def hexdigest(self) -> str:
        return sha256_of(json.dumps(self._sums, sort_keys=True))


def canonical(row: Row, config: str) -> bytes:
    """One spelling of a row, the same whether it has an empty later column or lacks it."""
    return json.dumps(
        _without_empty(row, LATER.get(config, ())),
        sort_keys=True,
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode(errors="surrogatepass")


def _without_empty(row: Row, later: tuple[str, ...]) -> Row:
    for name in later:
        column, _, field = name.partition(".")
        if field and column in row:
            below = [_without_empty(one, (field,)) for one in row[column]]
            row = row | {column: below}
        elif column in row and _is_empty(row[column]):
            row = {key: value for key, value in row.items() if key != column}
    return row


def _is_empty(value: object) -> bool:
    return value in (None, "") or (isinstance(value, list) and not any(value))


def near_duplicate_key(row: Row) -> str:
    """What an `sft` row trains, without case, digits, punctuation and spacing.

    Rows that share it teach the same words on other numbers; they are kept, and counted.
    """
    trained = (m["content"] for m in row["messages"] if m["train"])
    return " ".join(re.findall(r"[^\W\d_]+", " ".join(trained).casefold()))
