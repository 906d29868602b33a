"""Read the trees of a dataset version, each with the rows cut from it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from agent_r.algorithm.rows import Row
from agent_r.dataset.shards import read_columns, read_rows
from agent_r.dataset.view.exhibit import ROWS, Exhibit, critiques_in, tree_of, tried_in, tried_of
from agent_r.dataset.view.work import Work


def of_version(version: Path, *, task: str = "") -> Iterator[Exhibit]:
    """Its trees in their order, or those of one task; what no row holds comes from beside it.

    A version does not name the pairs that were dropped, nor the judgements that failed. Where the
    work folder that it was made from still lies beside it, they are read there.
    """
    rows = {config: _Rows(version, config) for config in ROWS}
    work = Work.of(version.parent / "work")
    for row in read_rows(version, "trees"):
        own = {config: rows[config].of(row["id"]) for config in ROWS}
        if task in ("", row["task"]):
            yield _exhibit(row, own, work)


def _exhibit(row: Row, rows: dict[str, list[Row]], work: Work) -> Exhibit:
    """A tree with what the work folder knows of it, or with what its rows tell."""
    if (found := work.find(row["id"], row["task"])) is not None:
        tree, tree_revisions = found
        tried = tried_of(tree_revisions, rows["sft"])
        return Exhibit(row, tree, rows, dict(tree_revisions.critiques), tried, tree_revisions.drops)
    tree = tree_of(row)
    return Exhibit(
        row, tree, rows, critiques_in(tree, rows["critique"]), tried_in(tree, rows["sft"])
    )


class _Rows:
    """A config's rows by tree, read once and in order; other trees' are kept till asked for."""

    def __init__(self, version: Path, config: str) -> None:
        self._missing = Counter(tree for (tree,) in read_columns(version, config, ["tree"]))
        self._rows = read_rows(version, config)
        self._kept: dict[str, list[Row]] = defaultdict(list)

    def of(self, tree: str) -> list[Row]:
        while self._missing[tree]:
            row = next(self._rows)
            self._kept[row["tree"]].append(row)
            self._missing[row["tree"]] -= 1
        return self._kept.pop(tree, [])
