"""Count which tasks gave a revision, of those that could have, and which rows are alike."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent_r.algorithm.pairing import is_bad
from agent_r.algorithm.rows import Row
from agent_r.algorithm.trajectory import NOT_THE_ACTORS
from agent_r.dataset.audit.shares import Share
from agent_r.dataset.fingerprint import near_duplicate_key
from agent_r.settings import RevisionConfig


@dataclass(frozen=True, slots=True)
class Threshold:
    """What counts as a good end and as a bad one, in each iteration."""

    revision: RevisionConfig
    alphas: tuple[float, ...] = ()

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Threshold:
        """From a manifest's settings, of whatever age: only what is needed is read."""
        named = settings.get("revision") or {}
        known = {name: named[name] for name in ("alpha", "beta", "beta_is") if name in named}
        return cls(RevisionConfig(**known), tuple(settings.get("alphas") or ()))

    def alpha(self, iteration: int) -> float:
        """The lowest reward of a good end; beyond the schedule it is the last one's."""
        if not self.alphas:
            return self.revision.alpha
        return self.alphas[min(iteration, len(self.alphas)) - 1]

    def can_be_paired(self, tree: Row) -> bool:
        """Whether a `trees` row has a good end, and a bad one beside it."""
        ends = [
            node["reward"]
            for node in tree["nodes"]
            if node["stop"] is not None and node["stop"] not in NOT_THE_ACTORS
        ]
        good = [reward for reward in ends if reward >= self.alpha(tree["iteration"])]
        return any(is_bad(reward, max(good), self.revision) for reward in ends) if good else False


@dataclass(slots=True)
class Coverage:
    """The tasks and texts of the rows so far; a task is known by its world and its name."""

    explored: dict[str, tuple[str, str]] = field(default_factory=dict)  # tree: its task
    pairable: set[tuple[str, str]] = field(default_factory=set)
    revised: set[str] = field(default_factory=set)  # trees
    texts: set[bytes] = field(default_factory=set)
    alike: Share = field(default_factory=Share)

    def add(self, config: str, row: Row, threshold: Threshold) -> None:
        """Take in a row of any config."""
        if config == "sft":
            text = hashlib.blake2b(near_duplicate_key(row).encode(), digest_size=12).digest()
            self.alike.add(text in self.texts)
            self.texts.add(text)
            if row["kind"] == "revision":
                self.revised.add(row["tree"])
        elif config == "trees":
            self.explored[row["id"]] = task = (row["env"], row["task"])
            if threshold.can_be_paired(row):
                self.pairable.add(task)

    def shares(self) -> dict[str, Share]:
        """Measures by name, of all rows so far."""
        explored = set(self.explored.values())
        revised = {self.explored[tree] for tree in self.revised & self.explored.keys()}
        return {
            "tasks_pairable": Share(len(self.pairable), len(explored)),
            "tasks_with_revision": Share(len(revised), len(explored)),
            "tasks_revised": Share(len(revised & self.pairable), len(self.pairable)),
            "rows_alike": self.alike,
        }
