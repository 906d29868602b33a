"""Turn a tree into the page's data: a line of the list, and all of it in compact form.

Texts are in one table and everything else names them by number: a conversation's messages are the
tree's own replies and observations again and again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from agent_r.algorithm.critique import first_bad, largest_fall
from agent_r.algorithm.rows import Row
from agent_r.algorithm.tree import SearchTree
from agent_r.dataset.view.exhibit import Exhibit, Tried

_OF_A_ROW = (
    *("id", "kind", "reward", "verified", "parts", "fork_step", "error_step", "localiser"),
    *("agrees_with_value", "signal_source", "reward_bad", "reward_good", "step", "verdict"),
    *("reward_chosen", "reward_rejected"),
)


class _Texts:
    """A table of texts, each stored once; its number is its place."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, text: str) -> int:
        if text not in self._places:
            self._places[text] = len(self.all)
            self.all.append(text)
        return self._places[text]


def line(shown: Exhibit) -> dict[str, Any]:
    """What the list shows of a tree, filters by and sorts by."""
    row, tree = shown.row, shown.tree
    ends = [tree.nodes[leaf].reward for leaf in tree.leaves()]
    kinds = Counter(one["kind"] for one in shown.rows["sft"])
    found = {
        "id": row["id"],
        "task": row["task"],
        "env": row["env"],
        "actor": row["actor"],
        "iteration": row["iteration"],
        "depth": row["depth"],
        "states": len(tree.nodes),
        "steps": max((len(tree.path(leaf)) for leaf in tree.leaves()), default=0),
        "ends": len(ends),
        "best": max(ends, default=0.0),
        "mean": sum(ends) / len(ends) if ends else 0.0,
        "pairs": max(len(shown.tried), kinds["revision"] + sum(shown.drops.values())),
        "revisions": kinds["revision"],
        "interleaved": kinds["interleaved"],
        "good": kinds["good"],
        "judged": len(shown.critiques),
        "drops": shown.drops,
    }
    return found if shown.judged else found | {"unjudged": True}


def record(shown: Exhibit) -> dict[str, Any]:
    """All that the page shows of a tree."""
    texts = _Texts()
    tree, row = shown.tree, shown.row
    nodes = [_node(shown, at, texts) for at in range(len(tree.nodes))]
    return {
        "id": row["id"],
        "seed": row["seed"],
        "calls": row["calls"],
        "env_steps": row["env_steps"],
        "tokens": [row["prompt_tokens"], row["completion_tokens"]],
        "replies": tree.replies,
        "samples": {outcome: texts.place(text) for outcome, text in tree.samples.items()},
        "nodes": nodes,
        "tried": [_tried(tree, shown, one) for one in shown.tried],
        "drops": shown.drops,
        "rows": [
            {"config": config} | _row(one, texts)
            for config, rows in shown.rows.items()
            for one in rows
        ],
        "texts": texts.all,
    }


def _node(shown: Exhibit, at: int, texts: _Texts) -> dict[str, Any]:
    node_row = shown.row["nodes"][at]
    node = {
        "parent": node_row["parent"],
        "said": texts.place(node_row["response"]),
        "action": texts.place(node_row["action"]),
        "saw": texts.place(node_row["observation"]),
        "reward": node_row["reward"],
        "stop": node_row["stop"],
        "visits": node_row["visits"],
        "total": node_row["total_return"],
    }
    step = shown.tree.nodes[at].step
    if step is not None and step.reasoning:
        node["reasoning"] = texts.place(step.reasoning)
    if (critique := shown.critiques.get(at)) is not None:
        node["verdict"] = critique.verdict.value if critique.verdict else "failed"
        node["judge"] = texts.place(critique.text)
    elif node_row["verdict"]:
        node["verdict"] = node_row["verdict"]
    return node


def _tried(tree: SearchTree, shown: Exhibit, one: Tried) -> dict[str, Any]:
    path = tree.path(one.pair.bad)
    error = one.error
    if error is None:
        error = first_bad(path, one.pair.fork, shown.critiques)
    fall = largest_fall(tree, path, one.pair.fork)
    return {
        "bad": one.pair.bad,
        "good": one.pair.good,
        "fork": one.pair.fork,
        "error": None if error is None else path[error],
        "fall": None if fall is None else path[fall],
        "row": one.row,
        "reason": one.reason,
    }


def _row(row: Row, texts: _Texts) -> dict[str, Any]:
    found = {key: row[key] for key in _OF_A_ROW if row.get(key) is not None}
    for part in ("messages", "prompt", "chosen", "rejected"):
        if part in row:
            found[part] = _messages(row[part], texts)
    if any(row.get("reasoning") or ()):
        found["reasoning"] = [texts.place(thought) for thought in row["reasoning"]]
    if row.get("final_observation"):
        found["final"] = texts.place(row["final_observation"])
    return found


def _messages(messages: Sequence[Mapping[str, Any]], texts: _Texts) -> list[list[Any]]:
    """Role, text, and whether the loss falls on it."""
    return [[m["role"], texts.place(m["content"]), int(m.get("train", False))] for m in messages]
