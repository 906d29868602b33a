"""Preference pairs of a tree: at one point, a way on that is better, and one that is worse.

Better is what the tree knows: the value of both children, where it holds both; a way that replay
found on the spot counts with the reward that it reaches.
"""

from __future__ import annotations

from agent_r.algorithm.pairing import TrajectoryPair
from agent_r.algorithm.proof.cleaning import actions_of
from agent_r.algorithm.proof.effects import Prover
from agent_r.algorithm.revision import Preference, Splice
from agent_r.algorithm.tree import SearchTree, known_values


def at_the_fork(tree: SearchTree, pair: TrajectoryPair, *, margin: float) -> Preference | None:
    """The next steps of both trajectories of a pair, where they part.

    None where the good one goes on without an action, or is not better by `margin`.
    """
    good, bad = tree.path(pair.good)[pair.fork], tree.path(pair.bad)[pair.fork]
    chosen, rejected = tree.nodes[good].step, tree.nodes[bad].step
    values = known_values(tree)
    if chosen is None or rejected is None or not chosen.action:
        return None
    if values[good] - values[bad] < margin:
        return None
    return Preference(pair.fork, chosen, rejected, values[good], values[bad])


async def at_the_error(
    prover: Prover, tree: SearchTree, error: int, splice: Splice, *, margin: float, proved: bool
) -> Preference | None:
    """The first step of the way on that was known before the error, and the error itself.

    None where they are the same, or the first is not better by `margin`. Of an error that replay
    has `proved` it is enough that the tree does not say the opposite.
    """
    before = actions_of(splice.before[:-1])
    way = await prover.nearest(before)
    if way is None or not way.steps:
        return None
    chosen, rejected = way.steps[0], splice.bad[-1]
    values = known_values(tree)
    parent = tree.nodes[error].parent or 0
    twins = [
        values[child]
        for child in tree.nodes[parent].children
        if (step := tree.nodes[child].step) is not None
        and step.action.split() == chosen.action.split()
    ]
    value = max(twins, default=prover.target)
    if chosen.action.split() == rejected.action.split():
        return None
    if value - values[error] < (0.0 if proved else margin):
        return None
    return Preference(len(before), chosen, rejected, value, values[error])
