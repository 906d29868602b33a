"""Pack what a page shows of many things, a few together: one is unpacked when it is opened."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agent_r.dataset.view.single_file import in_script

CHUNK_BYTES = 256 << 10  # of JSON text: what is unpacked when one thing of it is opened
MOST_BYTES = 48 << 20  # of packed things in a page; beyond it, it holds a sample


@dataclass(slots=True)
class Chunks:
    """Packed things; once they are too many every other chunk is let go.

    So what is left is spread evenly over all, however many come.
    """

    most_bytes: int
    _kept: list[tuple[list[int], str]] = field(default_factory=list)
    _open: list[tuple[int, str]] = field(default_factory=list)
    _open_bytes: int = 0
    _bytes: int = 0
    _every: int = 1
    _number: int = 0

    def add(self, place: int, record: Callable[[], Any]) -> None:
        """Take the next thing, by its number in the page; its record is made if it is kept."""
        if self._number % self._every == 0:
            dumped = in_script(record())
            self._open.append((place, dumped))
            self._open_bytes += len(dumped)
        else:  # a chunk that would not be kept; about as many things as in one that is
            self._open.append((place, ""))
        typical = len(self._kept[0][0]) if self._kept else 1
        if self._open_bytes >= CHUNK_BYTES or (not self._open_bytes and len(self._open) >= typical):
            self.close()

    def close(self) -> None:
        """End the chunk that is being filled."""
        if self._open_bytes:
            text = "[" + ",".join(dumped for _, dumped in self._open) + "]"
            packed = base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()
            self._kept.append(([place for place, _ in self._open], packed))
            self._bytes += len(packed)
        self._number += bool(self._open)
        self._open, self._open_bytes = [], 0
        while self._bytes > self.most_bytes and len(self._kept) > 1:
            self._kept = self._kept[::2]
            self._every *= 2
            self._bytes = sum(len(packed) for _, packed in self._kept)

    def places(self) -> dict[int, list[int]]:
        """By the number of a thing that was kept: its chunk, and its place in there."""
        return {
            place: [chunk, at]
            for chunk, (places, _) in enumerate(self._kept)
            for at, place in enumerate(places)
        }

    def packed(self) -> list[str]:
        """The chunks, as a page holds them."""
        return [packed for _, packed in self._kept]
