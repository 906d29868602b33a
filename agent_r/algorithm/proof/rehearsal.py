"""Try actions in a world again and again, from any state of one task.

Most of what is tried begins alike, so the state before it is kept as a snapshot where the world
has them; elsewhere the episode is played from its reset.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent_r.algorithm.episode import begin, broken, silent, sound
from agent_r.algorithm.prompts import REVISE
from agent_r.algorithm.replay import normalised
from agent_r.environment import Environment, Forkable, Snapshot
from agent_r.errors import AgentRError

_PLAYED = 4096  # tries whose answers are remembered
_KEPT = 64  # snapshots: of the states along one path, and a few beside it
ROUNDED = 1e-9  # by which a reward may miss what it is compared with

Actions = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class State:
    """Where actions led: the reward so far, and whether the episode is over."""

    reward: float
    ended: bool
    snapshot: Snapshot | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """What came back of actions tried from a state; fewer observations where the episode ended."""

    observations: tuple[str, ...]
    reward: float
    ended: bool


@dataclass(slots=True)
class Rehearsal:
    """One task of a world, in which actions are tried; the environment is its own meanwhile."""

    env: Environment
    task: str
    _kept: OrderedDict[Actions, State] = field(default_factory=OrderedDict)
    _played: dict[tuple[Actions, Actions], Answers] = field(default_factory=dict)
    _forkable: Forkable | None = field(init=False)
    _comparable: bool | None = None  # snapshots; None: not tried yet
    _readable: bool | None = None  # answers

    def __post_init__(self) -> None:
        self._forkable = self.env if isinstance(self.env, Forkable) else None  # slow to find out

    @property
    def forks(self) -> bool:
        """Whether a try costs no replay."""
        return self._forkable is not None

    @property
    def spans(self) -> tuple[int, ...]:
        """How many actions in a row are left out at once, to see what is not needed."""
        return (1, 2) if self.forks else (1,)

    async def play(self, before: Sequence[str], actions: Sequence[str]) -> Answers:
        """Take actions in the state that others led to.

        Raises:
            EnvironmentFault: the world broke.
        """
        asked = (tuple(before), tuple(actions))
        if (known := self._played.get(asked)) is not None:  # shortening asks much twice
            return known
        state = await self._go_to(asked[0])
        observations: list[str] = []
        reward, ended = state.reward, state.ended
        for action in actions:
            if ended:
                break
            observation, reward, ended = await self._act(action, reward)
            observations.append(observation)
        if len(self._played) >= _PLAYED:
            self._played.clear()
        self._played[asked] = Answers(tuple(observations), reward, ended)
        return self._played[asked]

    async def reaches(self, before: Sequence[str], actions: Sequence[str], target: float) -> bool:
        """Whether actions earn at least `target` from a state in which the episode goes on."""
        if not actions:
            state = await self._go_to(tuple(before))
            return not state.ended and state.reward >= target - ROUNDED
        played = await self.play(before, actions)
        return bool(played.observations) and played.reward >= target - ROUNDED

    async def shorten(
        self, before: Sequence[str], actions: Sequence[str], target: float, *, least: int = 0
    ) -> list[int] | None:
        """Positions of the actions that `target` needs from a state; None where they miss it.

        One action is left out after another, and two in a row (there and back), until nothing more
        can go, or `least` are left. Later ones are tried first: what only they needed then goes
        too. Where the world cannot fork, and each try is a replay, only single ones are tried.
        """
        played = await self.play(before, actions)
        if not played.observations or played.reward < target - ROUNDED:
            return None
        kept = list(range(len(played.observations)))
        while True:
            fewer = kept
            for span in self.spans:
                fewer = await self._without_spans(before, actions, fewer, span, target, least)
            if fewer == kept:
                return kept
            kept = fewer

    async def _without_spans(
        self,
        before: Sequence[str],
        actions: Sequence[str],
        kept: list[int],
        span: int,
        target: float,
        least: int,
    ) -> list[int]:
        """Positions without each run of `span` of them that can go, the last run first."""
        at = len(kept) - span
        while at >= 0:
            without = kept[:at] + kept[at + span :]
            enough = len(without) >= least
            if enough and await self.reaches(before, [actions[i] for i in without], target):
                kept = without
            at = min(at - 1, len(kept) - span)
        return kept

    async def same_state(self, before: Sequence[str], action: str) -> bool | None:
        """Whether an action leaves the state as it was; None where the world cannot tell."""
        if silent(action):
            return True
        if not await self._snapshots_tell():
            return None
        here = await self._go_to(tuple(before))
        there = await self._go_to((*before, action))
        return (here.snapshot, here.ended) == (there.snapshot, there.ended)

    async def answered_alike(
        self, before: Sequence[str], action: str, after: Sequence[str]
    ) -> bool:
        """Whether further actions are answered alike with and without an action before them.

        True as well where texts tell nothing: they do not repeat, or count the steps.
        """
        if not await self._texts_tell(after):
            return True
        with_it, without = await self.play((*before, action), after), await self.play(before, after)
        return _texts(with_it) == _texts(without)

    async def _snapshots_tell(self) -> bool:
        """Whether equal states have equal snapshots: some compare by identity, or count steps."""
        if self._comparable is None:
            self._comparable = self.forks and await self._is_known_by_its_snapshot()
        return self._comparable

    async def _is_known_by_its_snapshot(self) -> bool:
        assert self._forkable is not None
        before = await self._go_to(())
        try:
            await self.env.step(REVISE)  # which no world knows: nothing has changed
            return bool(before.snapshot == self._forkable.snapshot())
        except Exception:  # noqa: BLE001 -- a snapshot is opaque: it need not compare at all
            return False

    async def _texts_tell(self, actions: Sequence[str]) -> bool:
        """Whether answers depend on the state alone."""
        if self.env.info.repeats != "text":
            return False
        if self._readable is None:
            await begin(self.env, self.task)
            await self._act(REVISE, 0.0, unheard=True)
            answers = [(await self._act(action, 0.0))[0] for action in actions[:1]]
            plain = await self.play((), actions[:1])
            self._readable = [normalised(one) for one in answers] == _texts(plain)
        return self._readable

    async def ended(self, actions: Sequence[str]) -> bool:
        """Whether the episode is over after these actions."""
        return (await self._go_to(tuple(actions))).ended

    async def _go_to(self, actions: Actions) -> State:
        """Bring the world to a state: from the nearest one that is kept, or from its reset."""
        known = len(actions)
        while known and actions[:known] not in self._kept:
            known -= 1
        state = self._kept.get(actions[:known])
        if state is None:  # not even the reset is kept
            state = State(0.0, False)
            await begin(self.env, self.task)
        elif not state.ended:
            self._restore(state)
        reward, ended = state.reward, state.ended
        for action in actions[known:]:
            if ended:
                break
            _, reward, ended = await self._act(action, reward)
        return self._keep(actions, reward, ended)

    async def _act(
        self, action: str, reward: float, *, unheard: bool = False
    ) -> tuple[str, float, bool]:
        if silent(action) and not unheard:  # the world never sees it
            return "", reward, False
        try:
            result = sound(await self.env.step(action))
        except AgentRError:
            raise
        except Exception as error:
            raise broken(self.env.info, error) from error
        return result.observation, result.reward, result.terminated or result.truncated

    def _restore(self, state: State) -> None:
        assert self._forkable is not None
        try:
            self._forkable.restore(state.snapshot)
        except Exception as error:
            raise broken(self.env.info, error) from error

    def _keep(self, actions: Actions, reward: float, ended: bool) -> State:
        if self._forkable is None:
            return State(reward, ended)
        try:
            snapshot = None if ended else self._forkable.snapshot()
        except Exception as error:
            raise broken(self.env.info, error) from error
        state = State(reward, ended, snapshot)
        self._kept[actions] = state
        self._kept.move_to_end(actions)
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return state


def _texts(answers: Answers) -> list[str]:
    return [normalised(text) for text in answers.observations]
