"""Play a measurement's episodes concurrently; each is saved, and one failing affects no other."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from agent_r import files
from agent_r.actor import Actor, SamplingParams
from agent_r.algorithm.episode import Opening, play
from agent_r.algorithm.trajectory import StopReason, Trajectory
from agent_r.closing import lent
from agent_r.collection.progress import Progress
from agent_r.collection.scheduler import HOPELESS, TRIES, is_for_all
from agent_r.concurrency import gather_bounded
from agent_r.config import digest
from agent_r.errors import (
    AgentRError,
    EndpointDown,
    EndpointError,
    EndpointRejected,
    EnvironmentFault,
    UnknownTask,
)
from agent_r.run_worlds import Worlds

REFUSED = StopReason.REFUSED.value

_log = logging.getLogger("agent_r.progress")
_TRAJECTORY = TypeAdapter(Trajectory)


@dataclass(frozen=True, slots=True)
class PlannedEpisode:
    """An episode to be played: where it begins, in which world, and how long it may be."""

    opening: Opening
    world: str
    max_steps: int

    @property
    def file(self) -> str:
        key = digest(self.world, self.max_steps, *self.opening.responses)
        return f"{files.slug(self.opening.task)}-{key}.json"


@dataclass(slots=True)
class Player:
    """Plays episodes, many at once; what is in `folder` is not played again."""

    actor: Actor
    worlds: Worlds
    params: SamplingParams
    limit: asyncio.Semaphore
    folder: Path | None  # None: nothing is kept
    played: int = 0
    unplayed: Counter[str] = field(default_factory=Counter)  # episodes without an end, by kind

    async def all(self, episodes: Sequence[PlannedEpisode], stage: str) -> list[Trajectory | None]:
        """Each episode in its order; None where it could not be played to an end of its own.

        Raises:
            EndpointError, StoreError: the others would fail as well.
        """
        progress = Progress(stage, len(episodes), "episodes", self.actor.usage)

        async def one(episode: PlannedEpisode) -> Trajectory | None:
            found = await self._one(episode)
            progress.step()
            return found

        return await gather_bounded(episodes, one, limit=self.limit)

    async def _one(self, planned: PlannedEpisode) -> Trajectory | None:
        path = self.folder / planned.file if self.folder else None
        episode = files.load(path, _TRAJECTORY) if path else None
        if episode is None:
            episode = await self._patiently(planned)
            if episode is not None and path:
                files.save(path, _TRAJECTORY, episode)
        if episode is not None and episode.stop is StopReason.REFUSED:
            self.unplayed[REFUSED] += 1
            _log.warning("the server refuses the episode of '%s'", planned.opening.task[:80])
            return None
        self.played += episode is not None
        return episode

    async def _patiently(self, planned: PlannedEpisode) -> Trajectory | None:
        """An episode that a fault ends is played again, as a tree is searched again."""
        for left in range(TRIES - 1, -1, -1):
            try:
                return await self._play(planned)
            except EndpointDown:
                raise
            except (EndpointError, EnvironmentFault, UnknownTask) as failure:
                if not left or isinstance(failure, EndpointRejected | UnknownTask):
                    self.give_up(planned.opening.task, failure)
                    break
                _log.info("an episode is played again: %s", failure)
        return None

    async def _play(self, planned: PlannedEpisode) -> Trajectory:
        fresh = self.worlds.environment(planned.world)
        async with lent(fresh, planned.world, self.worlds.unclosed) as env:
            return await play(
                env, self.actor, planned.opening, max_steps=planned.max_steps, params=self.params
            )

    def give_up(self, task: str, failure: AgentRError) -> None:
        """Count a failed episode; raise only if the others would fail as well."""
        self.unplayed[type(failure).__name__] += 1
        _log.warning("the episode of '%s' cannot be played: %s", task[:80], failure)
        hopeless = self.played == 0 and self.unplayed.total() >= HOPELESS
        if hopeless or is_for_all(failure):
            raise failure
