"""Compare rows with what a world's expert knows, one after another, as they come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent_r.algorithm.rows import Row
from agent_r.closing import close
from agent_r.dataset.audit.coverage import Coverage, Threshold
from agent_r.dataset.audit.measures import (
    measure_critique,
    measure_preference,
    measure_sft,
    measure_tree,
)
from agent_r.dataset.audit.shares import Shares
from agent_r.dataset.audit.steps import Walker
from agent_r.environment import Environment, World
from agent_r.loading import one_line

AUDITED = ("sft", "preference", "critique", "trees")
WorldKey = tuple[str, str]  # name and version


@dataclass(slots=True)
class Auditor:
    """Takes rows of any config.

    Args:
        worlds: Those that have an expert; rows of others are left out, and counted.
    """

    worlds: Mapping[WorldKey, World]
    threshold: Threshold
    shares: Shares = field(default_factory=Shares)
    unclosed: Counter[str] = field(default_factory=Counter)  # closings that failed, by world
    faults: list[str] = field(default_factory=list)  # rows that the world or its expert broke at
    _seen: set[str] = field(default_factory=set)
    _coverage: Coverage = field(default_factory=Coverage)
    _envs: dict[WorldKey, Environment] = field(default_factory=dict)
    _walkers: dict[tuple[WorldKey, float], Walker] = field(default_factory=dict)

    async def add(self, config: str, row: Row) -> None:
        """Measure a row, each id once; a fault is that row's, and ends nothing."""
        if config not in AUDITED or row["id"] in self._seen:
            return
        self._seen.add(row["id"])
        walker = self._walker(row)
        if walker is None:
            return
        self._coverage.add(config, row, self.threshold)
        try:
            await self._measure(config, walker, row)
        except Exception as error:  # noqa: BLE001 -- a world and its expert may be anybody's
            self.faults.append(f"{row['id']}: {one_line(error)}")

    async def _measure(self, config: str, walker: Walker, row: Row) -> None:
        if config == "sft":
            await measure_sft(walker, row, self.shares)
        elif config == "preference":
            await measure_preference(walker, row, self.shares)
        elif config == "trees":
            await measure_tree(walker, row, self.shares)
        else:
            await measure_critique(walker, row, self.shares)

    def _walker(self, row: Row) -> Walker | None:
        """The one for a row's world and alpha; None where there is no expert to ask."""
        key, alpha = (row["env"], row["env_version"]), self.threshold.alpha(row["iteration"])
        world = self.worlds.get(key)
        if world is None or world.expert is None:
            return None
        if (key, alpha) not in self._walkers:
            if key not in self._envs:
                self._envs[key] = world.environment()
            self._walkers[key, alpha] = Walker(self._envs[key], world.expert, alpha)
        return self._walkers[key, alpha]

    def value(self) -> dict[str, Any]:
        """What was found, ready for JSON; empty where no row was of a world with an expert."""
        if not self._walkers:
            return {}
        worlds = sorted({name for (name, _), _ in self._walkers})
        counted = self.shares.value(self._coverage.shares())
        return {"worlds": worlds, **counted, "faults": len(self.faults)}

    async def aclose(self) -> None:
        """Close what was opened, and the worlds; a failure to close is counted."""
        for (name, _), env in self._envs.items():
            await close(env.close, name, self.unclosed)
        for (name, _), world in self.worlds.items():
            await close(world.aclose, name, self.unclosed)
