"""Revision trajectories: splice a bad leaf onto a good one, and run the splice.

revision = initial + bad steps up to the first error + revision signal + good tail (paper section
3.1). The paper assumes that the splice earns what the good trajectory earned; here it is executed,
and its row carries the observations and the reward that really came back.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from agent_r.actor import Actor, SamplingParams
from agent_r.algorithm.critique import Critique, FirstError, Verdict
from agent_r.algorithm.episode import Opening, act, begin, play
from agent_r.algorithm.pairing import TrajectoryPair
from agent_r.algorithm.prompts import REVISE, REVISE_REPLY
from agent_r.algorithm.revision_signal import Signal
from agent_r.algorithm.trajectory import Step
from agent_r.algorithm.tree import SearchTree
from agent_r.algorithm.turns import with_action, with_thought
from agent_r.environment import Environment
from agent_r.reading.reply import Reading


class Part(StrEnum):
    """Where a step of a revision comes from; the loss falls on `signal` and `good` alone."""

    INITIAL = "initial"
    BAD = "bad"
    SIGNAL = "signal"
    GOOD = "good"


TRAINED = (Part.SIGNAL, Part.GOOD)


class Drop(StrEnum):
    """Why a pair gave no revision; counted, never silent."""

    NO_BAD_STEP = "no step judged bad"
    JUDGE_FAILED = "judge failed"
    DISAGREEMENT = "actor and value disagree"
    NOT_AN_ERROR = "the step was needed"  # by replay, whatever the judge says of it
    EARLIER_ERROR = "another error comes before it"  # which the revision would not speak of
    SAME_ERROR = "the same error again"  # on another bad path beyond it: there is its revision
    DUPLICATE = "duplicate"  # of another error, and yet an earlier one trains the same
    ENDED_EARLY = "episode ended before the correction"
    LOW_REWARD = "replayed reward below alpha"


@dataclass(frozen=True, slots=True)
class Splice:
    """The steps that a revision is made of: the error is the last of `bad`."""

    initial: tuple[Step, ...]
    bad: tuple[Step, ...]
    tail: tuple[Step, ...]

    @property
    def before(self) -> tuple[Step, ...]:
        """All that was done before the correction."""
        return self.initial + self.bad


@dataclass(frozen=True, slots=True)
class Turn:
    """A step of a revision, and where it comes from."""

    step: Step
    part: Part


@dataclass(frozen=True, slots=True)
class Preference:
    """Two ways to go on at one point of a revision, `turns` steps after its beginning."""

    turns: int
    chosen: Step
    rejected: Step
    value_chosen: float  # of what the tree knows beyond the step, or a replay measured
    value_rejected: float


@dataclass(frozen=True, slots=True)
class Revision:
    """A spliced trajectory; `reward` is measured where `verified`, else the good leaf's."""

    pair: TrajectoryPair
    error: FirstError
    turns: tuple[Turn, ...]
    reward: float
    verified: bool
    signal: str  # critique, proof, template, none, or recovery (the actor went on by itself)
    error_kind: str = ""  # what sort of mistake the error is, where replay says
    preference: Preference | None = None

    def count(self, *parts: Part) -> int:
        """How many turns are of these parts."""
        return sum(turn.part in parts for turn in self.turns)


def cut(tree: SearchTree, pair: TrajectoryPair, error: FirstError) -> Splice:
    """The splice of a pair as the paper makes it; nothing is executed.

    A step of the good tail without an action is left out: it did nothing, and would be trained.
    """
    bad, good = tree.steps(pair.bad), tree.steps(pair.good)
    tail = tuple(step for step in good[pair.fork :] if step.action)
    return Splice(tuple(bad[: pair.fork]), tuple(bad[pair.fork : error.position + 1]), tail)


def join(
    tree: SearchTree,
    pair: TrajectoryPair,
    error: FirstError,
    splice: Splice,
    signal: Signal,
    *,
    placement: Literal["turn", "inline"],
) -> Revision:
    """Initial, bad (the error included), signal and good tail; nothing is executed yet."""
    turns = [Turn(step, Part.INITIAL) for step in splice.initial]
    turns += [Turn(step, Part.BAD) for step in splice.bad]
    announced, rest = _announced(splice.tail, signal, placement)
    turns += announced
    turns += [Turn(step, Part.GOOD) for step in rest]
    reward = tree.nodes[pair.good].reward
    return Revision(pair, error, tuple(turns), reward, False, signal.source)


def _announced(
    tail: tuple[Step, ...], signal: Signal, placement: Literal["turn", "inline"]
) -> tuple[list[Turn], tuple[Step, ...]]:
    """The turn that carries the signal, where there is one, and what is left of the tail."""
    first = tail[0]
    if not signal.thought:
        return [], tail
    if placement == "turn":
        response = with_action(signal.thought, REVISE, first.response, first.action)
        return [Turn(Step(response, REVISE, REVISE_REPLY), Part.SIGNAL)], tail
    spoken_first = replace(first, response=with_thought(signal.thought, first.response))
    return [Turn(spoken_first, Part.SIGNAL)], tail[1:]


async def verify(
    env: Environment, tree: SearchTree, revision: Revision, *, alpha: float
) -> Revision | Drop:
    """Execute a revision from reset; the result carries what the world really answered."""
    await begin(env, tree.task)
    turns: list[Turn] = []
    reward = 0.0
    for number, turn in enumerate(revision.turns):
        response, thought = turn.step.response, turn.step.reasoning
        step, result = await act(env, response, reward=reward, reasoning=thought)
        turns.append(Turn(step, turn.part))
        reward = result.reward
        if result.terminated or result.truncated:
            if turn.part in (Part.INITIAL, Part.BAD) and number + 1 < len(revision.turns):
                return Drop.ENDED_EARLY
            break
    if reward < alpha:
        return Drop.LOW_REWARD
    return replace(revision, turns=tuple(turns), reward=reward, verified=True)


async def recover(
    env: Environment,
    actor: Actor,
    tree: SearchTree,
    revision: Revision,
    *,
    alpha: float,
    max_steps: int,
    params: SamplingParams,
    heard: Callable[[Sequence[Reading]], None] = lambda replies: None,
) -> tuple[Step, ...] | None:
    """Where the good tail no longer works, let the actor go on from its own signal.

    Returns:
        The tail that it found, or None where it did not reach alpha.
    """
    kept = [turn.step for turn in revision.turns if turn.part is not Part.GOOD]
    opening = Opening(tree.task, tuple(step.response for step in kept))
    episode = await play(env, actor, opening, max_steps=max_steps, params=params, heard=heard)
    if episode.reward < alpha or len(episode.steps) <= len(kept):
        return None
    return tuple(step for step in episode.steps[len(kept) :] if step.action)


def diverse(revisions: Sequence[Revision], cap: int) -> Iterator[Revision]:
    """At most `cap`: kinds of error in turn, the rarest first; of a kind, other errors first."""
    seen: set[tuple[str, ...]] = set()
    kinds: dict[str, tuple[list[Revision], list[Revision]]] = {}
    for revision in revisions:
        wrong = tuple(t.step.action for t in revision.turns if t.part in (Part.INITIAL, Part.BAD))
        kinds.setdefault(revision.error_kind, ([], []))[wrong in seen].append(revision)
        seen.add(wrong)
    queues = [first + again for first, again in kinds.values()]
    queues.sort(key=len)  # stable: of equally rare ones the first found
    turns = range(max(map(len, queues), default=0))
    in_turn = [queue[at] for at in turns for queue in queues if at < len(queue)]
    return iter(in_turn[:cap])


def lesson(revision: Revision) -> Hashable:
    """What a revision teaches: after which error and answer, which steps."""
    error = next(turn.step for turn in reversed(revision.turns) if turn.part is Part.BAD)
    trained = (turn.step.action for turn in revision.turns if turn.part in TRAINED)
    return (error.action, error.observation, *trained)


def why_no_error(critiques: Sequence[Critique | None], *, by_replay: bool = False) -> Drop:
    """Why a path has no error: the judge failed, something contradicts it, or it found nothing.

    `by_replay` says that it was replay which could contradict, and not the tree's value.
    """
    verdicts = [critique.verdict for critique in critiques if critique is not None]
    if None in verdicts:
        return Drop.JUDGE_FAILED
    if Verdict.BAD in verdicts:
        return Drop.NOT_AN_ERROR if by_replay else Drop.DISAGREEMENT
    return Drop.NO_BAD_STEP
