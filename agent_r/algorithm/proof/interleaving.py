"""Interleave a good trajectory with the actor's own errors, each of which is then corrected.

The revision of a pair has one error, the first of its bad trajectory, and trains what comes after
it; most of a tree's bad trajectories begin with the same few. But beside a good trajectory the
search has sampled many replies, and replay proves which of them are errors. Any of them can be
taken where it was sampled, several in one trajectory, and the good trajectory goes on from there:
so an actor sees many states that its own errors lead to, and what is right in each.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from agent_r.algorithm.episode import silent
from agent_r.algorithm.proof.cleaning import error_kind
from agent_r.algorithm.proof.effects import WRONG, Effect, Prover
from agent_r.algorithm.proof.rehearsal import ROUNDED
from agent_r.algorithm.replay import replay
from agent_r.algorithm.revision import Part, Splice, Turn
from agent_r.algorithm.trajectory import Step, Trajectory
from agent_r.algorithm.tree import SearchTree

RATE = 0.3  # chance of an error before each step that is right
AGAIN = 0.35  # chance of another one right after an error
ELSEWHERE = 0.3  # chance that it is a reply to another state of the tree, said too soon or too late
MOST = 4  # errors in one trajectory
_TRIES = 2  # as many as are wanted, until they are there: some come out the same


@dataclass(frozen=True, slots=True)
class Interleaved:
    """A good trajectory with errors in it, as the world answered; every other step was needed."""

    turns: tuple[Turn, ...]  # of parts `bad` and `good`
    reward: float
    errors: tuple[str, ...]  # what sort of mistake each is, in order

    @property
    def actions(self) -> tuple[str, ...]:
        return tuple(turn.step.action for turn in self.turns)


@dataclass(slots=True)
class Interleaver:
    """Makes such trajectories of one tree; what is random follows from `rng`."""

    tree: SearchTree
    prover: Prover
    good: Sequence[Trajectory]  # without steps that they do not need
    rng: random.Random
    _beside: dict[tuple[str, ...], list[Step]] = field(default_factory=dict)  # by actions before
    _all: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        for index, node in enumerate(self.tree.nodes):
            tried = [step for child in node.children if (step := self._step(child)) is not None]
            before = tuple(step.action for step in self.tree.steps(index))
            self._beside.setdefault(before, []).extend(tried)
            self._all += tried

    async def some(self, count: int) -> list[Interleaved]:
        """So many different ones, the shortest trajectories in turn; or as many as there are."""
        found: dict[tuple[str, ...], Interleaved] = {}
        ways = [[step for step in way.steps if step.action] for way in self.good if count]
        forks = self.prover.rehearsal.forks
        if forks:
            ways = [way for way in ways if await self._is_shortest([], way)]
        for number in range(_TRIES * count if ways else 0):
            await asyncio.sleep(0)  # replays take a while: other trees' replies may be here
            way = ways[number % len(ways)]
            one = await (self._one(way) if forks else self._one_replayed(way))
            if one is not None:
                found.setdefault(one.actions, one)
            if len(found) == count:
                break
        return list(found.values())

    async def _one(self, way: Sequence[Step]) -> Interleaved | None:
        """One of a good trajectory; None where no error was found, or it does not repeat."""
        turns: list[Turn] = []
        kinds: list[str] = []
        right: list[str] = []  # actions so far that were no errors
        rest = list(way)
        while rest:
            wrong = None
            if len(kinds) < MOST and self.rng.random() < self._chance(turns):
                wrong = await self._error(turns, right, rest)
            if wrong is None:
                turns.append(Turn(rest[0], Part.GOOD))
                right.append(rest.pop(0).action)
                continue
            error, kind, rest = wrong
            turns.append(Turn(error, Part.BAD))
            kinds.append(kind)
        return await self._executed(turns, kinds) if kinds else None

    async def _one_replayed(self, way: Sequence[Step]) -> Interleaved | None:
        """One where a proof by other ways would take too many replays: a world that cannot fork.

        After each error the same steps go on. The whole is played once, and again without single
        steps, and without two: where they can go, an error did their work, or they are a detour.
        """
        turns: list[Turn] = []
        for at, step in enumerate(way):
            while len(turns) - at < MOST and self.rng.random() < self._chance(turns):
                error = self._unrelated([one.action for one in way[:at]], way[at:])
                if error is None:
                    break
                turns.append(Turn(error, Part.BAD))
            turns.append(Turn(step, Part.GOOD))
        if len(turns) == len(way):
            return None
        executed = await self._executed(turns, [])
        if executed is None or not await self._needs_all(executed.actions, turns):
            return None
        return replace(executed, errors=tuple(_kinds(executed.turns, way)))

    def _unrelated(self, right: Sequence[str], rest: Sequence[Step]) -> Step | None:
        """A reply that takes none of the steps that are left; None: a drawn one does."""
        ahead = {step.action for step in rest}
        drawn = next(self._sampled(right, rest[0].action), None)
        return None if drawn is None or drawn.action in ahead else drawn

    async def _needs_all(self, actions: Sequence[str], turns: Sequence[Turn]) -> bool:
        """Whether no good step can go, and no two in a row (there and back)."""
        good = [at for at, turn in enumerate(turns) if turn.part is Part.GOOD]
        for gone in (*((at,) for at in good), *pairwise(good)):
            without = [action for at, action in enumerate(actions) if at not in gone]
            if await self.prover.rehearsal.reaches((), without, self.prover.target):
                return False
        return True

    def _chance(self, turns: Sequence[Turn]) -> float:
        return AGAIN if turns and turns[-1].part is Part.BAD else RATE

    async def _error(
        self, turns: Sequence[Turn], right: Sequence[str], rest: Sequence[Step]
    ) -> tuple[Step, str, list[Step]] | None:
        """An error that the actor may make here, its kind, and the way on; None: none was found."""
        done = [turn.step.action for turn in turns]
        if not await self._is_shortest(done, rest):
            return None
        for error in self._sampled(right, rest[0].action):
            effect = next(iter(await self.prover.prove(done, [error.action])), None)
            if effect not in WRONG or effect is Effect.DEAD_END:
                continue
            way = await self.prover.nearest([*done, error.action])
            if way is None or not way.steps:
                continue
            before = tuple(turn.step for turn in turns)
            kind = error_kind(effect, Splice(before, (error,), way.steps))
            return error, kind, list(way.steps)
        return None

    async def _is_shortest(self, done: Sequence[str], rest: Sequence[Step]) -> bool:
        """Whether no way on is shorter: after an error it would be taken, and steps be in vain."""
        here = await self.prover.nearest(done)
        return here is not None and len(here) == len(rest)

    def _sampled(self, right: Sequence[str], next_action: str) -> Iterator[Step]:
        """A reply from beside the good trajectory, or from elsewhere in the tree."""
        beside = [s for s in self._beside.get(tuple(right), ()) if s.action != next_action]
        others = [step for step in self._all if step.action != next_action]
        from_elsewhere = self.rng.random() < ELSEWHERE
        for pool in (others,) if from_elsewhere else (beside, others):
            if pool:
                yield self.rng.choice(pool)

    async def _executed(self, turns: Sequence[Turn], kinds: list[str]) -> Interleaved | None:
        """As the world really answers it; None where it does not earn what it should."""
        env, task = self.prover.rehearsal.env, self.tree.task
        answered, reward = await replay(env, task, [turn.step.response for turn in turns])
        if len(answered) < len(turns) or reward < self.prover.target - ROUNDED:
            return None
        executed = (
            Turn(replace(now, reasoning=turn.step.reasoning), turn.part)
            for now, turn in zip(answered, turns, strict=True)
        )
        return Interleaved(tuple(executed), reward, tuple(kinds))

    def _step(self, index: int) -> Step | None:
        step = self.tree.nodes[index].step
        return None if step is None or silent(step.action) else step


def _kinds(turns: Sequence[Turn], way: Sequence[Step]) -> Iterator[str]:
    """What sort of mistake each error is, by whether what follows is answered as without it."""
    answers = [turn.step.observation for turn in turns if turn.part is Part.GOOD]
    alike = [had == step.observation for had, step in zip(answers, way, strict=True)]
    steps = [turn.step for turn in turns]
    for at, turn in enumerate(turns):
        if turn.part is Part.BAD:
            done = sum(one.part is Part.GOOD for one in turns[:at])
            effect = Effect.IDLE if all(alike[done:]) else Effect.UNNEEDED
            yield error_kind(effect, Splice(tuple(steps[:at]), (turn.step,), tuple(way[done:])))
