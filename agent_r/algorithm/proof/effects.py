"""What a step did, by the world's own word: is a known way to the goal shorter after it?

The actions of a good trajectory are tried before and after the step. A step without which they
still work, all of them, was not needed; one after which they no longer work did harm. That is exact
for what the search has found: a way that nobody has gone is not known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from agent_r.algorithm.proof.rehearsal import Rehearsal
from agent_r.algorithm.trajectory import Step


class Effect(StrEnum):
    """What a step did to the ways that are known to reach the goal."""

    PROGRESS = "progress"  # one is shorter now
    IDLE = "idle"  # nothing changed: it was refused, or looked around
    UNNEEDED = "unneeded"  # something changed, and none is shorter
    COSTLY = "costly"  # the shortest is longer now: something must be had again
    DEAD_END = "dead end"  # none leads to the goal from here


# What is an error whoever judges; an idle step may have been a look that the actor needed.
ERRORS = frozenset({Effect.UNNEEDED, Effect.COSTLY, Effect.DEAD_END})
WRONG = ERRORS | {Effect.IDLE}


@dataclass(frozen=True, slots=True)
class Way:
    """What is left to do of a good trajectory in some state: its steps that are needed there."""

    steps: tuple[Step, ...]
    trajectory: int  # which of the known ones
    positions: tuple[int, ...]  # of the steps in it

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(slots=True)
class Prover:
    """Proves the steps of one bad trajectory by good ones, which earn at least `target`.

    Args:
        ways: The nearest good trajectory's tail from where they part, then whole trajectories.
        found: Ways on that were worked out before, for any trajectory of the same tree.
    """

    rehearsal: Rehearsal
    ways: Sequence[Sequence[Step]]
    target: float
    found: dict[Hashable, tuple[int, ...] | None] = field(default_factory=dict)

    async def prove(self, before: Sequence[str], actions: Sequence[str]) -> list[Effect]:
        """Each action's effect, up to the first error; nothing where no way works at the start."""
        effects: list[Effect] = []
        here, done = await self.nearest(before), list(before)
        for action in actions:
            await asyncio.sleep(0)  # a long trajectory takes a while: others wait for their turn
            if here is None or (effects and effects[-1] in ERRORS):
                break
            effect, here = await self._effect(done, action, here)
            effects.append(effect)
            done.append(action)
        return effects

    async def nearest(self, before: Sequence[str]) -> Way | None:
        """The shortest known way on from a state, the first of equals; None: there is none.

        Where the world cannot fork, the first that works: each try is a replay there.
        """
        if await self.rehearsal.ended(before):
            return None
        best: Way | None = None
        for number in range(len(self.ways)):
            way = await self._way(before, number)
            if way is not None and (best is None or len(way) < len(best)):
                best = way
            if best is not None and not self.rehearsal.forks:
                break
        return best

    async def _effect(
        self, before: Sequence[str], action: str, here: Way
    ) -> tuple[Effect, Way | None]:
        """What an action does where `here` is the way on, and the way on after it."""
        same = await self.rehearsal.same_state(before, action)
        if same:
            return Effect.IDLE, here
        after = [*before, action]
        if (further := await self._step_of(here, action, after)) is not None:
            return Effect.PROGRESS, further
        there = await self.nearest(after)
        if there is None:
            played = await self.rehearsal.play(before, [action])
            won = played.ended and played.reward >= self.target
            return (Effect.PROGRESS if won else Effect.DEAD_END), None
        if len(there) < len(here) or await self._serves_another(before, after):
            return Effect.PROGRESS, there
        rest = [step.action for step in here.steps]
        if same is None and await self.rehearsal.answered_alike(before, action, rest):
            return Effect.IDLE, there  # as far as anybody can see
        return (Effect.UNNEEDED if len(there) == len(here) else Effect.COSTLY), there

    async def _step_of(self, way: Way, action: str, after: Sequence[str]) -> Way | None:
        """What is left of a way whose first step was taken, and worked; None: it was another."""
        if not way.steps or way.steps[0].action != action:
            return None
        rest = Way(way.steps[1:], way.trajectory, way.positions[1:])
        if not await self.rehearsal.reaches(after, [s.action for s in rest.steps], self.target):
            return None
        self.found[self._key(after, way.trajectory)] = rest.positions
        return rest

    async def _serves_another(self, before: Sequence[str], after: Sequence[str]) -> bool:
        """Whether a way that is not the shortest became shorter."""
        for number in range(len(self.ways)) if self.rehearsal.forks else ():
            was, now = await self._way(before, number), await self._way(after, number)
            if was is not None and now is not None and len(now) < len(was):
                return True
        return False

    async def _way(self, before: Sequence[str], number: int) -> Way | None:
        """What is left to do of one trajectory; worked out once a state.

        What was left a step earlier is tried first: mostly that, or less, is left now.
        """
        steps, key = self.ways[number], self._key(before, number)
        if key not in self.found:
            actions = [step.action for step in steps]
            earlier = self.found.get(self._key(before[:-1], number)) if before else None
            left = await self._left(before, actions, earlier) if earlier else None
            if left is None:
                left = await self._left(before, actions, range(len(actions)))
            self.found[key] = left
        positions = self.found[key]
        if positions is None:
            return None
        return Way(tuple(steps[i] for i in positions), number, positions)

    def _key(self, before: Sequence[str], number: int) -> Hashable:
        actions = tuple(step.action for step in self.ways[number])
        return tuple(before), actions, self.target

    async def _left(
        self, before: Sequence[str], actions: Sequence[str], positions: Sequence[int]
    ) -> tuple[int, ...] | None:
        some = [actions[i] for i in positions]
        kept = await self.rehearsal.shorten(before, some, self.target)
        return None if kept is None else tuple(positions[i] for i in kept)
