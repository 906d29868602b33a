"""Facts about which bad leaf goes with which good one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from agent_r.algorithm.pairing import (
    TrajectoryPair,
    all_pairs,
    good_leaves,
    is_bad,
    loops,
    pair_trajectories,
)
from agent_r.algorithm.tree import SearchTree
from agent_r.settings import RevisionConfig
from tests.support.planting import leaf, plant


def config(**over: Any) -> RevisionConfig:
    return RevisionConfig.model_validate(over)


def named(tree: SearchTree, pairs: Sequence[TrajectoryPair]) -> list[tuple[str, str, int]]:
    def actions(index: int) -> str:
        return "/".join(step.action for step in tree.steps(index))

    return [(actions(p.bad), actions(p.good), p.fork) for p in pairs]


def test_alpha_one_keeps_a_leaf_of_reward_one() -> None:
    tree = plant(("a", 1.0), ("b", 0.99), ("c", 0.0))
    assert good_leaves(tree, config(alpha=1.0)) == [leaf(tree, "a")]
    assert good_leaves(tree, config(alpha=0.99)) == [leaf(tree, "a"), leaf(tree, "b")]


def test_good_leaves_are_the_shortest_first_without_twins_or_loops() -> None:
    tree = plant(("a/b/c", 1.0), ("x", 1.0), ("l/l/l/m", 1.0), ("y/z", 1.0))
    looping = tree.steps(leaf(tree, "l/l/l/m"))
    assert loops([replace(step, observation="same") for step in looping])
    good = good_leaves(tree, config())
    assert [len(tree.path(i)) for i in good] == [1, 2, 3]
    assert leaf(tree, "l/l/l/m") not in good


def test_beta_is_a_gap_or_a_threshold_and_equality_is_not_enough() -> None:
    gap, threshold = config(beta=0.5), config(beta=0.5, beta_is="threshold")
    assert is_bad(0.49, 1.0, gap)
    assert not is_bad(0.5, 1.0, gap)
    assert is_bad(0.4, 0.5, threshold)
    assert not is_bad(0.5, 1.0, threshold)


def test_a_bad_leaf_goes_with_the_good_leaf_that_shares_most() -> None:
    tree = plant(("a/b/c", 0.0), ("x", 1.0), ("a/y", 1.0), ("a/b/z/z", 1.0))
    assert named(tree, pair_trajectories(tree, config())) == [("a/b/c", "a/b/z/z", 2)]


def test_all_pairs_are_every_bad_leaf_with_every_good_one_that_it_is_bad_beside() -> None:
    tree = plant(("a/b", 0.4), ("a/c", 0.5), ("d", 1.0))
    pairs = all_pairs(tree, config(alpha=0.5, beta=0.05))
    assert named(tree, pairs) == [("a/b", "d", 0), ("a/b", "a/c", 1), ("a/c", "d", 0)]


def test_of_good_leaves_that_share_alike_the_shortest_is_taken() -> None:
    tree = plant(("a/b", 0.0), ("a/c/d", 1.0), ("a/e", 1.0))
    assert named(tree, pair_trajectories(tree, config())) == [("a/b", "a/e", 1)]


def test_the_deepest_forks_come_first() -> None:
    tree = plant(("x", 0.0), ("a/b/c", 0.0), ("a/b/d", 1.0), ("a/e", 0.0))
    assert [p.fork for p in pair_trajectories(tree, config())] == [2, 1, 0]


def test_the_gap_holds_for_the_good_leaf_that_is_chosen() -> None:
    tree = plant(("a/bad", 0.4), ("a/near", 0.5), ("far", 1.0))
    pairs = pair_trajectories(tree, config(alpha=0.5, beta=0.2))
    assert named(tree, pairs) == [("a/bad", "far", 0), ("a/near", "far", 0)]


def test_a_leaf_is_never_paired_with_itself() -> None:
    tree = plant(("a/half", 0.5), ("a/full", 1.0))
    pairs = pair_trajectories(tree, config(alpha=0.5, beta=0.2))
    assert named(tree, pairs) == [("a/half", "a/full", 1)]


@pytest.mark.parametrize("rewards", [(0.0, 0.0), (1.0, 1.0)])
def test_a_tree_without_good_or_without_bad_leaves_has_no_pair(
    rewards: tuple[float, float],
) -> None:
    tree = plant(("a", rewards[0]), ("b", rewards[1]))
    assert pair_trajectories(tree, config()) == []
