"""Stop a run that cannot produce any pair after its first trees, not after its budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from agent_r.algorithm.pairing import pair_trajectories
from agent_r.algorithm.tree import SearchTree
from agent_r.collection.tree_revisions import TreeRevisions
from agent_r.diagnostics.account import Accounting
from agent_r.environment import TaskSpec
from agent_r.errors import NothingMade
from agent_r.settings import Config, RevisionConfig

SPEECHLESS_TREES = 4  # without one action in any reply: then the next will hold none either


@dataclass(slots=True)
class EarlyStop:
    """Counts trees as they are finished, and looks at them until one has a pair."""

    config: Config
    revision: RevisionConfig  # with the iteration's alpha
    planned: Sequence[TaskSpec]
    accounting: Accounting = field(default_factory=Accounting)  # of the trees seen
    looking: bool = True
    _first: set[TaskSpec] = field(init=False)  # of the plan, those that have not ended

    def __post_init__(self) -> None:
        self._first = set(self.planned[: self.config.budget.fruitless_trees])

    def explored(self, tree: SearchTree) -> None:
        """A tree is there, and its revisions are not yet: those with a pair take longest."""
        if self.looking and pair_trajectories(tree, self.revision):
            self.looking = False

    def see(self, task: TaskSpec, tree: SearchTree, revisions: TreeRevisions) -> None:
        """Take one more tree into account.

        Raises:
            NothingMade: so far no reply held an action, or no tree of many a pair.
        """
        self.accounting.add(tree, revisions, self.revision, self.config.critique)
        self._first.discard(task)
        if not self.looking:
            return
        self.looking = self.accounting.fruitless
        trees = self.accounting.trees
        if self.accounting.speechless and trees >= min(SPEECHLESS_TREES, len(self.planned)):
            self._stop(f"no reply of the first {trees} trees holds an action")
        if self.looking and self._waited():
            self._stop(
                f"none of the first {trees} trees has a good and a bad episode to pair "
                "(budget.fruitless_trees)"
            )

    def _waited(self) -> bool:
        """Whether enough trees have ended to judge by.

        The first to end are the easy ones. So where some earn anything, it must be the first of the
        plan that have ended, whatever they are like, and not merely as many.
        """
        patience = self.config.budget.fruitless_trees
        enough = 0 < patience <= self.accounting.trees
        return enough and not (self._first and self.accounting.earns)

    def _stop(self, why: str) -> None:
        lines = self.accounting.lines(self.config)
        raise NothingMade(f"stopped, for nothing can come of this run: {why}", lines)
