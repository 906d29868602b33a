"""Search trees by hand: what was done, and what it earned; and a run of one toy world."""

from __future__ import annotations

from collections.abc import Callable

from agent_r.algorithm.critique import Critique, Verdict
from agent_r.algorithm.search import backpropagate
from agent_r.algorithm.trajectory import Step, StopReason
from agent_r.algorithm.tree import Node, SearchTree
from agent_r.environment import Embedded, Environment
from agent_r.run_worlds import Member, Worlds
from agent_r.settings import PythonEnv


def plant(*episodes: tuple[str, float], task: str = "corridor 1", seed: int = 0) -> SearchTree:
    """A tree of episodes such as ("take key/east/push", 0.3); equal beginnings are shared.

    Every leaf was visited once; the reward of an inner node is 0.
    """
    tree = SearchTree(task, "the prompt", seed)
    for actions, reward in episodes:
        at = 0
        for action in actions.split("/"):
            at = _child(tree, at, action)
        tree.nodes[at].reward, tree.nodes[at].stop = reward, StopReason.TERMINATED
        backpropagate(tree, at)
    return tree


def _child(tree: SearchTree, parent: int, action: str) -> int:
    for index in tree.nodes[parent].children:
        if (step := tree.nodes[index].step) and step.action == action:
            return index
    step = Step(f"Thought: now.\nAction: {action}", action, f"seen {action}")
    tree.nodes.append(Node(parent=parent, step=step))
    tree.nodes[parent].children.append(len(tree.nodes) - 1)
    return len(tree.nodes) - 1


def leaf(tree: SearchTree, actions: str) -> int:
    """The leaf that an episode ended in."""
    wanted = actions.split("/")
    return next(i for i in tree.leaves() if [s.action for s in tree.steps(i)] == wanted)


def judged(verdict: str | None, reason: str = "because") -> Critique:
    """A judgement as the actor would have given it."""
    if verdict is None:
        return Critique(None, "", "hm")
    return Critique(Verdict(verdict), reason, f"{reason}\nJudgement: {verdict}")


def only(make: Callable[[], Environment], *, weight: float = 1.0) -> Worlds:
    """The worlds of a run in which there is but one."""
    spec = PythonEnv(kind="python", factory="tests:toy", weight=weight)
    info = make().info
    return Worlds({info.name: Member(spec, Embedded(make), info)})
