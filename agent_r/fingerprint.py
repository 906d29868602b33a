"""What tells rows apart: a digest of them all, one spelling of each, and what counts as alike."""

from __future__ import annotations

import hashlib
import json
import re

from agent_r.dataset import Row
from agent_r.schema import SCHEMAS


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

    def hexdigest(self) -> str:
        return hashlib.sha256(json.dumps(self._sums, sort_keys=True).encode()).hexdigest()


def canonical(row: Row) -> bytes:
    """One spelling of a row."""
    return json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode(
        errors="surrogatepass"
    )


def near_duplicate_key(row: Row) -> str:
    """What an `sft` row trains, without case, digits, punctuation and spacing.

    Rows that share it teach the same words on other numbers; they are kept, and counted.
    """
    trained = (m["content"] for m in row["messages"] if m["train"])
    return " ".join(re.findall(r"[^\W\d_]+", " ".join(trained).casefold()))
