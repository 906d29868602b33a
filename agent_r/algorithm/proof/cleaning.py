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

UNPROVED = "not proved"  # what counts call an error of whose kind replay says nothing

_COUNT = re.compile(r"(?<!\S)\d+(?=\s)")  # of something: what ends with a number is its name


async def clean(
    prover: Prover, splice: Splice, *, alpha: float, whole: bool = False
) -> Splice | Drop:
    """A splice without what it does not need, or why there is none.

    Its own tail comes first; where that no longer works, the shortest known way on. A bad part that
    is `whole` stays as it is: all of it is what the revision speaks of.
    """
    if await prover.rehearsal.ended(actions_of(splice.before)):
        return Drop.ENDED_EARLY
    while True:
        tail, reward = await _tail(prover, splice, alpha)
        if not tail:
            return Drop.LOW_REWARD
        cleaned = replace(splice, tail=tail)
        if whole:
            return cleaned
        less = await _without_earlier_errors(prover, cleaned, reward)
        if isinstance(less, Drop) or less == splice:
            return less
        splice = less  # from another state the tail may need less as well


async def _tail(prover: Prover, splice: Splice, alpha: float) -> tuple[tuple[Step, ...], float]:
    """What is needed of the tail, or the way on that earns more or is shorter; and its reward."""
    rehearsal, before = prover.rehearsal, actions_of(splice.before)
    reward = (await rehearsal.play(before, actions_of(splice.tail))).reward
    own = max(alpha, reward)
    kept = await rehearsal.shorten(before, actions_of(splice.tail), own, least=1)
    way = await prover.nearest(before)
    if kept is None:
        return (way.steps, prover.target) if way else ((), 0.0)
    if way and way.steps and (prover.target, -len(way)) > (own, -len(kept)):
        return way.steps, prover.target
    return tuple(splice.tail[i] for i in kept), own


async def _without_earlier_errors(prover: Prover, splice: Splice, target: float) -> Splice | Drop:
    """Leave out what comes before the error and brought no known way nearer, the last first.

    As a good way is shortened: steps one by one and in twos, until nothing more can go.
    """
    at_first = splice
    while True:
        before = splice
        for span in prover.rehearsal.spans:
            for at in reversed(range(len(splice.before) - span)):
                if at + span >= len(splice.before):
                    continue
                without = _without(splice, at, span)
                if not await _is_unneeded(prover, splice, without, target):
                    continue
                if await _answer(prover, without) != await _answer(prover, at_first):
                    return Drop.EARLIER_ERROR
                splice = without
        if splice is before or not prover.rehearsal.forks:
            return splice


def _without(splice: Splice, at: int, span: int) -> Splice:
    """A splice without some steps before its error."""
    shared = len(splice.initial)
    initial = [*splice.initial[:at], *splice.initial[at + span :]]
    bad = [*splice.bad[: max(at - shared, 0)], *splice.bad[max(at + span - shared, 0) :]]
    return replace(splice, initial=tuple(initial), bad=tuple(bad))


async def _is_unneeded(prover: Prover, splice: Splice, without: Splice, target: float) -> bool:
    """Whether the tail works without some earlier steps, and so does the way before the error."""
    rehearsal, tail = prover.rehearsal, actions_of(without.tail)
    if not await rehearsal.reaches(actions_of(without.before), tail, target):
        return False
    left = await prover.nearest(actions_of(splice.before[:-1]))
    if left is None:
        return False
    before = actions_of(without.before[:-1])
    return await rehearsal.reaches(before, actions_of(left.steps), prover.target)


async def _answer(prover: Prover, splice: Splice) -> str:
    """What the world answers to the error; nothing where its texts do not repeat."""
    if prover.rehearsal.env.info.repeats != "text":
        return ""
    *before, error = actions_of(splice.before)
    return normalised("\n".join((await prover.rehearsal.play(before, [error])).observations))


async def effect_of_error(prover: Prover, splice: Splice) -> Effect | None:
    """What the error does where earlier steps are left out; None where nothing can be proved."""
    *before, error = actions_of(splice.before)
    effects = await prover.prove(before, [error])
    return effects[0] if effects else None


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
        return "setback" if effect is Effect.COSTLY else "dead end"
    if action in earlier:
        return "repeated"
    if action in tail and effect is Effect.IDLE:
        return "too early"
    if _COUNT.search(action) and _COUNT.sub("#", action) in {
        _COUNT.sub("#", other) for other in tail
    }:
        return "wrong count"
    return "no effect" if effect is Effect.IDLE else "silent waste"


def _words(action: str) -> str:
    return " ".join(action.lower().split())
