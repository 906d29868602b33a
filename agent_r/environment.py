"""The environment interface: a text world, as the search sees it.

The client side owns the step limit, the normalisation of rewards to [0, 1] and the closing;
a world only answers actions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from agent_r.grammar import DEFAULT, Grammar

Split: TypeAlias = Literal["warm_start", "train", "test"]


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One task of a world; `id` names it for good (a goal, never an index)."""

    id: str
    split: Split
    depth: int = 0  # how many crafts (or rooms, or subgoals) deep; 0 where the world cannot say
    repeat: int = 0  # how often it was explored before: each of its trees has a seed of its own
    world: str = ""  # in a run of several worlds: the name of its own
    look: int = 0  # how often the same iteration looked at it before: see `second_looks`


@dataclass(frozen=True, slots=True)
class EnvInfo:
    """What a dataset must say of a world so that a stranger can replay its rows."""

    name: str
    version: str  # changes whenever the same actions could give other observations
    instruction: str  # the system prompt: what the actor may do, and in which format
    licence: str
    source: str
    repeats: Literal["text", "score"] = "text"  # what the same actions give again, each time
    grammar: Grammar = DEFAULT  # how an action is found in a reply


@dataclass(frozen=True, slots=True)
class StepResult:
    """The answer to one action; `reward` is the reward so far, in [0, 1]."""

    observation: str
    reward: float
    terminated: bool
    truncated: bool = False  # the world's own limit, not ours


Snapshot: TypeAlias = object  # opaque: only the environment that made it can restore it


class Environment(Protocol):
    """One episode at a time of one world; the same task and actions give the same answers."""

    @property
    def info(self) -> EnvInfo: ...

    def tasks(self, split: Split) -> Sequence[TaskSpec]:
        """All tasks of a split, in an order that never changes."""
        ...

    async def reset(self, task: str) -> str:
        """Begin the task and return the first observation.

        Raises:
            UnknownTask: the world has no such task.
            EnvironmentFault: the world broke.
        """
        ...

    async def step(self, action: str) -> StepResult:
        """Answer any text at all: garbage is refused in the observation, never by raising.

        Raises:
            ValueError: the episode has ended, or was never begun.
            EnvironmentFault: the world broke.
        """
        ...

    async def close(self) -> None:
        """Give everything back; closing twice does no harm."""
        ...


@runtime_checkable
class Forkable(Protocol):
    """A world whose state can be kept and restored: a search then needs no replay."""

    def snapshot(self) -> Snapshot: ...

    def restore(self, snapshot: Snapshot) -> None: ...


@runtime_checkable
class Proofreading(Protocol):
    """A world that can tell when the words of a reply are plainly false, whatever its action does.

    It needs no expert: a reply may name another goal than the task's, or another thing than its
    own action is about. No such reply is trained, where another can be had for the same action.
    """

    def misstates(self, prompt: str, reply: str) -> bool:
        """Whether they are, in an episode that began with `prompt`; False: it cannot tell."""
        ...


class Expert(Protocol):
    """Knows a right way through a world: the scripted actor follows it, and strays from it."""

    async def plan(self, prompt: str, actions: Sequence[str]) -> Sequence[str]:
        """The right actions that are left after these, in an episode that began with `prompt`.

        The same prompt and actions give the same way. Empty: there is none, or it is not known.
        """
        ...

    async def mistakes(self, prompt: str, actions: Sequence[str]) -> Sequence[str]:
        """A few actions that a beginner might take here: useless, too early, or refused."""
        ...


@runtime_checkable
class Measuring(Protocol):
    """An expert that can measure a state that its own way does not lead through."""

    async def distance(self, prompt: str, actions: Sequence[str]) -> float | None:
        """The fewest actions that reach the goal after these; None: not known.

        Infinite: it is out of reach. Fractions may tell apart what as many actions reach.
        """
        ...


@runtime_checkable
class Refusing(Protocol):
    """An expert that knows its world's refusals from its other answers."""

    def refuses(self, observation: str) -> bool:
        """Whether in these words the world refuses an action, which then did nothing."""
        ...


@runtime_checkable
class Speaking(Protocol):
    """An expert that words an action as an actor of its world would, with a thought before it."""

    def say(self, prompt: str, action: str) -> str:
        """A reply that takes this action, in an episode that began with `prompt`."""
        ...


@runtime_checkable
class FactChecking(Protocol):
    """An expert that can check what an actor says of its step."""

    async def holds(self, prompt: str, actions: Sequence[str], sentence: str) -> bool | None:
        """Whether a sentence about the last of these actions is true; None: it cannot tell."""
        ...

    def speaks_of(self, action: str, sentence: str) -> bool | None:
        """Whether a sentence is about what an action is about; None: it cannot tell."""
        ...


class World(Protocol):
    """Makes the environments of one kind, and owns what they share: a JVM, connections.

    It belongs to one event loop, and costs nothing before the first episode begins.
    """

    @property
    def expert(self) -> Expert | None: ...

    def environment(self) -> Environment:
        """A fresh environment; it takes nothing before its first reset."""
        ...

    async def check(self) -> None:
        """Find out what can be known to be missing before a run: an extra, Java, a server.

        Raises:
            AgentRError: the first thing found wrong.
        """
        ...

    async def aclose(self) -> None:
        """Give all back, also what cancelled episodes held; closing twice does no harm."""
        ...


@dataclass(frozen=True, slots=True)
class Embedded:
    """A world whose environments share nothing: a function that makes them."""

    make: Callable[[], Environment]
    expert: Expert | None = None

    def environment(self) -> Environment:
        return self.make()

    async def check(self) -> None:
        """Do nothing: nothing can be missing."""

    async def aclose(self) -> None:
        """Do nothing: nothing is shared."""
