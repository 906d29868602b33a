"""Audit rows while a version is built of them: its manifest and its card say what was found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from agent_r.algorithm.rows import Row
from agent_r.dataset.audit.auditor import Auditor, WorldKey
from agent_r.dataset.audit.coverage import Threshold
from agent_r.environment import Forkable, World
from agent_r.settings import Config, SingleEnv, env_specs

WorldMaker = Callable[[SingleEnv], World]


class BuildAudit:
    """An auditor with an event loop of its own, for a thread that has none.

    Only worlds whose state can be kept are asked: they are in memory, and their experts answer in
    microseconds. `agent-r audit` asks all others as well.
    """

    def __init__(self, auditor: Auditor, runner: asyncio.Runner) -> None:
        self._auditor, self._runner = auditor, runner

    def listening(self, rows: Iterable[tuple[str, Row]]) -> Iterator[tuple[str, Row]]:
        """The same rows, each measured as it goes by."""
        for config, row in rows:
            self._runner.run(self._auditor.add(config, row))
            yield config, row

    def value(self) -> dict[str, Any]:
        """What the manifest says of it; empty where nobody could be asked."""
        found = self._auditor.value()
        return {"audit": found} if found else {}


@contextmanager
def build_audit(config: Config, world_of: WorldMaker | None) -> Iterator[BuildAudit]:
    """An audit of rows of these settings' worlds, of which `world_of` makes fresh ones."""
    worlds = _cheap_worlds(config, world_of) if world_of and config.dataset.audit else {}
    with asyncio.Runner() as runner:
        auditor = Auditor(worlds, Threshold.of(config.model_dump()))
        try:
            yield BuildAudit(auditor, runner)
        finally:
            runner.run(auditor.aclose())


def _cheap_worlds(config: Config, world_of: WorldMaker) -> dict[WorldKey, World]:
    """Worlds with an expert whose state can be kept; the others are not begun."""
    found: dict[WorldKey, World] = {}
    for spec in env_specs(config.env):
        world = world_of(spec)
        env = world.environment()
        if world.expert is not None and isinstance(env, Forkable):
            found[env.info.name, env.info.version] = world
    return found
