"""The states of one task that actions have led to: what was tried once is not asked of the world.

A state is known by the actions that led to it and, where equal snapshots mean equal states, by its
snapshot: most actions can be taken in another order, or left out, and lead to the same place. So a
proof, which tries thousands of ways that are nearly alike, takes few steps in the world.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from agent_r.algorithm.episode import begin, broken, silent, sound
from agent_r.algorithm.prompts import REVISE
from agent_r.environment import Environment, Forkable, Snapshot
from agent_r.errors import AgentRError

_KNOWN = 16_384  # tries whose answers are remembered
_KEPT = 256  # snapshots, those used last: a world's own may be large


@dataclass(slots=True, eq=False)
class State:
    """Where actions led: the reward so far, whether the episode is over, and what follows."""

    reward: float
    ended: bool
    parent: State | None = None  # from which `action` led here for the first time
    action: str = ""
    snapshot: Snapshot | None = None  # None: the world is led here again
    after: dict[str, tuple[str, State]] = field(default_factory=dict)  # observation and state


@dataclass(slots=True)
class StateGraph:
    """What one task's world answered; the environment is the graph's own meanwhile.

    Where the world cannot fork, a new step costs a replay from its reset.
    """

    env: Environment
    task: str
    merges: bool | None = None  # whether equal snapshots are one state; None: not tried yet
    _start: State | None = None
    _tries: int = 0
    _kept: OrderedDict[Hashable, State] = field(default_factory=OrderedDict)  # with a snapshot
    _here: State | None = None  # where the world stands; None: others may have used it
    _forkable: Forkable | None = field(init=False)

    def __post_init__(self) -> None:
        self._forkable = self.env if isinstance(self.env, Forkable) else None  # slow to find out

    @property
    def forks(self) -> bool:
        """Whether a try costs no replay."""
        return self._forkable is not None

    async def reach(self, actions: Sequence[str]) -> State:
        """The state after these actions from the reset, or that in which the episode ended.

        Raises:
            EnvironmentFault: the world broke.
        """
        if self._start is None or self._tries >= _KNOWN:
            await self._begin()
        assert self._start is not None
        self._here = None
        return (await self.walk(self._start, actions))[1]

    async def walk(self, state: State, actions: Sequence[str]) -> tuple[list[str], State]:
        """Observations of actions from a state, until the episode ends; and where they led."""
        observations = []
        for action in actions:
            if state.ended:
                break
            known = state.after.get(action)
            observation, state = known if known is not None else await self._try(state, action)
            observations.append(observation)
        return observations, state

    async def unheard(self, actions: Sequence[str]) -> list[str]:
        """What actions are answered from the reset where another that no world knows came first."""
        await begin(self.env, self.task)
        await self._act(REVISE, 0.0)
        return [(await self._act(action, 0.0))[0] for action in actions]

    async def _begin(self) -> None:
        """Reset the world, and forget what is known: a task has too many states for all of them."""
        await begin(self.env, self.task)
        self._start, self._tries = State(0.0, ended=False), 0
        self._kept.clear()
        if self._forkable is not None:
            self._start.snapshot = self._snapshot()
            if self.merges is None:
                self.merges = await self._is_known_by_its_snapshot(self._start.snapshot)
            self._keep(self._start)

    async def _is_known_by_its_snapshot(self, snapshot: Snapshot) -> bool:
        """Whether equal states have equal snapshots: some compare by identity, or count steps."""
        try:
            hash(snapshot)
            await self.env.step(REVISE)  # which no world knows: nothing has changed
            return bool(snapshot == self._snapshot())
        except Exception:  # noqa: BLE001 -- a snapshot is opaque: it need not compare at all
            return False

    async def _try(self, state: State, action: str) -> tuple[str, State]:
        """Take an action in the world for the first time from a state."""
        self._tries += 1
        if silent(action):  # the world never sees it
            state.after[action] = "", state
            return state.after[action]
        await self._go_to(state)
        observation, reward, ended = await self._act(action, state.reward)
        self._here = then = self._found(State(reward, ended, state, action))
        state.after[action] = observation, then
        return state.after[action]

    def _found(self, state: State) -> State:
        """The state itself, or that which is known by the same snapshot."""
        if self._forkable is None or state.ended:
            return state
        state.snapshot = self._snapshot()
        known = self._kept.get(self._name(state))
        if known is not None and known.reward == state.reward:
            state = known
        self._keep(state)
        return state

    def _name(self, state: State) -> Hashable:
        return state.snapshot if self.merges else id(state)

    def _keep(self, state: State) -> None:
        """Hold on to a state's snapshot until so many others were used after it."""
        name = self._name(state)
        before = self._kept.get(name)
        if before is not None and before is not state:
            before.snapshot = None
        self._kept[name] = state
        self._kept.move_to_end(name)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)[1].snapshot = None

    async def _go_to(self, state: State) -> None:
        """Bring the world to a state: from the nearest before it that is kept, or its reset."""
        missing: list[str] = []
        nearest = state
        while nearest is not self._here and nearest.snapshot is None and nearest.parent is not None:
            missing.append(nearest.action)
            nearest = nearest.parent
        if nearest is not self._here:
            if nearest.snapshot is None:
                await begin(self.env, self.task)
            else:
                self._restore(nearest.snapshot)
        for action in reversed(missing):
            await self._act(action, 0.0)
        if self._forkable is not None:
            state.snapshot = state.snapshot if state.snapshot is not None else self._snapshot()
            self._keep(state)

    async def _act(self, action: str, reward: float) -> tuple[str, float, bool]:
        try:
            result = sound(await self.env.step(action))
        except AgentRError:
            raise
        except Exception as error:
            raise broken(self.env.info, error) from error
        return result.observation, result.reward, result.terminated or result.truncated

    def _restore(self, snapshot: Snapshot) -> None:
        assert self._forkable is not None
        try:
            self._forkable.restore(snapshot)
        except Exception as error:
            raise broken(self.env.info, error) from error

    def _snapshot(self) -> Snapshot:
        assert self._forkable is not None
        try:
            return self._forkable.snapshot()
        except Exception as error:
            raise broken(self.env.info, error) from error
