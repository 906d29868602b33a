"""Play a measurement's episodes concurrently; each is saved, and one failing affects no other."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from pydantic import TypeAdapter

from agent_r import files
from agent_r.actor import Actor, Metered, SamplingParams
from agent_r.algorithm.episode import Opening, play
from agent_r.algorithm.sampling import reseeded
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
from agent_r.evaluation.attempts import EpisodeCost
from agent_r.run_worlds import Worlds

REFUSED = StopReason.REFUSED.value
ANOTHER_ATTEMPT = 15_485_863  # by so much the seeds of a task's attempts differ
_GOING_ON = -1  # in place of an attempt's number, where the steps before may be the actor's own

_log = logging.getLogger("agent_r.progress")


@dataclass(frozen=True, slots=True)
class PlannedEpisode:
    """An episode to be played: where it begins, in which world, and how long it may be."""

    opening: Opening
    world: str
    max_steps: int
    attempt: int = 0  # the first one's seed is the run's

    @property
    def file(self) -> str:
        key = digest(self.world, self.max_steps, *self.opening.responses)
        again = f"-{self.attempt}" if self.attempt else ""
        return f"{files.slug(self.opening.task)}-{key}{again}.json"


@dataclass(frozen=True, slots=True)
class PlayedEpisode(Trajectory):
    """An episode as it is kept: what it is of, and what it asked of the endpoint."""

    world: str = ""  # this, and all that follows, is not in files of earlier versions
    attempt: int = 0
    opening: int = 0  # steps before the actor took over
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def cost(self) -> EpisodeCost:
        if not self.calls and len(self.steps) > self.opening:
            return EpisodeCost(unknown=1)
        return EpisodeCost(
            calls=self.calls,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
        )


EPISODE = TypeAdapter(PlayedEpisode)


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
    costs: dict[str, EpisodeCost] = field(default_factory=dict)  # by the episode's file

    async def all(
        self, episodes: Sequence[PlannedEpisode], stage: str
    ) -> list[PlayedEpisode | None]:
        """Each episode in its order; None where it could not be played to an end of its own.

        Raises:
            EndpointError, StoreError: the others would fail as well.
        """
        progress = Progress(stage, len(episodes), "episodes", self.actor.usage)

        async def one(episode: PlannedEpisode) -> PlayedEpisode | None:
            found = await self._one(episode)
            progress.step()
            return found

        return await gather_bounded(episodes, one, limit=self.limit)

    async def _one(self, planned: PlannedEpisode) -> PlayedEpisode | None:
        path = self.folder / planned.file if self.folder else None
        episode = files.load(path, EPISODE) if path else None
        if episode is None:
            episode = await self._patiently(planned)
            if episode is not None and path:
                files.save(path, EPISODE, episode)
        if episode is not None:
            self.costs[planned.file] = episode.cost
        if episode is not None and episode.stop is StopReason.REFUSED:
            self.unplayed[REFUSED] += 1
            _log.warning("the server refuses the episode of '%s'", planned.opening.task[:80])
            return None
        self.played += episode is not None
        return episode

    async def _patiently(self, planned: PlannedEpisode) -> PlayedEpisode | None:
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

    async def _play(self, planned: PlannedEpisode) -> PlayedEpisode:
        fresh = self.worlds.environment(planned.world)
        params = reseeded(self.params, 0, ANOTHER_ATTEMPT * self._draw(planned))
        metered = Metered(self.actor)
        async with lent(fresh, planned.world, self.worlds.unclosed) as env:
            played = await play(
                env, metered, planned.opening, max_steps=planned.max_steps, params=params
            )
        return PlayedEpisode(
            **{part.name: getattr(played, part.name) for part in fields(Trajectory)},
            world=planned.world,
            attempt=planned.attempt,
            opening=min(len(planned.opening.responses), len(played.steps)),
            calls=metered.usage.requests,
            prompt_tokens=metered.usage.prompt_tokens,
            completion_tokens=metered.usage.completion_tokens,
        )

    def _draw(self, planned: PlannedEpisode) -> int:
        """Which draw of seeds it gets: with those of its opening it would only be played again."""
        again = planned.opening.responses and self.params.temperature > 0
        return _GOING_ON if again else planned.attempt

    def give_up(self, task: str, failure: AgentRError) -> None:
        """Count a failed episode; raise only if the others would fail as well."""
        self.unplayed[type(failure).__name__] += 1
        _log.warning("the episode of '%s' cannot be played: %s", task[:80], failure)
        hopeless = self.played == 0 and self.unplayed.total() >= HOPELESS
        if hopeless or is_for_all(failure):
            raise failure
