"""Who leads an episode to where mistakes are injected: the world's expert, or an own success."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

from agent_r.actor import Actor, SamplingParams
from agent_r.algorithm.episode import silent
from agent_r.algorithm.prompts import conversation
from agent_r.algorithm.proof.rehearsal import Rehearsal
from agent_r.algorithm.sampling import reseeded, sample
from agent_r.algorithm.trajectory import Step, Trajectory
from agent_r.environment import EnvInfo, Expert, Measuring, Speaking
from agent_r.grammar import Grammar
from agent_r.reading.reply import parse_action

Leader: TypeAlias = Literal["expert", "actor"]

SUCCESS = 1.0  # the reward that a way must still earn
SAMPLES = 8  # replies among which an actor's own mistakes are looked for, at temperature 1
_OTHERWISE = 15_485_863  # by which the seeds of these differ from those of an episode's replies


class Guide(Protocol):
    """Knows a way to a task's goal, also after a mistake, and what mistakes are likely."""

    @property
    def leader(self) -> Leader: ...

    @property
    def replies(self) -> Sequence[str]:
        """The whole way, as an actor would write it."""
        ...

    async def way(self, at: int, done: Sequence[str]) -> Sequence[str]:
        """Actions that are left after these, of which the first `at` were steps of the way."""
        ...

    async def nearer(self, rehearsal: Rehearsal, at: int, done: Sequence[str], action: str) -> bool:
        """Whether an action that is no step of the way may bring the goal nearer all the same."""
        ...

    async def tempting(self, at: int, injected: Sequence[Step]) -> Sequence[str]:
        """Replies that may be mistakes after `at` steps of the way and these mistakes."""
        ...


@dataclass(frozen=True, slots=True)
class ExpertGuide:
    """Implements Guide: plans and mistakes are the expert's."""

    expert: Expert
    info: EnvInfo
    prompt: str
    actions: tuple[str, ...]
    leader: Leader = "expert"

    @property
    def replies(self) -> Sequence[str]:
        return [worded(self.expert, self.prompt, a, self.info.grammar) for a in self.actions]

    async def way(self, at: int, done: Sequence[str]) -> Sequence[str]:
        return await self.expert.plan(self.prompt, done)

    async def nearer(self, rehearsal: Rehearsal, at: int, done: Sequence[str], action: str) -> bool:
        return await self._left([*done, action]) < await self._left(done)

    async def tempting(self, at: int, injected: Sequence[Step]) -> Sequence[str]:
        done = [*self.actions[:at], *(step.action for step in injected)]
        mistakes = await self.expert.mistakes(self.prompt, done)
        replies = (worded(self.expert, self.prompt, a, self.info.grammar) for a in mistakes)
        return [reply for reply in replies if reply]

    async def _left(self, done: Sequence[str]) -> float:
        if isinstance(self.expert, Measuring):
            known = await self.expert.distance(self.prompt, done)
            if known is not None:
                return known
        return len(await self.expert.plan(self.prompt, done))


async def expert_guide(
    expert: Expert, rehearsal: Rehearsal, prompt: str
) -> ExpertGuide | None:  # fmt: skip
    """The expert's guidance, where its plan is seen to reach the goal and can be written."""
    actions = tuple(await expert.plan(prompt, ()))
    guide = ExpertGuide(expert, rehearsal.env.info, prompt, actions)
    if not all(guide.replies) or not await rehearsal.reaches((), actions, SUCCESS):
        return None
    return guide


def worded(expert: Expert, prompt: str, action: str, grammar: Grammar) -> str:
    """A reply that is read as this action: in the expert's words, else the action alone.

    Empty: the world's grammar has no such reply that we know.
    """
    tried = [expert.say(prompt, action)] if isinstance(expert, Speaking) else []
    tried += [f"{label.capitalize()}: {action}" for label in grammar.labels[:1]]
    tried.append(action)
    return next((reply for reply in tried if parse_action(reply, grammar) == action), "")


@dataclass(frozen=True, slots=True)
class OwnGuide:
    """Implements Guide: the way is the actor's own success, mistakes are its other replies."""

    actor: Actor
    info: EnvInfo
    success: Trajectory
    params: SamplingParams
    leader: Leader = "actor"

    @property
    def replies(self) -> Sequence[str]:
        return [step.response for step in self.success.steps]

    async def way(self, at: int, done: Sequence[str]) -> Sequence[str]:
        return [step.action for step in self.success.steps[at:]]

    async def nearer(self, rehearsal: Rehearsal, at: int, done: Sequence[str], action: str) -> bool:
        """A later step of the way done now, or one without which the next can be left out."""
        _, *later = way = await self.way(at, done)
        if action in way:
            return True
        without = await rehearsal.reaches(done, later, SUCCESS)
        return not without and await rehearsal.reaches([*done, action], later, SUCCESS)

    async def tempting(self, at: int, injected: Sequence[Step]) -> Sequence[str]:
        steps = [*self.success.steps[:at], *injected]
        sampled = await sample(
            self.actor,
            conversation(self.info.instruction, self.success.prompt, steps),
            n=SAMPLES,
            params=replace(reseeded(self.params, len(steps), _OTHERWISE), temperature=1.0),
            grammar=self.info.grammar,
        )
        replies = dict.fromkeys(reading.text for reading in sampled.usable)
        return [r for r in replies if not silent(parse_action(r, self.info.grammar))]
