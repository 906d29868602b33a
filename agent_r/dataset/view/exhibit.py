"""Gather one tree with its rows, pairs and judgements, wherever it is read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from agent_r.algorithm.critique import Critique, Verdict
from agent_r.algorithm.pairing import TrajectoryPair, loops
from agent_r.algorithm.revision import Part
from agent_r.algorithm.rows import Row
from agent_r.algorithm.trajectory import Step, StopReason
from agent_r.algorithm.tree import ROOT, Node, SearchTree
from agent_r.collection.tree_revisions import TreeRevisions
from agent_r.reading.reasoning import split_reasoning

_STOPS = {stop.value: stop for stop in StopReason}
ROWS = ("sft", "preference", "critique")  # configs whose rows are shown; the others follow of them


@dataclass(frozen=True, slots=True)
class Tried:
    """A pair of leaves, and what came of it: a row's id, or the reason why there is none."""

    pair: TrajectoryPair
    error: int | None  # position of the first wrong step on the bad path
    row: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A tree as a dataset has it, its rows, and what is known of how they were made."""

    row: Row  # of `trees`
    tree: SearchTree
    rows: dict[str, list[Row]]  # by config
    critiques: dict[int, Critique] = field(default_factory=dict)
    tried: list[Tried] = field(default_factory=list)
    drops: dict[str, int] = field(default_factory=dict)  # pairs dropped, by reason
    judged: bool = True  # False: its judgements are still to come


def tree_of(row: Row) -> SearchTree:
    """The search tree that a `trees` row describes."""
    nodes = [
        Node(
            parent=node_row["parent"],
            step=_step(node_row) if at else None,
            reward=node_row["reward"],
            stop=_stop(node_row["stop"]),
            visits=node_row["visits"],
            total_return=node_row["total_return"],
        )
        for at, node_row in enumerate(row["nodes"])
    ]
    for at, node in enumerate(nodes):
        if node.parent is not None:
            nodes[node.parent].children.append(at)
    return SearchTree(row["task"], row["nodes"][ROOT]["observation"], row["seed"], nodes)


def _step(node_row: Row) -> Step:
    reasoning = node_row.get("reasoning") or ""  # older files have none
    return Step(node_row["response"], node_row["action"], node_row["observation"], reasoning)


def _stop(reason: str | None) -> StopReason | None:
    return _STOPS.get(reason, StopReason.FAULT) if reason else None


def tried_of(tree_revisions: TreeRevisions, sft: Sequence[Row]) -> list[Tried]:
    """The pairs of a tree's revisions: those that became a row, then those that were dropped."""
    ids = {tuple(replies(row)): row["id"] for row in sft if row["kind"] == "revision"}
    found = [
        Tried(
            one.pair,
            one.error.position,
            ids.get(tuple(turn.step.response for turn in one.turns), ""),
        )
        for one in tree_revisions.revisions
    ]
    return found + [
        Tried(one.pair, None, reason=one.reason.value) for one in tree_revisions.dropped
    ]


def tried_in(tree: SearchTree, sft: Sequence[Row]) -> list[Tried]:
    """The pairs that a version's rows were cut from.

    Rows of older files do not name their leaves: these are found again by what was said, and of
    several that fit it is the first, as the pairing takes them.
    """
    found = []
    for row in sft:
        if row["kind"] != "revision":
            continue
        if row.get("error_node") is not None:
            found += _tried(tree, row)
            continue
        wrong = follow(tree, [r for r, p in zip(replies(row), row["parts"], strict=True)
                              if p in (Part.INITIAL, Part.BAD)])  # fmt: skip
        pair = _pair(tree, row, wrong) if wrong is not None else None
        if pair is not None:
            found.append(Tried(pair, row["error_step"], row["id"]))
    return found


def _tried(tree: SearchTree, row: Row) -> list[Tried]:
    """The pair that a row names; none where the tree is another one."""
    if max(row["bad_leaf"], row["good_leaf"]) >= len(tree.nodes):
        return []
    bad, good = tree.path(row["bad_leaf"]), tree.path(row["good_leaf"])
    if row["error_node"] not in bad:
        return []
    fork = sum(index in good for index in bad)  # a tree's paths never meet again
    pair = TrajectoryPair(row["bad_leaf"], row["good_leaf"], fork)
    return [Tried(pair, bad.index(row["error_node"]), row["id"])]


def _pair(tree: SearchTree, row: Row, wrong: int) -> TrajectoryPair | None:
    """The first leaf beyond the wrong step, and the shortest good way from the fork."""
    bad = [leaf for leaf in tree.leaves() if wrong in tree.path(leaf)]
    ends = [leaf for leaf in bad if tree.nodes[leaf].reward == row["reward_bad"]]
    shared, fork = tree.path(wrong), row["fork_step"]
    good = [
        leaf
        for leaf in tree.leaves()
        if tree.nodes[leaf].reward == row["reward_good"]
        and tree.path(leaf)[:fork] == shared[:fork]
        and tree.path(leaf)[fork : fork + 1] != shared[fork : fork + 1]
        and not loops(tree.steps(leaf))
    ]
    if not ends or not good:
        return None
    return TrajectoryPair(ends[0], min(good, key=lambda leaf: (len(tree.path(leaf)), leaf)), fork)


def critiques_in(tree: SearchTree, critiques: Sequence[Row]) -> dict[int, Critique]:
    """The judgements that a version's rows hold, by node."""
    found = {}
    for row in critiques:
        *steps, judgement = replies(row)
        node = follow(tree, steps)
        if node is not None:
            found[node] = Critique(Verdict(row["verdict"]), "", judgement)
    return found


def replies(row: Row) -> list[str]:
    """What the actor says in a row, turn by turn, without what it thought before."""
    assistant = (m for m in row["messages"] if m["role"] == "assistant")
    return [split_reasoning(m["content"])[1] if m["train"] else m["content"] for m in assistant]


def follow(tree: SearchTree, responses: Sequence[str]) -> int | None:
    """The node that these replies lead to; None where the tree has no such path."""
    here = ROOT
    for response in responses:
        below = (
            child
            for child in tree.nodes[here].children
            if (step := tree.nodes[child].step) is not None and step.response == response
        )
        found = next(below, None)
        if found is None:
            return None
        here = found
    return here
