"""Take out of a splice all that its revision would teach, or pass over, in silence.

What is trained is needed: the good tail is shortened from the correcting step on, in the state that
the error left. What comes before the error holds no other one: a step there that neither the goal
nor the world's answer to the error needs is left out, and a splice that cannot do without such a
step is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from agent_r.algorithm.proof.effects import Effect, Prover
from agent_r.algorithm.replay import normalised
from agent_r.algorithm.revision import Drop, Splice
from agent_r.algorithm.trajectory import Step


async def clean(
    prover: Prover, splice: Splice, *, alpha: float, whole: bool = False
) -> Splice | Drop:
    """A splice without what it does not need, or why there is none.

    Its own tail comes first; where that no longer works, the shortest known way on. A bad part that
    is `whole` stays as it is: all of it is what the revision speaks of.
    """
    rehearsal, before = prover.rehearsal, actions_of(splice.before)
    if await rehearsal.ended(before):
        return Drop.ENDED_EARLY
    reward = (await rehearsal.play(before, actions_of(splice.tail))).reward
    kept = await rehearsal.shorten(before, actions_of(splice.tail), max(alpha, reward))
    if kept is not None:
        tail = tuple(splice.tail[i] for i in kept)
    elif (way := await prover.nearest(before)) is not None:
        tail, reward = way.steps, prover.target
    else:
        return Drop.LOW_REWARD
    cleaned = replace(splice, tail=tail)
    return cleaned if whole else await _without_earlier_errors(prover, cleaned, reward)


async def _without_earlier_errors(prover: Prover, splice: Splice, target: float) -> Splice | Drop:
    """Leave out what comes before the error and brought no known way nearer, the last first."""
    steps, error, tail = list(splice.before[:-1]), splice.bad[-1], actions_of(splice.tail)
    shared = len(splice.initial)
    answer, rehearsal = await _answer(prover, steps, error), prover.rehearsal
    left = await prover.nearest(actions_of(steps))
    for position in reversed(range(len(steps))):
        without = steps[:position] + steps[position + 1 :]
        done = actions_of(without)
        if not await rehearsal.reaches([*done, error.action], tail, target):
            continue
        now_left = await prover.nearest(done)
        if left is None or now_left is None or len(now_left) > len(left):
            continue
        if await _answer(prover, without, error) != answer:
            return Drop.EARLIER_ERROR
        steps = without
        shared -= position < shared
    return Splice(tuple(steps[:shared]), (*steps[shared:], error), splice.tail)


async def _answer(prover: Prover, before: Sequence[Step], error: Step) -> str:
    """What the world answers to the error after these steps."""
    played = await prover.rehearsal.play(actions_of(before), [error.action])
    return normalised("\n".join(played.observations))


def actions_of(steps: Sequence[Step]) -> list[str]:
    """What was sent to the world, in order."""
    return [step.action for step in steps]


def error_kind(effect: Effect | None, splice: Splice) -> str:
    """What sort of mistake the error of a splice is; "" where nothing is proved.

    >>> step = lambda action: Step(action, action, "")
    >>> error_kind(Effect.IDLE, Splice((), (step("get 2 sand"),), (step("get 3 sand"),)))
    'wrong count'
    """
    if effect is None or effect is Effect.PROGRESS:
        return ""
    action, tail = _words(splice.bad[-1].action), [_words(step.action) for step in splice.tail]
    earlier = [_words(step.action) for step in splice.before[:-1]]
    if effect in (Effect.COSTLY, Effect.DEAD_END):
        return "lost resource" if effect is Effect.COSTLY else "dead end"
    if action in earlier:
        return "repeated"
    if action in tail and effect is Effect.IDLE:
        return "too early"
    if re.search(r"\d", action) and re.sub(r"\d+", "#", action) in {
        re.sub(r"\d+", "#", other) for other in tail
    }:
        return "wrong count"
    return "no effect" if effect is Effect.IDLE else "silent waste"


def _words(action: str) -> str:
    return " ".join(action.lower().split())
