"""Lead a held-out task to a step and find mistakes to inject there, after which it can be solved.

What a mistake does is seen by trying it: one that ends the episode, after which no way to the goal
is known, or that brings the goal nearer is none.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import BaseModel

from agent_r.algorithm.episode import Opening, silent
from agent_r.algorithm.proof.rehearsal import Rehearsal
from agent_r.algorithm.trajectory import Step
from agent_r.environment import Refusing
from agent_r.evaluation.guides import SUCCESS, ExpertGuide, Guide, Leader
from agent_r.reading.reply import parse_action

Kind: TypeAlias = Literal["refused", "silent"]  # nothing changed, or it was done and was no use

MISTAKES = (0, 1, 3)  # so many are injected, one after another, before the actor goes on
_STEPS = 8  # at most so many steps of a way are tried
_REPLAYED = 2  # and so many where the world cannot fork: each try is a replay there


class InjectedMistake(BaseModel):
    """A reply that is no step to the goal, and loses nothing for good."""

    response: str
    kind: Kind


class LedTask(BaseModel):
    """A held-out task, led to a seeded step; then mistakes are injected, and an actor goes on."""

    task: str
    world: str
    leader: Leader
    responses: list[str]  # of the leader, up to that step
    mistakes: list[InjectedMistake]  # as many as are ever injected

    @property
    def kind(self) -> Kind:
        """That of the first mistake; the others are of the same, where there was one."""
        return self.mistakes[0].kind

    def opening(self, mistakes: int) -> Opening:
        """Where the actor takes over, after so many mistakes."""
        wrong = [mistake.response for mistake in self.mistakes[:mistakes]]
        return Opening(self.task, (*self.responses, *wrong))


@dataclass(frozen=True, slots=True)
class Injection:
    """Looks for mistakes in one task."""

    rehearsal: Rehearsal
    guide: Guide
    rng: random.Random

    async def led(self, task: str, world: str) -> LedTask | None:
        """The task led to a step where enough mistakes are found; None: there is no such step.

        The seed chooses a kind, for tasks to be divided among them: other kinds are taken where the
        steps that are tried offer none.
        """
        wanted: Kind = self.rng.choice(("refused", "silent"))
        replies = self.guide.replies
        most = _STEPS if self.rehearsal.forks else _REPLAYED
        found: LedTask | None = None
        for at in self.rng.sample(range(len(replies)), min(len(replies), most)):
            mistakes = await self._mistakes(at, wanted)
            if len(mistakes) < max(MISTAKES):
                continue
            if found is None or mistakes[0].kind == wanted:
                found = LedTask(
                    task=task,
                    world=world,
                    leader=self.guide.leader,
                    responses=list(replies[:at]),
                    mistakes=mistakes,
                )
            if found.kind == wanted:
                break
        return found

    async def _mistakes(self, at: int, wanted: Kind) -> list[InjectedMistake]:
        """One after another, as many as are ever injected; fewer where there are no more."""
        found: list[InjectedMistake] = []
        steps: list[Step] = []
        while len(found) < max(MISTAKES):
            chosen = await self._one(at, steps, wanted)
            if chosen is None:
                break
            mistake, step = chosen
            found.append(mistake)
            steps.append(step)
            wanted = found[0].kind
        return found

    async def _one(
        self, at: int, injected: Sequence[Step], wanted: Kind
    ) -> tuple[InjectedMistake, Step] | None:
        """The next mistake: one of the wanted kind, and one not yet injected, if possible."""
        used = {step.action for step in injected}
        replies = list(await self.guide.tempting(at, injected))
        self.rng.shuffle(replies)
        replies.sort(key=lambda reply: self._action(reply) in used)
        done = [*map(self._action, self.guide.replies[:at]), *(s.action for s in injected)]
        other: tuple[InjectedMistake, Step] | None = None
        for reply in replies:
            tried = await self._tried(at, done, reply)
            if tried is not None and tried[0].kind == wanted:
                return tried
            other = other or tried
        return other

    async def _tried(
        self, at: int, done: Sequence[str], reply: str
    ) -> tuple[InjectedMistake, Step] | None:
        """A reply as a mistake; None where it is none, or is not to be made good."""
        action, way = self._action(reply), list(await self.guide.way(at, done))
        if silent(action) or not way or action == way[0]:
            return None
        answers = await self.rehearsal.play(done, [action])
        if answers.ended or not answers.observations:
            return None
        onwards = await self.guide.way(at, [*done, action])
        if not await self.rehearsal.reaches([*done, action], onwards, SUCCESS):
            return None
        kind = await self._kind(at, done, action, answers.observations[0], way)
        if kind is None:
            return None
        return InjectedMistake(response=reply, kind=kind), Step(
            reply, action, answers.observations[0]
        )

    async def _kind(
        self, at: int, done: Sequence[str], action: str, observation: str, way: Sequence[str]
    ) -> Kind | None:
        """Refused, by the expert's word or as nothing changed; silent, if done and of no use."""
        expert = self.guide.expert if isinstance(self.guide, ExpertGuide) else None
        same = await self.rehearsal.same_state(done, action)
        if isinstance(expert, Refusing):
            if expert.refuses(observation):
                return "refused"
            if same:
                return None  # a look around is no mistake
        elif same or (
            same is None and await self.rehearsal.answered_alike(done, action, way)
        ):  # fmt: skip
            return "refused"
        nearer = await self.guide.nearer(self.rehearsal, at, done, action)
        return None if nearer else "silent"

    def _action(self, reply: str) -> str:
        return parse_action(reply, self.rehearsal.env.info.grammar)
