"""Write the page: one HTML file without network or build step, model text as data alone."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from agent_r import files
from agent_r.dataset.view.doubts import Doubts
from agent_r.dataset.view.exhibit import Exhibit
from agent_r.dataset.view.path import Collection
from agent_r.dataset.view.record import line, record

CHUNK_BYTES = 256 << 10  # of JSON text: what is unpacked when one of its trees is opened
MOST_BYTES = 48 << 20  # of packed trees in a page; beyond it, it holds a sample
SCRIPTS = ("dom", "data", "list", "layout", "picture", "inspect", "compare", "rows", "tree", "main")

_ASSETS = resources.files(__package__) / "assets"


@dataclass(frozen=True, slots=True)
class Page:
    """A page that was written."""

    path: Path
    trees: int
    drawn: int  # of them with all their nodes; the others are in the list alone
    bytes: int


def write_page(shown: Collection, out: Path, *, most_bytes: int = MOST_BYTES) -> Page:
    """Write the page of these trees.

    Raises:
        StoreError: the file cannot be written.
    """
    lines: list[dict[str, Any]] = []
    chunks, doubts = _Chunks(most_bytes), Doubts()
    for exhibit in shown.exhibits():
        lines.append(line(exhibit))
        doubts.add(exhibit)
        chunks.add(len(lines) - 1, exhibit)
    chunks.close()
    places = chunks.places()
    for at, (entry, why) in enumerate(zip(lines, doubts.all(), strict=True)):
        entry["doubts"] = why
        if at in places:
            entry["at"] = places[at]
    about = {
        "title": shown.title,
        "kind": shown.kind,
        "growing": shown.growing,
        "drawn": len(places),
        "account": shown.account,
    }
    content = _html(about, lines, list(chunks.packed())).encode()
    files.write_bytes(out, content)
    return Page(out, len(lines), len(places), len(content))


@dataclass(slots=True)
class _Chunks:
    """Packed trees, a few together; once they are too many every other one is let go.

    So what is left is spread evenly over all trees, however many come.
    """

    most_bytes: int
    _kept: list[tuple[list[int], str]] = field(default_factory=list)
    _open: list[tuple[int, str]] = field(default_factory=list)
    _open_bytes: int = 0
    _bytes: int = 0
    _every: int = 1
    _number: int = 0

    def add(self, place: int, shown: Exhibit) -> None:
        if self._number % self._every == 0:
            dumped = _dump(record(shown))
            self._open.append((place, dumped))
            self._open_bytes += len(dumped)
        else:  # a chunk that would not be kept; about as many trees as in one that is
            self._open.append((place, ""))
        typical = len(self._kept[0][0]) if self._kept else 1
        if self._open_bytes >= CHUNK_BYTES or (not self._open_bytes and len(self._open) >= typical):
            self.close()

    def close(self) -> None:
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
        """By the number of a tree: its chunk, and its place in there."""
        return {
            tree: [chunk, at]
            for chunk, (trees, _) in enumerate(self._kept)
            for at, tree in enumerate(trees)
        }

    def packed(self) -> Iterator[str]:
        return (packed for _, packed in self._kept)


def _html(about: dict[str, Any], lines: list[dict[str, Any]], chunks: list[str]) -> str:
    script = "\n".join(_asset(f"{name}.js") for name in SCRIPTS)
    script = f'(() => {{\n"use strict";\n{script}}})();\n'
    style = _asset("style.css")
    parts = {
        "policy": f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'",
        "style": style,
        "script": script,
        "about": _dump(about),
        "trees": _dump(lines),
        "chunks": "\n".join(
            f'<script type="application/octet-stream" id="chunk-{n}">{packed}</script>'
            for n, packed in enumerate(chunks)
        ),
    }
    before, *rest = _asset("page.html").split("{{")
    for piece in rest:
        name, _, after = piece.partition("}}")
        before += parts[name] + after
    return before


def _dump(value: Any) -> str:
    """JSON that can stand in a <script>: no character of it could end one, or begin a comment.

    >>> _dump("</script><!--\\u2028")
    '"\\\\u003c/script\\\\u003e\\\\u003c!--\\\\u2028"'
    """
    text = json.dumps(value, separators=(",", ":"))
    for mark in "<>&":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def _source(text: str) -> str:
    """A script or a style as a Content-Security-Policy names it: no other one is run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
