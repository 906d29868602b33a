"""An actor without a model: it follows a world's expert, with seeded mistakes.

The same conversation, seed and number of the sample give the same reply: with it a whole run
repeats to the byte, and a world can be tried before there is an endpoint.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent_r.actor import Actor, Completion, Message, SamplingParams, Usage
from agent_r.algorithm.prompts import JUDGE, REVISE
from agent_r.environment import Expert, Measuring
from agent_r.reading.reply import parse_action
from agent_r.settings import ScriptedEndpoint


@dataclass(slots=True)
class ScriptedPlayer:
    """Implements Actor: what is right is the expert's word."""

    config: ScriptedEndpoint
    expert: Expert
    usage: Usage = field(default_factory=Usage)

    @property
    def name(self) -> str:
        return f"scripted-{self.config.error_rate:g}"

    async def complete(
        self, messages: Sequence[Message], *, n: int, params: SamplingParams
    ) -> list[Completion]:
        await asyncio.sleep(0)  # as a real endpoint would, let others run: a Ctrl-C, for one
        prompt = messages[1].content
        actions = [parse_action(m.content) for m in messages if m.role == "assistant"]
        done = [action for action in actions if action not in ("", REVISE)]
        if messages[-1].content.endswith(JUDGE):
            replies = [await self._judge(prompt.removesuffix(f"\n\n{JUDGE}"), done)] * n
        else:
            texts = [m.content for m in messages]
            seeded = [random.Random(repr((texts, params.seed, k))) for k in range(n)]
            replies = await self._act(prompt, done, seeded)
        return self._counted(messages, replies)

    async def _act(
        self, prompt: str, done: Sequence[str], seeded: Sequence[random.Random]
    ) -> list[str]:
        """One reply for each generator: the expert's next step, or a mistake."""
        way = await self.expert.plan(prompt, done)
        mistakes = await self.expert.mistakes(prompt, done)
        replies = []
        for rng in seeded:
            wrong = mistakes and (not way or rng.random() < self.config.error_rate)
            action = rng.choice(mistakes) if wrong else way[0] if way else "look"
            replies.append(f"Thought: My next step is {action}.\nAction: {action}")
        return replies

    async def _judge(self, prompt: str, done: Sequence[str]) -> str:
        """A step is good when the way that is left became shorter."""
        if done and await self._left(prompt, done) < await self._left(prompt, done[:-1]):
            return f"{done[-1]} is a step on the way.\nJudgement: Good"
        return "That does not bring the goal nearer.\nJudgement: Bad"

    async def _left(self, prompt: str, actions: Sequence[str]) -> float:
        """Actions to the goal; where nothing is planned any more the goal may be lost, too."""
        if isinstance(self.expert, Measuring):
            known = await self.expert.distance(prompt, actions)
            if known is not None:
                return known
        return len(await self.expert.plan(prompt, actions))

    def _counted(self, messages: Sequence[Message], replies: Sequence[str]) -> list[Completion]:
        """Tokens are taken as four characters each; the first reply carries those of all."""
        read = sum(len(message.content) // 4 for message in messages)
        written = sum(len(reply) // 4 for reply in replies)
        self.usage.requests += 1
        self.usage.prompt_tokens += read
        self.usage.completion_tokens += written
        first, *others = replies
        return [
            Completion(first, prompt_tokens=read, completion_tokens=written),
            *(Completion(other) for other in others),
        ]


@dataclass(slots=True)
class ScriptedCast:
    """Implements Actor for a run of several worlds: each has its own, known by its instruction."""

    actors: dict[str, Actor]
    usage: Usage = field(default_factory=Usage)  # of them all

    @property
    def name(self) -> str:
        return next(iter(self.actors.values())).name

    async def complete(
        self, messages: Sequence[Message], *, n: int, params: SamplingParams
    ) -> list[Completion]:
        actor = self.actors[messages[0].content]
        replies = await actor.complete(messages, n=n, params=params)
        self.usage.requests += 1
        self.usage.prompt_tokens += sum(reply.prompt_tokens for reply in replies)
        self.usage.completion_tokens += sum(reply.completion_tokens for reply in replies)
        return replies
