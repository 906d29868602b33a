"""A small dataset made for real, and what made it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent_r.collection.tree_store import TreeStore
from agent_r.dataset.build import BuildResult
from agent_r.dataset.shards import read_rows
from agent_r.settings import Config


@dataclass(frozen=True)
class Made:
    """A dataset version and what made it."""

    config: Config
    tree_store: TreeStore
    built: BuildResult

    @property
    def version(self) -> Path:
        return Path(self.built.dataset.path)

    def rows(self, name: str) -> list[dict[str, object]]:
        return list(read_rows(self.version, name))
