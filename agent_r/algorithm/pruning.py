"""Remove the steps that a good trajectory does not need: replay it without each in turn.

A trajectory that reached its goal by sampling has detours and refused actions in it, and training
on it would teach them. No model is asked: the world says whether the goal is still reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent_r.algorithm.replay import replay
from agent_r.algorithm.trajectory import Step
from agent_r.environment import Environment


async def prune(
    env: Environment, task: str, steps: Sequence[Step], *, keep: int, alpha: float
) -> list[Step]:
    """The steps without those, from position `keep` on, that reward `alpha` does not need.

    Later steps are tried first: what only they needed then goes too. The result carries the
    observations of its own last replay. Costs one replay a step.
    """
    kept = list(steps)
    for position in range(len(steps) - 2, keep - 1, -1):
        without = [step for i, step in enumerate(kept) if i != position]
        replayed, reward = await replay(env, task, [step.response for step in without])
        if reward >= alpha:
            pairs = zip(replayed, without, strict=False)
            kept = [replace(now, reasoning=before.reasoning) for now, before in pairs]
    return kept
