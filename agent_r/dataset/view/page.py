"""Write the page of a collection of trees: a list of them all, and each with its picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from agent_r import files
from agent_r.dataset.view.chunks import MOST_BYTES, Chunks
from agent_r.dataset.view.doubts import Doubts
from agent_r.dataset.view.path import Collection
from agent_r.dataset.view.record import line, record
from agent_r.dataset.view.single_file import asset, single_file

SCRIPTS = (
    *("dom", "unpack", "data", "list", "layout", "picture"),
    *("inspect", "compare", "rows", "tree", "main"),
)


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
    chunks, doubts = Chunks(most_bytes), Doubts()
    for exhibit in shown.exhibits():
        lines.append(line(exhibit))
        doubts.add(exhibit)
        chunks.add(len(lines) - 1, partial(record, exhibit))
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
    content = single_file(
        asset("page.html"),
        style=asset("style.css"),
        scripts=[asset(f"{name}.js") for name in SCRIPTS],
        data={"about": about, "trees": lines},
        chunks=chunks.packed(),
    ).encode()
    files.write_bytes(out, content)
    return Page(out, len(lines), len(places), len(content))
