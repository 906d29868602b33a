"""Read the finished trees of a work folder, also while a run fills it."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_r import files
from agent_r.algorithm.rows import Origin, Row
from agent_r.algorithm.tree import SearchTree
from agent_r.collection.tree_revisions import TREE_REVISIONS, TreeRevisions
from agent_r.collection.tree_store import TREE
from agent_r.dataset.build import rows_of_tree
from agent_r.dataset.shards import read_rows
from agent_r.dataset.view.exhibit import ROWS, Exhibit, tried_of
from agent_r.dataset.writer import versions
from agent_r.digests import sha256_of
from agent_r.environment import EnvInfo, TaskSpec

_AGAIN = re.compile(r"(?<=-[0-9a-f]{12})(-\d+){1,2}$")  # of a task's second tree and later ones
_UNKNOWN: dict[str, Any] = {"actor": "unknown", "iteration": 0, "world": "unknown 0"}


@dataclass(frozen=True, slots=True)
class Work:
    """A run's folder: trees, their revisions, and the settings that made them."""

    folder: Path
    settings: dict[str, dict[str, Any]]  # by the key of a tree store
    trees: dict[str, list[Path]]  # finished ones, by the task's slug

    @classmethod
    def of(cls, folder: Path) -> Work:
        """What lies there; nothing where there is no such folder."""
        settings = {}
        for path in sorted(folder.glob("forest-*.json")):
            stored = files.read_json(path)
            settings[path.stem.removeprefix("forest-")] = stored if isinstance(stored, dict) else {}
        trees: dict[str, list[Path]] = {}
        for path in sorted(folder.glob("trees-*/*.json")):
            trees.setdefault(_AGAIN.sub("", path.stem), []).append(path)
        return cls(folder, settings, trees)

    @property
    def growing(self) -> int:
        """Trees that have a journal: they are being searched or judged, or wait for another run."""
        journals = self.folder.glob("journal-*/*.jsonl")
        return len({path.name.removesuffix(".jsonl").rpartition(".")[0] for path in journals})

    def exhibit(self, path: Path) -> Exhibit | None:
        """A tree with its rows, as a dataset would hold them; None: it is not readable (yet)."""
        tree = files.load(path, TREE)
        if tree is None:
            return None
        key, tree_revisions = self._harvest(path)
        origin = self._origin(tree, key)
        rows: dict[str, list[Row]] = {config: [] for config in ("trees", *ROWS)}
        for config, row in rows_of_tree(origin, tree_revisions or TreeRevisions()):
            if config in rows:
                rows[config].append(row)
        [row] = rows.pop("trees")
        if tree_revisions is None:
            return Exhibit(row, tree, rows, judged=False)
        tried = tried_of(tree_revisions, rows["sft"])
        return Exhibit(row, tree, rows, dict(tree_revisions.critiques), tried, tree_revisions.drops)

    def find(self, name: str, task: str) -> tuple[SearchTree, TreeRevisions] | None:
        """The tree that a dataset's row is of, and its revisions."""
        for path in self.trees.get(files.slug(task), []):
            tree = files.load(path, TREE)
            key, tree_revisions = self._harvest(path)
            if tree and tree_revisions and self._origin(tree, key).columns["tree"] == name:
                return tree, tree_revisions
        return None

    def _harvest(self, path: Path) -> tuple[str, TreeRevisions | None]:
        """The newest revisions of a tree, and the key of their tree store."""
        content = sha256_of(path.read_bytes(), 16)
        found = self.folder.glob(f"harvest-*/{path.name}")
        for at in sorted(found, key=lambda p: (p.stat().st_mtime, p), reverse=True):
            tree_revisions = files.load(at, TREE_REVISIONS)
            if tree_revisions is not None and tree_revisions.tree == content:
                return at.parent.name.removeprefix("harvest-"), tree_revisions
        return next(iter(self.settings), ""), None

    def _origin(self, tree: SearchTree, key: str) -> Origin:
        settings = _UNKNOWN | self.settings.get(key, {})
        name, _, version = str(settings["world"]).partition(" ")
        instruction = settings.get("instruction") or instruction_beside(self.folder, name)
        return Origin.of(
            EnvInfo(name, version, str(instruction), "", ""),
            TaskSpec(tree.task, "train"),
            tree,
            actor=str(settings["actor"]),
            iteration=int(settings["iteration"]),
        )


@functools.lru_cache
def instruction_beside(work: Path, world: str) -> str:
    """A world's instruction as the versions beside a work folder have it; "" where none does."""
    for version in reversed(versions(work.parent)):
        for row in read_rows(version, "sft"):
            if row["env"] == world and row["messages"][0]["role"] == "system":
                return str(row["messages"][0]["content"])
    return ""
