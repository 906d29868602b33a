"""Pair the bad trajectories of a tree with good ones that share their beginning (section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent_r.algorithm.trajectory import NOT_THE_ACTORS, Step
from agent_r.algorithm.tree import SearchTree
from agent_r.settings import RevisionConfig


@dataclass(frozen=True, slots=True)
class TrajectoryPair:
    """Two leaves of one tree; `fork` is how many steps they share."""

    bad: int
    good: int
    fork: int


def pair_trajectories(tree: SearchTree, config: RevisionConfig) -> list[TrajectoryPair]:
    """For every bad leaf the good leaf with the deepest common step; deepest forks first.

    Of equal forks the one that earns most; of those the first, which is the shortest.
    """
    nearest: dict[int, TrajectoryPair] = {}
    for pair in all_pairs(tree, config):
        best = nearest.setdefault(pair.bad, pair)
        if _nearness(tree, pair) > _nearness(tree, best):
            nearest[pair.bad] = pair
    return sorted(nearest.values(), key=lambda pair: (-pair.fork, pair.bad))


def _nearness(tree: SearchTree, pair: TrajectoryPair) -> tuple[int, float]:
    return pair.fork, tree.nodes[pair.good].reward


def all_pairs(tree: SearchTree, config: RevisionConfig) -> list[TrajectoryPair]:
    """Every bad leaf with every good one that it is bad beside, as in the paper.

    Below alpha = 1 a leaf may be bad beside one good leaf and not beside another. An episode that
    the server or the world broke off is no bad one: the actor might have gone on rightly.
    """
    good = good_leaves(tree, config)
    return [
        TrajectoryPair(bad, leaf, _fork(tree.path(bad), tree.path(leaf)))
        for bad in _own_ends(tree)
        for leaf in good
        if is_bad(tree.nodes[bad].reward, tree.nodes[leaf].reward, config)
    ]


def _own_ends(tree: SearchTree) -> list[int]:
    """Leaves where the actor itself ended the episode."""
    return [leaf for leaf in tree.leaves() if tree.nodes[leaf].stop not in NOT_THE_ACTORS]


def why_no_pair(tree: SearchTree, config: RevisionConfig) -> str:
    """Why a tree has nothing to pair; "" where it has."""
    if pair_trajectories(tree, config):
        return ""
    rewards = [tree.nodes[leaf].reward for leaf in _own_ends(tree)]
    if not rewards:
        return "no episode came to its end"
    if all(reward < config.alpha for reward in rewards):
        return "no good episode" if any(rewards) else "every reward 0"
    if all(reward >= config.alpha for reward in rewards):
        return "every episode good"
    return "the good one goes in circles" if not good_leaves(tree, config) else "no gap"


def is_bad(reward: float, good: float, config: RevisionConfig) -> bool:
    """Section 3.1 reads beta as a threshold, section 4.2 and the published code as a gap."""
    if config.beta_is == "threshold":
        return reward < config.beta
    return good - reward > config.beta


def good_leaves(tree: SearchTree, config: RevisionConfig) -> list[int]:
    """Leaves that reach alpha without going round in circles, shortest first, no twins."""
    found: dict[tuple[str, ...], int] = {}
    reached = [leaf for leaf in tree.leaves() if tree.nodes[leaf].reward >= config.alpha]
    for leaf in sorted(reached, key=lambda leaf: (len(tree.path(leaf)), leaf)):
        steps = tree.steps(leaf)
        if not loops(steps):
            found.setdefault(tuple(step.action for step in steps), leaf)
    return list(found.values())


def loops(steps: Sequence[Step]) -> bool:
    """Does an episode repeat itself: one action, answered alike, three times in a row?

    >>> loops([Step("", "look", "a room")] * 3), loops([Step("", "look", "a room")] * 2)
    (True, False)
    """
    keys = [(step.action, step.observation) for step in steps]
    return any(a == b == c for a, b, c in zip(keys, keys[1:], keys[2:], strict=False))


def _fork(one: Sequence[int], other: Sequence[int]) -> int:
    same = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        same += 1
    return same
