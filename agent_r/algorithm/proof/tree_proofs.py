"""The proved steps of one tree: each step of a bad trajectory, from the fork on, proved once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from agent_r.algorithm.pairing import TrajectoryPair, good_leaves
from agent_r.algorithm.proof.cleaning import actions_of
from agent_r.algorithm.proof.effects import ERRORS, Effect, Prover
from agent_r.algorithm.proof.rehearsal import Rehearsal
from agent_r.algorithm.trajectory import Step
from agent_r.algorithm.tree import SearchTree
from agent_r.settings import RevisionConfig

_OTHER_WAYS = 3  # good trajectories beside a pair's own by which its bad steps are proved


@dataclass(slots=True)
class TreeProofs:
    """What replay proved so far.

    A world that cannot fork pays a replay for each thing that is tried: there a bad trajectory is
    proved up to its first error, and by its own good one alone.
    """

    rehearsal: Rehearsal
    tree: SearchTree
    revision: RevisionConfig  # with the iteration's alpha
    effects: dict[int, Effect] = field(default_factory=dict)  # by node
    good: list[int] = field(init=False)  # leaves
    _ways: dict[Hashable, tuple[int, ...] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.good = good_leaves(self.tree, self.revision)

    async def prove(self, pair: TrajectoryPair) -> None:
        """Find out what each step of a pair's bad trajectory did, from the fork on."""
        path = self.tree.path(pair.bad)[pair.fork :]
        if all(index in self.effects for index in path):
            return
        actions = actions_of(self.tree.steps(pair.bad))
        effects = await self.prover(pair).prove(
            actions[: pair.fork], actions[pair.fork :], to_the_end=self.rehearsal.forks
        )
        for index, effect in zip(path, effects, strict=False):
            self.effects.setdefault(index, effect)

    def prover(self, pair: TrajectoryPair) -> Prover:
        """What is known of good ways on from a pair's bad trajectory."""
        others = (leaf for leaf in self.good if leaf != pair.good)
        leaves = [pair.good, *islice(others, _OTHER_WAYS if self.rehearsal.forks else 0)]
        tail: Sequence[Step] = self.tree.steps(pair.good)[pair.fork :]
        ways = [[step for step in way if step.action] for way in map(self.tree.steps, leaves)]
        target = max(self.revision.alpha, self.tree.nodes[pair.good].reward)
        own = [step for step in tail if step.action]
        return Prover(self.rehearsal, [own, *ways], target, self._ways)

    def up_to_an_error(self, path: Sequence[int]) -> Sequence[int]:
        """A part of a path that ends with its first proved error; all of it where there is none."""
        proved = [at for at, index in enumerate(path) if self.effects.get(index) in ERRORS]
        return path[: proved[0] + 1] if proved else path
