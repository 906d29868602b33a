"""The account of a run: witnesses in pairs, kinds of error, and what a tree lacked."""

from __future__ import annotations

import pytest

from agent_r.algorithm.critique import FirstError
from agent_r.algorithm.pairing import TrajectoryPair
from agent_r.algorithm.proof.effects import Effect
from agent_r.algorithm.revision import Revision
from agent_r.algorithm.tree import SearchTree
from agent_r.collection.tree_revisions import TreeRevisions
from agent_r.diagnostics.account import Account, Accounting, account_lines
from agent_r.settings import CritiqueConfig, RevisionConfig
from tests.support.planting import judged, leaf, plant

TREE = plant(("a/b/c/d", 0.0), ("a/b/c/e", 0.0), ("a/x", 1.0))  # they part after a
A, B, C, D = TREE.path(leaf(TREE, "a/b/c/d"))
CRITIQUES = {A: judged("Bad"), B: judged("Bad"), C: judged("Uncertain"), D: judged("Bad")}


def counted(tree_revisions: TreeRevisions, tree: SearchTree = TREE) -> Account:
    accounting = Accounting()
    accounting.add(tree, tree_revisions, RevisionConfig(), CritiqueConfig(localiser="witnesses"))
    return accounting.account


def revision(kind: str) -> Revision:
    pair, error = TrajectoryPair(0, 0, 0), FirstError(0, "replay", None)
    return Revision(pair, error, (), 1.0, True, "proof", kind)


def test_two_witnesses_of_a_step_are_compared_where_both_say_something() -> None:
    effects = {B: Effect.PROGRESS, C: Effect.IDLE, D: Effect.DEAD_END}
    # The value falls most at b; c is on both bad paths, and its judge is uncertain.
    assert counted(TreeRevisions(CRITIQUES, effects=effects, pairs=2)).agreement == {
        "replay and value differ": 3,
        "actor and replay agree": 1,
        "actor and replay differ": 1,
        "actor and value agree": 1,
        "actor and value differ": 1,
    }


def test_beyond_the_first_error_and_on_paths_not_tried_no_witness_is_asked() -> None:
    effects = {B: Effect.PROGRESS, C: Effect.COSTLY, D: Effect.DEAD_END}
    assert counted(TreeRevisions(CRITIQUES, effects=effects, pairs=2)).agreement == {
        "replay and value differ": 2,
        "actor and replay differ": 1,
        "actor and value agree": 1,
    }
    assert counted(TreeRevisions(CRITIQUES, effects=effects, pairs=0)).agreement == {}


@pytest.mark.parametrize(
    ("tree", "tree_revisions", "lacking"),
    [
        (plant(("a", 0.0), ("b", 0.0)), TreeRevisions(), {"every reward 0": 1}),
        (plant(("a", 0.5), ("b", 0.0)), TreeRevisions(), {"no good episode": 1}),
        (plant(("a", 1.0)), TreeRevisions(), {"every episode good": 1}),
        (
            TREE,
            TreeRevisions(
                pairs=5,
                drops={"duplicate": 1, "the same error again": 3, "the step was needed": 2},
            ),
            {"the step was needed": 1},
        ),
        (TREE, TreeRevisions(pairs=0), {"no pair was tried": 1}),
        (TREE, TreeRevisions(revisions=[revision("")], drops={"duplicate": 1}), {}),
    ],
)
def test_a_tree_without_a_revision_is_counted_by_what_it_lacked(
    tree: SearchTree, tree_revisions: TreeRevisions, lacking: dict[str, int]
) -> None:
    assert counted(tree_revisions, tree).lacking == lacking


def test_revisions_are_counted_by_the_kind_of_their_error_and_said_at_the_runs_end() -> None:
    account = counted(TreeRevisions(revisions=[revision("dead end"), revision(""), revision("")]))
    assert account.errors == {"not proved": 2, "dead end": 1}
    assert "errors       3: 2 not proved, 1 dead end" in account_lines(account)


def test_an_account_of_before_is_read_as_if_nothing_were_counted_there() -> None:
    old = Account.model_validate({"replies": {"action": 3}})
    assert (old.errors, old.lacking, old.agreement) == ({}, {}, {})
