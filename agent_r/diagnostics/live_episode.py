"""Play one episode and report each reply and observation to an audience as it happens.

The episode itself is `agent_r.algorithm.episode.play`'s: an actor and a world are only listened to.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agent_r.actor import Actor, ActorAround, Completion, Message, SamplingParams
from agent_r.algorithm.critique import Critique
from agent_r.algorithm.episode import Opening, play
from agent_r.algorithm.trajectory import Trajectory
from agent_r.environment import EnvInfo, Environment, Split, StepResult, TaskSpec
from agent_r.errors import EndpointError
from agent_r.reading.reply import Reading, read


@dataclass(slots=True)
class LiveTurn:
    """One reply, how it was read, and what followed; None where nothing did."""

    number: int  # of the step it was asked for, from 1
    completion: Completion
    reading: Reading
    seconds: float
    observation: str | None = None
    reward: float | None = None  # the world's so far


@dataclass(slots=True)
class Played:
    """An episode, as far as it came."""

    task: TaskSpec
    world: EnvInfo
    prompt: str = ""
    turns: list[LiveTurn] = field(default_factory=list)
    episode: Trajectory | None = None  # None: it was broken off
    failure: EndpointError | None = None  # the last request that had no answer


class Audience(Protocol):
    """Receives each event of an episode as it happens."""

    def begins(self, played: Played) -> None: ...

    def says(self, turn: LiveTurn) -> None: ...

    def answers(self, turn: LiveTurn) -> None: ...

    def ends(self, played: Played) -> None: ...

    def judges(self, step: int, critique: Critique) -> None: ...


class Heard(ActorAround):
    """Implements Actor: wraps another, and records its replies."""

    def __init__(self, actor: Actor, played: Played, audience: Audience) -> None:
        super().__init__(actor)
        self.played, self.audience = played, audience
        self.asked = 0  # messages of the last request

    async def complete(
        self, messages: Sequence[Message], *, n: int, params: SamplingParams
    ) -> list[Completion]:
        if len(messages) > self.asked > 0:
            answered(self.played, self.audience, messages[-1].content)
        self.asked, began = len(messages), time.monotonic()
        try:
            replies = await self.actor.complete(messages, n=n, params=params)
        except EndpointError as failure:
            self.played.failure = failure
            raise
        seconds = time.monotonic() - began
        for reply in replies:
            reading = read(reply, self.played.world.grammar)
            turn = LiveTurn(len(messages) // 2, reply, reading, seconds)
            self.played.turns.append(turn)
            self.audience.says(turn)
        return replies


@dataclass(slots=True)
class WatchedEnvironment:
    """Implements Environment: wraps another, and records its answers."""

    env: Environment
    played: Played
    audience: Audience

    @property
    def info(self) -> EnvInfo:
        return self.env.info

    def tasks(self, split: Split) -> Sequence[TaskSpec]:
        return self.env.tasks(split)

    async def reset(self, task: str) -> str:
        self.played.prompt = await self.env.reset(task)
        self.audience.begins(self.played)
        return self.played.prompt

    async def step(self, action: str) -> StepResult:
        result = await self.env.step(action)
        answered(self.played, self.audience, result.observation, result.reward)
        return result

    async def close(self) -> None:
        await self.env.close()


async def hear(
    env: Environment,
    actor: Actor,
    played: Played,
    audience: Audience,
    *,
    max_steps: int,
    params: SamplingParams,
) -> None:
    """Play an episode of `played.task`, noting all of it there.

    Raises:
        EnvironmentFault, EndpointError: what came before is noted all the same.
    """
    heard, seen = Heard(actor, played, audience), WatchedEnvironment(env, played, audience)
    opening = Opening(played.task.id)
    played.episode = await play(seen, heard, opening, max_steps=max_steps, params=params)
    if played.episode.steps:  # what is said to a last reply without an action
        answered(played, audience, played.episode.steps[-1].observation)
    audience.ends(played)


def answered(
    played: Played, audience: Audience, observation: str, reward: float | None = None
) -> None:
    """Note what followed the last reply, once; a reply without an action changes no reward."""
    if not played.turns or played.turns[-1].observation is not None:
        return
    turn = played.turns[-1]
    before = [t.reward for t in played.turns[:-1] if t.reward is not None]
    turn.observation = observation
    turn.reward = reward if reward is not None else (before or [0.0])[-1]
    audience.answers(turn)
