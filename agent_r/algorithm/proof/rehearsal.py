"""Try actions in a world again and again, from any state of one task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from agent_r.algorithm.episode import silent
from agent_r.algorithm.proof.state_graph import StateGraph
from agent_r.algorithm.replay import normalised
from agent_r.environment import Environment

ROUNDED = 1e-9  # by which a reward may miss what it is compared with


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
    _states: StateGraph = field(init=False)
    _readable: bool | None = None  # whether answers depend on the state alone; None: not tried yet

    def __post_init__(self) -> None:
        self._states = StateGraph(self.env, self.task)

    @property
    def forks(self) -> bool:
        """Whether a try costs no replay."""
        return self._states.forks

    @property
    def spans(self) -> tuple[int, ...]:
        """How many actions in a row are left out at once, to see what is not needed."""
        return (1, 2) if self.forks else (1,)

    async def play(self, before: Sequence[str], actions: Sequence[str]) -> Answers:
        """Take actions in the state that others led to.

        Raises:
            EnvironmentFault: the world broke.
        """
        state = await self._states.reach(before)
        observations, there = await self._states.walk(state, actions)
        return Answers(tuple(observations), there.reward, there.ended)

    async def reaches(self, before: Sequence[str], actions: Sequence[str], target: float) -> bool:
        """Whether actions earn at least `target` from a state in which the episode goes on."""
        state = await self._states.reach(before)
        there = (await self._states.walk(state, actions))[1]
        return not state.ended and there.reward >= target - ROUNDED

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
        here = await self._states.reach(before)
        if not self._states.merges:
            return None
        return (await self._states.walk(here, [action]))[1] is here

    async def answered_alike(
        self, before: Sequence[str], action: str, after: Sequence[str]
    ) -> bool:
        """Whether further actions are answered alike with and without an action before them.

        True as well where texts tell nothing: they do not repeat, or count the steps.
        """
        if not await self._texts_tell(after):
            return True
        with_it, without = await self.play((*before, action), after), await self.play(before, after)
        return _texts(with_it.observations) == _texts(without.observations)

    async def _texts_tell(self, actions: Sequence[str]) -> bool:
        """Whether answers depend on the state alone."""
        if self.env.info.repeats != "text":
            return False
        if self._readable is None:
            plain = await self.play((), actions[:1])
            unheard = await self._states.unheard(actions[:1])
            self._readable = _texts(unheard) == _texts(plain.observations)
        return self._readable

    async def ended(self, actions: Sequence[str]) -> bool:
        """Whether the episode is over after these actions."""
        return (await self._states.reach(actions)).ended


def _texts(observations: Sequence[str]) -> list[str]:
    return [normalised(text) for text in observations]
