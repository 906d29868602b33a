"""Remove the steps that a good trajectory does not need: replay it without each in turn.

A trajectory that reached its goal by sampling has detours and refused actions in it, and training
on it would teach them. No model is asked: the world says whether the goal is still reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent_r.algorithm.proof.rehearsal import Rehearsal
from agent_r.algorithm.replay import replay
from agent_r.algorithm.trajectory import Step


async def prune(
    rehearsal: Rehearsal, steps: Sequence[Step], *, keep: int, target: float
) -> list[Step]:
    """The steps without those, from position `keep` on, that a reward of `target` does not need.

    The result carries the observations of its own replay. Steps that miss the target stay as they
    are.
    """
    actions = [step.action for step in steps]
    needed = await rehearsal.shorten(actions[:keep], actions[keep:], target)
    if needed is None:
        return list(steps)
    kept = [*steps[:keep], *(steps[keep + i] for i in needed)]
    replayed, _ = await replay(rehearsal.env, rehearsal.task, [step.response for step in kept])
    return [
        replace(now, reasoning=before.reasoning)
        for now, before in zip(replayed, kept, strict=False)
    ]
