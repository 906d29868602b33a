"""Stop a run that cannot produce any pair after its first trees, not after its budget."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent_r.algorithm.pairing import pair_trajectories
from agent_r.algorithm.tree import SearchTree
from agent_r.collection.tree_revisions import TreeRevisions
from agent_r.diagnostics.account import Accounting
from agent_r.endpoint.limiter import at_once
from agent_r.errors import NothingMade
from agent_r.settings import Config, RevisionConfig

SPEECHLESS_TREES = 4  # without one action in any reply: then the next will hold none either


@dataclass(slots=True)
class EarlyStop:
    """Counts trees as they are finished, and looks at them until one has a pair."""

    config: Config
    revision: RevisionConfig  # with the iteration's alpha
    total: int  # trees that are planned
    accounting: Accounting = field(default_factory=Accounting)  # of the trees seen
    looking: bool = True

    def explored(self, tree: SearchTree) -> None:
        """A tree is there, and its revisions are not yet: those with a pair take longest."""
        if self.looking and pair_trajectories(tree, self.revision):
            self.looking = False

    def see(self, tree: SearchTree, revisions: TreeRevisions) -> None:
        """Take one more tree into account.

        Raises:
            NothingMade: so far no reply held an action, or no tree of many a pair.
        """
        self.accounting.add(tree, revisions, self.revision, self.config.critique)
        if not self.looking:
            return
        self.looking = self.accounting.fruitless
        trees, patience = self.accounting.trees, self._patience()
        if self.accounting.speechless and trees >= min(SPEECHLESS_TREES, self.total):
            self._stop(f"no reply of the first {trees} trees holds an action")
        if self.looking and patience and trees >= patience:
            self._stop(
                f"none of the first {trees} trees has a good and a bad episode to pair "
                "(budget.fruitless_trees)"
            )

    def _patience(self) -> int:
        """Trees to wait for; 0: for ever.

        The first to end are the easy ones. Where some of them earn anything, those that were begun
        with them, and take longer, may have what these lack: as many more are waited for.
        """
        patience = self.config.budget.fruitless_trees
        if patience and self.accounting.earns:
            patience += at_once(self.config.endpoint.concurrency)
        return patience

    def _stop(self, why: str) -> None:
        lines = self.accounting.lines(self.config)
        raise NothingMade(f"stopped, for nothing can come of this run: {why}", lines)
