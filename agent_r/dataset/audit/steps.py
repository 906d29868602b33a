"""Walk a world along a row's replies, and say of each what it did for the goal.

The measure is the world's expert: the fewest actions to the goal before a step and after it. An
expert that only plans counts with the length of its plan.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from agent_r.algorithm.episode import act, begin, silent
from agent_r.algorithm.prompts import REVISE
from agent_r.environment import (
    Environment,
    Expert,
    Forkable,
    Measuring,
    Refusing,
    Snapshot,
    StepResult,
)

MOST_KEPT = 100_000  # states of all tasks that are kept: trees' rows share their beginnings


class StepKind(StrEnum):
    """What a step did for the goal."""

    NEEDED = "needed"  # it is nearer
    REFUSED = "refused"  # the world said no, or was not asked: the reply holds no action
    IDLE = "idle"  # accepted, and nothing is changed by it: a look
    WASTEFUL = "wasteful"  # accepted, and the goal is no nearer
    HARMFUL = "harmful"  # the goal is farther away, or lost
    SIGNAL = "signal"  # a revision signal's own turn, which no world sees
    UNKNOWN = "unknown"  # the expert cannot tell


SILENT_WASTE = (StepKind.IDLE, StepKind.WASTEFUL)  # nothing in the answer says so
NOT_NEEDED = (StepKind.REFUSED, *SILENT_WASTE, StepKind.HARMFUL)


@dataclass(slots=True)
class Reached:
    """A state that replies led to, and what the last of them did."""

    kind: StepKind
    distance: float | None  # actions to the goal; infinite: lost; None: not known
    reward: float = 0.0
    ended: bool = False
    after: dict[str, Reached] = field(default_factory=dict)  # by the next reply


@dataclass(slots=True)
class Walker:
    """Measures steps in one world; what was walked once is remembered.

    Args:
        alpha: The reward from which on the goal counts as reached.
    """

    env: Environment
    expert: Expert
    alpha: float = 1.0
    _roots: dict[str, Reached] = field(default_factory=dict)
    _kept: int = 0

    async def walk(self, task: str, responses: Sequence[str]) -> list[Reached]:
        """The state after each reply, up to the episode's end.

        Raises:
            EnvironmentFault, UnknownTask: the world broke, or has no such task.
        """
        if (known := self._remembered(task, responses)) is not None:
            return known
        if self._kept > MOST_KEPT:
            self._roots.clear()
            self._kept = 0
        prompt = await begin(self.env, task)
        if task not in self._roots:
            self._roots[task] = Reached(StepKind.UNKNOWN, await self._distance(prompt, []))
        here, actions, reached = self._roots[task], list[str](), list[Reached]()
        for response in responses:
            if here.ended:
                break
            now = await self._take(here, prompt, actions, response)
            here = here.after.setdefault(response, now)
            reached.append(here)
        return reached

    def _remembered(self, task: str, responses: Sequence[str]) -> list[Reached] | None:
        here, reached = self._roots.get(task), list[Reached]()
        for response in responses:
            if here is None or here.ended:
                break
            here = here.after.get(response)
            if here is not None:
                reached.append(here)
        return None if here is None else reached

    async def _take(self, here: Reached, prompt: str, actions: list[str], response: str) -> Reached:
        """The state after one more reply; its action joins those that were done before."""
        before = self._state()
        step, result = await act(self.env, response, reward=here.reward)
        if silent(step.action):
            kind = StepKind.SIGNAL if step.action == REVISE else StepKind.REFUSED
            return Reached(kind, here.distance, here.reward)
        actions.append(step.action)
        if (known := here.after.get(response)) is not None:
            return known
        self._kept += 1
        same = before is not None and before == self._state()
        if self._refused(result.observation, same=same):
            return Reached(StepKind.REFUSED, here.distance, result.reward, _ended(result))
        if same and not _ended(result):
            return Reached(StepKind.IDLE, here.distance, result.reward)
        distance = await self._left(prompt, actions, result)
        kind = compare(here.distance, distance)
        return Reached(kind, distance, result.reward, _ended(result))

    def _state(self) -> Snapshot | None:
        return self.env.snapshot() if isinstance(self.env, Forkable) else None

    def _refused(self, observation: str, *, same: bool) -> bool:
        """A world without words for it has refused what left it as it was."""
        if isinstance(self.expert, Refusing):
            return self.expert.refuses(observation)
        return same

    async def _left(self, prompt: str, actions: Sequence[str], result: StepResult) -> float | None:
        """Actions to the goal from here; an end without it has lost it, but for a mere limit."""
        if result.reward >= self.alpha:
            return 0
        if result.terminated:
            return math.inf
        return None if result.truncated else await self._distance(prompt, actions)

    async def _distance(self, prompt: str, actions: Sequence[str]) -> float | None:
        if isinstance(self.expert, Measuring):
            return await self.expert.distance(prompt, actions)
        return len(await self.expert.plan(prompt, actions)) or None


def compare(before: float | None, after: float | None) -> StepKind:
    """What a step did that the world accepted, and that changed something.

    >>> compare(3, 2).value, compare(3, 3).value, compare(3, math.inf).value, compare(None, 2).value
    ('needed', 'wasteful', 'harmful', 'unknown')
    """
    if after == 0:
        return StepKind.NEEDED
    if before is None or after is None:
        return StepKind.UNKNOWN
    if after < before:
        return StepKind.NEEDED
    return StepKind.WASTEFUL if after == before else StepKind.HARMFUL


def _ended(result: StepResult) -> bool:
    return result.terminated or result.truncated
