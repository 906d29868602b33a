"""Remove the steps that a good trajectory does not need: replay it without each in turn.

A trajectory that reached its goal by sampling has detours and refused actions in it, and training
on it would teach them. No model is asked: the world says whether the goal is still reached.
"""

from __future__ import annotations

from dataclasses import replace

from agent_r.algorithm.proof.rehearsal import Rehearsal
from agent_r.algorithm.replay import replay
from agent_r.algorithm.trajectory import Trajectory


async def prune(rehearsal: Rehearsal, way: Trajectory) -> Trajectory:
    """A trajectory without the steps that its reward does not need, as the world answers it then.

    One that does not earn its reward again stays as it is.
    """
    actions = [step.action for step in way.steps]
    needed = await rehearsal.shorten([], actions, way.reward, least=1)
    if needed is None:
        return way
    kept = [way.steps[i] for i in needed]
    replayed, reward = await replay(rehearsal.env, way.task, [step.response for step in kept])
    steps = (
        replace(now, reasoning=before.reasoning)
        for now, before in zip(replayed, kept, strict=False)
    )
    return replace(way, steps=tuple(steps), reward=reward)
