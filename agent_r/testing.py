"""Actors and worlds for tests: a scripted actor, and a toy world with and without forks.

They serve this project's tests, and yours: an adapter or a flow of your own can be tried without
a model and without a world.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from agent_r.actor import Completion, Message, SamplingParams, Usage
from agent_r.environment import EnvInfo, Split, StepResult, TaskSpec
from agent_r.errors import UnknownTask

Reply: TypeAlias = str | Exception
Script: TypeAlias = Callable[[Sequence[Message], int], Reply] | Iterable[Reply]


class ScriptedActor:
    """Implements Actor: replies come from a function of (messages, sample index), or from a list.

    A list is used up reply by reply, over all requests; at its end a request gets fewer replies, or
    none. A reply that is an exception is raised. Every request is recorded.
    """

    def __init__(self, script: Script, *, name: str = "scripted") -> None:
        self._next = script if callable(script) else _in_order(script)
        self._name = name
        self._usage = Usage()
        self.conversations: list[list[Message]] = []
        self.params: list[SamplingParams] = []

    @property
    def name(self) -> str:
        return self._name

    @property
    def usage(self) -> Usage:
        return self._usage

    @property
    def calls(self) -> int:
        """Requests so far."""
        return len(self.conversations)

    async def complete(
        self, messages: Sequence[Message], *, n: int, params: SamplingParams
    ) -> list[Completion]:
        self.conversations.append(list(messages))
        self.params.append(params)
        self._usage.requests += 1
        replies: list[Completion] = []
        for k in range(n):
            try:
                reply = self._next(messages, k)
            except StopIteration:
                break
            if isinstance(reply, Exception):
                raise reply
            replies.append(Completion(reply))
        return replies


def _in_order(replies: Iterable[Reply]) -> Callable[[Sequence[Message], int], Reply]:
    left: Iterator[Reply] = iter(replies)
    return lambda messages, k: next(left)


class Corridor:
    """A toy world that cannot be forked: take the key, walk to the door, push it twice.

    The reward so far is 0, 0.3 with the key, and 1 when the door is open. A key that is dropped is
    lost for good, and who jumps ends in the pit. `corridor 2` has its door two rooms to the east.
    A door pushed once looks like one that was not: only a replay of every action finds it again.
    """

    def __init__(self) -> None:
        self.resets = 0
        self.steps = 0
        self._length = self._room = self._pushes = 0
        self._key = "floor"  # floor, hand, or lost
        self._ended = True

    @property
    def info(self) -> EnvInfo:
        how = "Answer with one action: Action: take key | drop key | east | west | push | jump"
        return EnvInfo("corridor", "1", how, "Apache-2.0", "this project")

    def tasks(self, split: Split) -> Sequence[TaskSpec]:
        lengths = {"warm_start": (0,), "train": (1, 2, 3), "test": (4, 5)}[split]
        return [TaskSpec(f"corridor {length}", split, length) for length in lengths]

    async def reset(self, task: str) -> str:
        word, _, length = task.partition(" ")
        if word != "corridor" or length not in "012345" or len(length) != 1:
            raise UnknownTask(f"no such corridor: {task[:80]!r}")
        self.resets += 1
        self._length, self._room, self._pushes = int(length), 0, 0
        self._key, self._ended = "floor", False
        return f"A key lies here. The door is {length} rooms to the east. Goal: open it."

    async def step(self, action: str) -> StepResult:
        if self._ended:
            raise ValueError("the episode has ended: reset first")
        self.steps += 1
        observation = self._answer(action)
        opened = self._pushes == 2
        reward = 1.0 if opened else 0.3 if self._key == "hand" else 0.0
        self._ended = opened or action == "jump"
        return StepResult(observation, reward, self._ended)

    async def close(self) -> None:
        self._ended = True

    def _answer(self, action: str) -> str:
        if action == "take key" and self._key == "floor" and self._room == 0:
            self._key = "hand"
            return "You have the key."
        if action == "drop key" and self._key == "hand":
            self._key = "lost"
            return "The key falls through a grating."
        if action in ("east", "west"):
            to = self._room + (1 if action == "east" else -1)
            self._room = min(max(to, 0), self._length)
            return f"You are in room {self._room}."
        if action == "push" and self._key == "hand" and self._room == self._length:
            self._pushes += 1
            return "The door gives a little." if self._pushes == 1 else "The door is open."
        return "You fall into a pit." if action == "jump" else "Nothing happens."


class ForkableCorridor(Corridor):
    """The same world with snapshots: implements Forkable."""

    def snapshot(self) -> object:
        return self._length, self._room, self._pushes, self._key, self._ended

    def restore(self, snapshot: object) -> None:
        if not isinstance(snapshot, tuple) or len(snapshot) != 5:
            raise ValueError(f"not a snapshot of a corridor: {snapshot!r}")
        self._length, self._room, self._pushes, self._key, self._ended = snapshot
