"""Measure an actor on held-out tasks: success, recovery from an error, robustness to mistakes."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from agent_r.actor import Actor, SamplingParams
from agent_r.algorithm import metrics
from agent_r.algorithm.episode import Opening
from agent_r.algorithm.trajectory import NOT_THE_ACTORS, Trajectory
from agent_r.environment import TaskSpec
from agent_r.errors import EndpointUnavailable
from agent_r.evaluation.attempts import EpisodeCost, PassRates, TaskScore, kind_of, sum_of
from agent_r.evaluation.conditions import about_episodes, note
from agent_r.evaluation.episodes import REFUSED, PlannedEpisode, PlayedEpisode, Player
from agent_r.evaluation.injection import LedTask
from agent_r.evaluation.leading import Leading, continued
from agent_r.evaluation.robustness import Robustness, percent
from agent_r.run_worlds import Worlds
from agent_r.settings import Config


class EpisodePrefix(BaseModel):
    """The beginning of a failed episode, to be continued by another actor."""

    task: str
    responses: list[str]
    world: str = ""  # its name, in a run of several


class Measurement(BaseModel):
    """One actor on held-out tasks; rates carry their 95 % interval.

    Of several attempts a task, success, reward, loops and steps are means over all of them.
    """

    actor: str
    success: metrics.Rate
    mean_reward: float
    loops: float
    mean_steps: float
    recovery: metrics.Rate
    recovery_loops: float
    rewards: dict[str, float]  # by task: what a paired comparison needs
    openings: list[
        EpisodePrefix
    ]  # failures of this actor, cut: the recovery test of the actors to come
    recovery_rewards: dict[str, float] = {}  # of the cut failures, by task
    robustness: Robustness = Robustness()
    unplayed: dict[str, int] = {}  # episodes of all kinds that are in no rate, by what ended them
    ends: dict[str, int] = {}  # of the others, by StopReason
    scores: list[TaskScore] = []  # by task; this and what follows is not in files of 0.2.0
    conditions: dict[str, str] = {}  # what is the same where two are compared
    cost: EpisodeCost = EpisodeCost()  # of episodes of all kinds
    episodes: str = ""  # the name of their folder, beside this file

    @property
    def can_go_on(self) -> bool:
        """Whether another run may play what this one could not; a refusal would come again."""
        return any(kind != REFUSED for kind in self.unplayed)

    @property
    def is_older(self) -> bool:
        """Whether an earlier version wrote it, which noted no task by itself."""
        return bool(self.rewards) and not self.scores

    @property
    def attempts(self) -> int:
        """Times that each task was to be played."""
        return max((len(score.rewards) for score in self.scores), default=1)

    def line(self) -> str:
        """Success, recovery, and the share kept after mistakes, for a log."""
        times = f" × {self.attempts}" if self.attempts > 1 else ""
        rates = [f"success {percent(self.success)} of {self.success.n}{times}"]
        if self.recovery.n:
            rates.append(f"recovery {percent(self.recovery)} of {self.recovery.n}")
        kept = self.robustness.kept.items()
        rates += [
            f"kept after {count} injected {percent(share)} of {share.n}" for count, share in kept
        ]
        return ", ".join(rates)

    def notes(self) -> list[str]:
        """What a person should know beside the rates."""
        return self.faults() + self.robustness.notes()

    def faults(self) -> list[str]:
        """What went otherwise than planned."""
        notes = []
        if self.unplayed:
            what = ", ".join(f"{n} {kind}" for kind, n in self.unplayed.items())
            more = "; the same command tries them again" if self.can_go_on else ""
            notes.append(f"{sum(self.unplayed.values())} episodes of {self.actor} could not be "
                        f"played ({what}), and are in no rate{more}")  # fmt: skip
        ends = {end: n for end, n in self.ends.items() if end in NOT_THE_ACTORS}
        if ends:
            what = ", ".join(f"{n} {end.replace('_', ' ')}" for end, n in ends.items())
            notes.append(f"{sum(ends.values())} episodes of {self.actor} were ended by the server "
                        f"or the world ({what}), and count as they stood")  # fmt: skip
        return notes


async def measure_actor(
    actor: Actor,
    worlds: Worlds,
    config: Config,
    *,
    openings: Sequence[EpisodePrefix] | None,
    led: Sequence[LedTask] | None = None,
    parallel: int,
    folder: Path | None = None,
) -> Measurement:
    """Play the held-out tasks, continue failures (paper section 4.4), go on after mistakes.

    `openings` are the first actor's cut failures; None: cut this actor's own. `led` are the tasks
    that it was led through, with their mistakes; None: they are found. Episodes are kept in
    `folder` as they are finished: a measurement that was killed goes on from there.

    Raises:
        EndpointError: no episode could be played, or nobody is answered any more.
    """
    settings = config.measure
    tasks = worlds.tasks("test", settings.tasks, repeats=False)
    about = about_episodes(actor.name, tasks, config, worlds)
    if folder is not None:
        note(folder, about)
    params = SamplingParams(
        temperature=settings.temperature, max_tokens=config.search.max_tokens, seed=config.seed
    )
    player = Player(actor, worlds, params, asyncio.Semaphore(parallel), folder)
    ends = await _attempts(player, tasks, config)
    first = [end for end, *_ in ends]
    own = cut_failures(tasks, first, seed=config.seed, count=settings.recovery_tasks)
    prefixes = own if openings is None else list(openings)
    continuations = await _continued_failures(player, prefixes, settings.max_steps)
    leading = Leading(player, config.seed)
    if led is None:
        led = await leading.some(tasks, first, settings.robustness_tasks)
    robustness, after_mistakes = await continued(player, led, leading.unled, settings.max_steps)
    whole = [end for task_ends in ends for end in task_ends if end is not None]
    recovered = [end for end in continuations.values() if end is not None]
    scores = [_score(*one) for one in zip(tasks, ends, strict=True)]
    return Measurement(
        actor=actor.name,
        success=PassRates.of(scores).success,
        mean_reward=metrics.mean_reward(whole),
        loops=metrics.loop_rate(whole),
        mean_steps=sum(len(e.steps) for e in whole) / max(len(whole), 1),
        recovery=metrics.success(recovered),
        recovery_loops=metrics.loop_rate(recovered),
        rewards={
            worlds.called(score.task, score.world): sum(score.played) / len(score.played)
            for score in scores
            if score.played
        },
        openings=own,
        recovery_rewards={
            name: end.reward for name, end in continuations.items() if end is not None
        },
        robustness=robustness,
        unplayed=dict(sorted(player.unplayed.items())),
        ends=_ends([*whole, *recovered, *after_mistakes]),
        scores=scores,
        conditions=about.conditions,
        cost=sum_of(player.costs.values()),
    )


async def _attempts(
    player: Player, tasks: Sequence[TaskSpec], config: Config
) -> list[list[PlayedEpisode | None]]:
    """Every attempt of each task; all tasks have had their first before any has its second."""
    settings = config.measure
    planned = [
        PlannedEpisode(Opening(task.id), task.world, settings.max_steps, attempt)
        for attempt in range(settings.attempts)
        for task in tasks
    ]
    ends = await player.all(planned, "measure")
    if tasks and not any(ends):
        what = ", ".join(f"{n} {kind}" for kind, n in player.unplayed.items())
        raise EndpointUnavailable(f"not one of {len(ends)} episodes could be played ({what})")
    return [ends[at :: len(tasks)] for at in range(len(tasks))]


async def _continued_failures(
    player: Player, prefixes: Sequence[EpisodePrefix], max_steps: int
) -> dict[str, PlayedEpisode | None]:
    """How the actor ends the failures that are given, by task."""
    cut = [
        PlannedEpisode(Opening(o.task, tuple(o.responses)), o.world, max_steps + len(o.responses))
        for o in prefixes
    ]
    ends = await player.all(cut, "recover")
    names = [player.worlds.called(prefix.task, prefix.world) for prefix in prefixes]
    return dict(zip(names, ends, strict=True))


def _score(task: TaskSpec, ends: Sequence[PlayedEpisode | None]) -> TaskScore:
    played = [end for end in ends if end is not None]
    return TaskScore(
        task=task.id,
        world=task.world,
        depth=task.depth,
        kind=kind_of(task.id),
        rewards=[None if end is None else end.reward for end in ends],
        steps=sum(len(end.steps) for end in played) / max(len(played), 1),
        cost=sum_of(end.cost for end in played),
    )


def _ends(episodes: Sequence[Trajectory]) -> dict[str, int]:
    return dict(sorted(Counter(str(end.stop) for end in episodes).items()))


def cut_failures(
    tasks: Sequence[TaskSpec], episodes: Sequence[Trajectory | None], *, seed: int, count: int
) -> list[EpisodePrefix]:
    """Episodes with no reward at all, cut after a random step; none that the server ended."""
    rng = random.Random(seed)
    played = zip(tasks, episodes, strict=True)
    failed = [
        (task, e)
        for task, e in played
        if e is not None and e.reward == 0.0 and e.steps and e.stop not in NOT_THE_ACTORS
    ]
    chosen = rng.sample(failed, min(count, len(failed)))
    return [
        EpisodePrefix(
            task=e.task,
            responses=[s.response for s in e.steps[: rng.randint(1, len(e.steps))]],
            world=task.world,
        )
        for task, e in chosen
    ]
