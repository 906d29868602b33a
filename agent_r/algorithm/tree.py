"""The search tree of one task: nodes in a list, which compares, prints and serialises."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from agent_r.algorithm.trajectory import NOT_THE_ACTORS, Step, StopReason, Trajectory

ROOT = 0


@dataclass(slots=True)
class Node:
    """A state reached by one response; `parent` and `children` are indices into the tree."""

    parent: int | None = None
    step: Step | None = None  # None at the root alone
    reward: float = 0.0  # the world's reward so far
    stop: StopReason | None = None  # set at a leaf: nothing follows
    children: list[int] = field(default_factory=list)
    visits: int = 0
    total_return: float = 0.0

    @property
    def value(self) -> float:
        """Mean return of the simulations through this node; 0 before the first."""
        return self.total_return / self.visits if self.visits else 0.0


@dataclass(slots=True)
class SearchTree:
    """All that was tried for one task."""

    task: str
    prompt: str
    seed: int
    nodes: list[Node] = field(default_factory=lambda: [Node()])
    calls: int = 0  # completion requests
    env_steps: int = 0  # actions the world answered, replays included
    prompt_tokens: int = 0
    completion_tokens: int = 0
    replies: dict[str, int] = field(default_factory=dict)  # all that were sampled, by Outcome
    reasoned_away: int = 0  # of the cut and empty replies, those that held reasoning alone
    samples: dict[str, str] = field(default_factory=dict)  # the first of each that held no action

    def __str__(self) -> str:
        """The tree as text: a line for each node, indented below its parent's."""
        return "\n".join([f"{self.task}: {self.calls} requests", *self._lines(ROOT, "")])

    def _lines(self, index: int, indent: str) -> Iterator[str]:
        for child in self.nodes[index].children:
            node = self.nodes[child]
            ended = f", {node.stop} with reward {node.reward:g}" if node.stop else ""
            action = node.step.action if node.step else ""
            yield f"{indent}{action!r}: {node.visits} visits, value {node.value:.2f}{ended}"
            yield from self._lines(child, indent + "  ")

    def path(self, index: int) -> list[int]:
        """Indices from the root's child down to `index`; empty for the root."""
        found: list[int] = []
        while (parent := self.nodes[index].parent) is not None:
            found.append(index)
            index = parent
        return found[::-1]

    def steps(self, index: int) -> list[Step]:
        """The steps that lead to a node."""
        return [step for i in self.path(index) if (step := self.nodes[i].step) is not None]

    def leaves(self) -> Iterator[int]:
        """Nodes where an episode ended, in the order they were found."""
        return (i for i, node in enumerate(self.nodes) if node.stop is not None and i != ROOT)

    def trajectory(self, leaf: int) -> Trajectory:
        """The episode that ended at a leaf."""
        node = self.nodes[leaf]
        stop = node.stop or StopReason.STEP_LIMIT
        return Trajectory(self.task, self.prompt, tuple(self.steps(leaf)), node.reward, stop)


def known_values(tree: SearchTree) -> list[float]:
    """Each node's value by all that is known below it: the mean reward of its leaves.

    Leaves that no simulation has visited count as well, which a mean return leaves out; ends that
    are not the actor's own do not. Of a node without a leaf below, the reward so far.
    """
    totals, counts = [0.0] * len(tree.nodes), [0] * len(tree.nodes)
    for index in reversed(range(len(tree.nodes))):  # a child comes after its parent
        node = tree.nodes[index]
        if node.stop is not None and node.stop not in NOT_THE_ACTORS and index != ROOT:
            totals[index], counts[index] = node.reward, 1
        if node.parent is not None:
            totals[node.parent] += totals[index]
            counts[node.parent] += counts[index]
    return [
        total / count if count else node.reward
        for node, total, count in zip(tree.nodes, totals, counts, strict=True)
    ]
