"""The proved steps of one tree: each step of a bad trajectory, from the fork on, proved once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

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
    """What replay proved so far: each bad trajectory up to its first error.

    A world that cannot fork pays a replay for each thing that is tried: there one good trajectory
    is the measure, and not some.
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
        """Find out what each step of a pair's bad trajectory did, from the fork to an error."""
        path = self.tree.path(pair.bad)[pair.fork :]
        if all(index in self.effects for index in self.up_to_an_error(path)):
            return
        actions = actions_of(self.tree.steps(pair.bad))
        effects = await self.prover(pair).prove(actions[: pair.fork], actions[pair.fork :])
        for index, effect in zip(path, effects, strict=False):
            self.effects.setdefault(index, effect)

    def prover(self, pair: TrajectoryPair | None = None) -> Prover:
        """What is known of the best ways on from a pair's bad trajectory, or from anywhere.

        All proofs of a tree are of one target, its best reward: a step that only a better end needs
        is not unneeded. So a pair's own good way counts where it earns that.
        """
        best = max(self.tree.nodes[leaf].reward for leaf in self.good)
        leaves = [leaf for leaf in self.good if self.tree.nodes[leaf].reward == best]
        ways: list[Sequence[Step]] = []
        if pair is not None and pair.good in leaves:
            leaves.remove(pair.good)
            leaves.insert(0, pair.good)
            ways.append(_with_actions(self.tree.steps(pair.good)[pair.fork :]))
        most = 1 + (_OTHER_WAYS if self.rehearsal.forks else 0)
        ways += [_with_actions(self.tree.steps(leaf)) for leaf in leaves[:most]]
        return Prover(self.rehearsal, ways, max(self.revision.alpha, best), self._ways)

    def up_to_an_error(self, path: Sequence[int]) -> Sequence[int]:
        """A part of a path that ends with its first proved error; all of it where there is none."""
        proved = [at for at, index in enumerate(path) if self.effects.get(index) in ERRORS]
        return path[: proved[0] + 1] if proved else path


def _with_actions(steps: Sequence[Step]) -> list[Step]:
    return [step for step in steps if step.action]
