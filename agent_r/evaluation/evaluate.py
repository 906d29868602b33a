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
from agent_r.evaluation.episodes import REFUSED, PlannedEpisode, Player
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
    """One actor on held-out tasks; rates carry their 95 % interval (Wilson)."""

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

    @property
    def can_go_on(self) -> bool:
        """Whether another run may play what this one could not; a refusal would come again."""
        return any(kind != REFUSED for kind in self.unplayed)

    def line(self) -> str:
        """Success, recovery, and the share kept after mistakes, for a log."""
        rates = [f"success {percent(self.success)} of {self.success.n}"]
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
    params = SamplingParams(
        temperature=settings.temperature, max_tokens=config.search.max_tokens, seed=config.seed
    )
    player = Player(actor, worlds, params, asyncio.Semaphore(parallel), folder)
    whole = [PlannedEpisode(Opening(t.id), t.world, settings.max_steps) for t in tasks]
    ends = await player.all(whole, "measure")
    played = [(task, end) for task, end in zip(tasks, ends, strict=True) if end is not None]
    if tasks and not played:
        what = ", ".join(f"{n} {kind}" for kind, n in player.unplayed.items())
        raise EndpointUnavailable(f"not one of {len(tasks)} episodes could be played ({what})")
    episodes = [end for _, end in played]
    own = cut_failures(
        [task for task, _ in played], episodes, seed=config.seed, count=settings.recovery_tasks
    )
    prefixes = own if openings is None else list(openings)
    cut = [
        PlannedEpisode(
            Opening(o.task, tuple(o.responses)), o.world, settings.max_steps + len(o.responses)
        )
        for o in prefixes
    ]
    continued_ends = await player.all(cut, "recover")
    recovered = [end for end in continued_ends if end is not None]
    leading = Leading(player, config.seed)
    if led is None:
        led = await leading.some(tasks, ends, settings.robustness_tasks)
    robustness, after_mistakes = await continued(player, led, leading.unled, settings.max_steps)
    return Measurement(
        actor=actor.name,
        success=metrics.success(episodes),
        mean_reward=metrics.mean_reward(episodes),
        loops=metrics.loop_rate(episodes),
        mean_steps=sum(len(e.steps) for e in episodes) / max(len(episodes), 1),
        recovery=metrics.success(recovered),
        recovery_loops=metrics.loop_rate(recovered),
        rewards={worlds.called(task.id, task.world): end.reward for task, end in played},
        openings=own,
        recovery_rewards={
            worlds.called(opening.task, opening.world): end.reward
            for opening, end in zip(prefixes, continued_ends, strict=True)
            if end is not None
        },
        robustness=robustness,
        unplayed=dict(sorted(player.unplayed.items())),
        ends=_ends([*episodes, *recovered, *after_mistakes]),
    )


def _ends(episodes: Sequence[Trajectory]) -> dict[str, int]:
    return dict(sorted(Counter(str(end.stop) for end in episodes).items()))


def cut_failures(
    tasks: Sequence[TaskSpec], episodes: Sequence[Trajectory], *, seed: int, count: int
) -> list[EpisodePrefix]:
    """Episodes with no reward at all, cut after a random step; none that the server ended."""
    rng = random.Random(seed)
    played = zip(tasks, episodes, strict=True)
    failed = [
        (task, e)
        for task, e in played
        if e.reward == 0.0 and e.steps and e.stop not in NOT_THE_ACTORS
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
