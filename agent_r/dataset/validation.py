"""Keep whole tasks from training: the split `validation`, drawn by the tasks' names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent_r.dataset.shards import SPLITS, read_columns
from agent_r.digests import sha256_of
from agent_r.environment import TaskSpec

_DIGITS = 15  # hexadecimal, of a digest: a float holds no more

Name = tuple[str, str]  # of a task: its world, and its id there


@dataclass(frozen=True, slots=True)
class ValidationTasks:
    """Which tasks are kept from training: in every run and on every machine the same."""

    share: float
    known: Mapping[Name, str]  # the splits of tasks that an earlier version has rows of

    @classmethod
    def of(cls, share: float, tasks: Sequence[Name], earlier: Path | None) -> ValidationTasks:
        """None is drawn while a share of all tasks is less than one task.

        A task that has rows already stays where it is, also where the share has changed since.
        """
        columns = ["env", "task", "split"]
        rows = read_columns(earlier, "trees", columns) if earlier is not None else ()
        known = {(env, task): split for env, task, split in rows}
        enough = len(known.keys() | set(tasks)) * share >= 1
        return cls(share if enough else 0.0, known)

    def split_of(self, env: str, task: TaskSpec) -> str:
        """`train` or `validation`; a task that the world itself keeps from training stays so."""
        if task.split != SPLITS[0]:
            return task.split
        drawn = int(sha256_of(json.dumps([env, task.id]), _DIGITS), 16) / 16**_DIGITS
        return self.known.get((env, task.id)) or SPLITS[drawn < self.share]
