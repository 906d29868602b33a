"""Measure robustness: find where held-out tasks are led to, once, and continue each of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import TypeAdapter

from agent_r import files
from agent_r.algorithm.episode import begin, broken
from agent_r.algorithm.proof.rehearsal import Rehearsal
from agent_r.algorithm.trajectory import Trajectory
from agent_r.closing import lent
from agent_r.collection.progress import Progress
from agent_r.concurrency import gather_bounded
from agent_r.config import digest
from agent_r.environment import Environment, TaskSpec
from agent_r.errors import AgentRError
from agent_r.evaluation.episodes import PlannedEpisode, Player
from agent_r.evaluation.guides import SUCCESS, Guide, OwnGuide, expert_guide
from agent_r.evaluation.injection import MISTAKES, Injection, LedTask
from agent_r.evaluation.robustness import Robustness

NO_WAY = "no plan of an expert, and no own success"
NO_MISTAKE = "no mistakes from which it could still be solved"
FAULTY = "the world or the server failed meanwhile"

_LED = TypeAdapter(LedTask)


@dataclass(slots=True)
class Leading:
    """Finds tasks to lead, one environment each; what is in the player's folder is not sought."""

    player: Player
    seed: int
    unled: dict[str, str] = field(default_factory=dict)  # by name, why

    async def some(
        self, tasks: Sequence[TaskSpec], played: Sequence[Trajectory | None], count: int
    ) -> list[LedTask]:
        """The first `count` that can be led; `played` are the actor's own episodes of them all.

        Raises:
            EndpointError: the others would fail as well.
        """
        led: list[LedTask] = []
        progress = Progress("lead", count, "tasks", self.player.actor.usage)
        waiting = list(zip(tasks, played, strict=True))
        while waiting and len(led) < count:
            few = count - len(led)
            found = await gather_bounded(waiting[:few], self._one, limit=self.player.limit)
            for task in filter(None, found):
                led.append(task)
                progress.step()
            waiting = waiting[few:]
        return led

    async def _one(self, planned: tuple[TaskSpec, Trajectory | None]) -> LedTask | None:
        task, played = planned
        name, folder = f"led-{files.slug(task.id)}", self.player.folder
        path = folder / f"{name}-{digest(task.world, self.seed)}.json" if folder else None
        led = files.load(path, _LED) if path else None
        if led is not None:
            return led
        env = self.player.worlds.environment(task.world)
        try:
            async with lent(env, task.world, self.player.worlds.unclosed) as env:
                led = await self._found(env, task, played)
        except AgentRError as failure:
            self.player.give_up(task.id, failure)
            self._leave(task, FAULTY)
            return None
        if led is not None and path:
            files.save(path, _LED, led)
        return led

    async def _found(
        self, env: Environment, task: TaskSpec, played: Trajectory | None
    ) -> LedTask | None:
        rehearsal = Rehearsal(env, task.id)
        guide = await self._guide(rehearsal, task, played)
        if guide is None:
            self._leave(task, NO_WAY)
            return None
        rng = random.Random(repr((self.seed, task.world, task.id)))
        try:
            led = await Injection(rehearsal, guide, rng).led(task.id, task.world)
        except AgentRError:
            raise
        except Exception as error:  # an expert may be anybody's
            raise broken(env.info, error) from error
        if led is None:
            self._leave(task, NO_MISTAKE)
        return led

    async def _guide(
        self, rehearsal: Rehearsal, task: TaskSpec, played: Trajectory | None
    ) -> Guide | None:
        """The world's expert; where there is none, or none that knows a way, an own success."""
        expert, env = self.player.worlds.world(task.world).expert, rehearsal.env
        if expert is not None:
            prompt = await begin(env, task.id)
            try:
                guide = await expert_guide(expert, rehearsal, prompt)
            except AgentRError:
                raise
            except Exception as error:  # an expert may be anybody's
                raise broken(env.info, error) from error
            if guide is not None:
                return guide
        if played is None or played.reward < SUCCESS:
            return None
        again = await rehearsal.reaches((), [step.action for step in played.steps], SUCCESS)
        return OwnGuide(self.player.actor, env.info, played, self.player.params) if again else None

    def _leave(self, task: TaskSpec, why: str) -> None:
        self.unled[self.player.worlds.called(task.id, task.world)] = why


async def continued(
    player: Player, led: Sequence[LedTask], unled: dict[str, str], max_steps: int
) -> tuple[Robustness, list[Trajectory]]:
    """The actor goes on in every led task after each number of mistakes, `max_steps` of its own."""
    openings = [task.opening(count) for task in led for count in MISTAKES]
    episodes = [
        PlannedEpisode(opening, task.world, max_steps + len(opening.responses))
        for opening, task in zip(openings, (t for t in led for _ in MISTAKES), strict=True)
    ]
    ends = await player.all(episodes, "robustness") if episodes else []
    rewards = [end.reward if end is not None else None for end in ends]
    by_task = [rewards[i : i + len(MISTAKES)] for i in range(0, len(rewards), len(MISTAKES))]
    names = [player.worlds.called(task.task, task.world) for task in led]
    robustness = Robustness.of(led, names, by_task, unled)
    return robustness, [end for end in ends if end is not None]
