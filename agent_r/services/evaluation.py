"""The held-out measurement: success on tasks never explored, and recovery from an error."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence

from pydantic import BaseModel

from agent_r import metrics
from agent_r.actor import Actor, SamplingParams
from agent_r.environment import TaskSpec
from agent_r.episode import Opening, play
from agent_r.errors import EnvironmentFault
from agent_r.services.progress import Progress
from agent_r.services.stage import TRIES
from agent_r.services.worlds import Worlds
from agent_r.settings import Config
from agent_r.together import each
from agent_r.trajectory import Trajectory

_log = logging.getLogger("agent_r.progress")


class Opened(BaseModel):
    """The beginning of a failed episode, to be continued by another actor."""

    task: str
    responses: list[str]
    world: str = ""  # its name, in a run of several


class Measurement(BaseModel):
    """One actor on held-out tasks; rates carry their 95 % interval (Wilson)."""

    actor: str
    success: metrics.Rate
    mean_reward: float
    loops: float
    mean_steps: float
    recovery: metrics.Rate
    recovery_loops: float
    rewards: dict[str, float]  # by task: what a paired comparison needs
    openings: list[Opened]  # failures of this actor, cut: the recovery test of the actors to come


async def measure_actor(
    actor: Actor,
    worlds: Worlds,
    config: Config,
    *,
    openings: Sequence[Opened] | None,
    parallel: int,
) -> Measurement:
    """Play the held-out tasks, then continue failures (paper section 4.4).

    `openings` are the first actor's cut failures; None: cut this actor's own.
    """
    settings = config.measure
    tasks = worlds.tasks("test", settings.tasks, again=False)
    params = SamplingParams(
        temperature=settings.temperature, max_tokens=config.search.max_tokens, seed=config.seed
    )
    limit = asyncio.Semaphore(parallel)

    async def once(opening: Opening, world: str, steps: int) -> Trajectory:
        env = worlds.environment(world)
        try:
            return await play(env, actor, opening, max_steps=steps, params=params)
        finally:
            await env.close()

    async def run(told: tuple[Opening, str, int]) -> Trajectory:
        episode = await _patiently(lambda: once(*told))
        progress.step()
        return episode

    progress = Progress("measure", len(tasks), "episodes", actor.usage)
    whole = [(Opening(t.id), t.world, settings.max_steps) for t in tasks]
    episodes = await each(whole, run, limit=limit)
    own = cut_failures(tasks, episodes, seed=config.seed, count=settings.recovery_tasks)
    given = own if openings is None else list(openings)
    progress = Progress("recover", len(given), "episodes", actor.usage)
    continued = [
        (Opening(o.task, tuple(o.responses)), o.world, settings.max_steps + len(o.responses))
        for o in given
    ]
    recovered = await each(continued, run, limit=limit)
    return Measurement(
        actor=actor.name,
        success=metrics.success(episodes),
        mean_reward=metrics.mean_reward(episodes),
        loops=metrics.loop_rate(episodes),
        mean_steps=sum(len(e.steps) for e in episodes) / max(len(episodes), 1),
        recovery=metrics.success(recovered),
        recovery_loops=metrics.loop_rate(recovered),
        rewards={_named(t, worlds): e.reward for t, e in zip(tasks, episodes, strict=True)},
        openings=own,
    )


async def _patiently(play_it: Callable[[], Awaitable[Trajectory]]) -> Trajectory:
    """An episode that a fault of the world ends is played again, as a tree is."""
    for _ in range(TRIES - 1):
        try:
            return await play_it()
        except EnvironmentFault as fault:
            _log.info("an episode is played again: %s", fault)
    return await play_it()


def _named(task: TaskSpec, worlds: Worlds) -> str:
    """A task's name, unique also among several worlds."""
    return task.id if len(worlds.members) == 1 else f"{task.world}/{task.id}"


def cut_failures(
    tasks: Sequence[TaskSpec], episodes: Sequence[Trajectory], *, seed: int, count: int
) -> list[Opened]:
    """Episodes with no reward at all, cut after a random step."""
    rng = random.Random(seed)
    played = zip(tasks, episodes, strict=True)
    failed = [(task, e) for task, e in played if e.reward == 0.0 and e.steps]
    chosen = rng.sample(failed, min(count, len(failed)))
    return [
        Opened(
            task=e.task,
            responses=[s.response for s in e.steps[: rng.randint(1, len(e.steps))]],
            world=task.world,
        )
        for task, e in chosen
    ]
