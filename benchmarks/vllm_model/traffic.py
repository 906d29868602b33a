"""What a collection asks for: recorded from real trees once, and played by many after that."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent_r import Config, search
from agent_r.actor import ActorAround, Completion, Message, SamplingParams
from agent_r.collection.revise_tree import revise_tree
from agent_r.settings import ScriptedEndpoint, TextCraftEnv
from benchmarks.vllm_model.virtual_time import run
from env_adapters.textcraft.environment import TextCraft
from env_adapters.textcraft.scripted import ScriptedCrafter

ERROR_RATE = 0.35


@dataclass(frozen=True, slots=True)
class Call:
    """One request: a conversation, and the replies that it had."""

    turns: tuple[tuple[str, str], ...]
    replies: tuple[str, ...]

    def longer(self, thoughts: int, world: int, salt: str) -> Call:
        """Longer replies and longer texts of the world, each so many times, of another task."""
        times = {"system": 1, "user": world, "assistant": thoughts}
        turns = [(role, text * times[role]) for role, text in self.turns]
        turns[1] = (turns[1][0], salt + turns[1][1])
        return Call(tuple(turns), tuple(reply * thoughts for reply in self.replies))


Wave = list[Call]  # asked at the same time; the next wave waits for all of it


@dataclass(slots=True)
class _Recorder(ActorAround):
    """Every request takes a second of virtual time: those of one second are a wave."""

    actor: ScriptedCrafter
    waves: dict[float, Wave] = field(default_factory=dict)

    async def complete(
        self, messages: Sequence[Message], *, n: int, params: SamplingParams
    ) -> list[Completion]:
        now = asyncio.get_running_loop().time()
        replies = await self.actor.complete(messages, n=n, params=params)
        turns = tuple((m.role, m.content) for m in messages)
        call = Call(turns, tuple(reply.text for reply in replies))
        self.waves.setdefault(round(now), []).append(call)
        await asyncio.sleep(1)
        return replies


def record(trees: int, *, seed: int = 0) -> list[list[Wave]]:
    """The waves of so many trees of TextCraft, explored and revised with the default settings."""
    config, world = Config(seed=seed), TextCraftEnv()

    async def one(task: str) -> list[Wave]:
        env = TextCraft(world)
        actor = _Recorder(ScriptedCrafter(ScriptedEndpoint(error_rate=ERROR_RATE), world))
        tree = await search(env, actor, task, config=config.search, seed=seed)
        await revise_tree(env, actor, tree, config, config.revision)
        return [actor.waves[second] for second in sorted(actor.waves)]

    tasks = [task.id for task in TextCraft(world).tasks("train")[:trees]]
    return [run(one(task)) for task in tasks]
