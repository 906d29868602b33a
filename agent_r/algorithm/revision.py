"""Revision trajectories: pair a bad leaf with a good one, splice them, and run the splice.

revision = initial + bad steps up to the first error + revision signal + good tail (paper section
3.1). The paper assumes that the splice earns what the good trajectory earned; here it is executed,
and its row carries the observations and the reward that really came back.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from agent_r.actor import Actor, SamplingParams
from agent_r.algorithm.critique import Critique, FirstError
from agent_r.algorithm.episode import Opening, act, begin, play
from agent_r.algorithm.prompts import REVISE, REVISE_REPLY, SIGNALS
from agent_r.algorithm.pruning import prune
from agent_r.algorithm.revision_signal import spoken
from agent_r.algorithm.trajectory import NOT_THE_ACTORS, Step
from agent_r.algorithm.tree import SearchTree
from agent_r.algorithm.turns import with_action, with_thought
from agent_r.environment import Environment
from agent_r.reading.reply import Reading
from agent_r.settings import RevisionConfig


class Part(StrEnum):
    """Where a step of a revision comes from; the loss falls on `signal` and `good` alone."""

    INITIAL = "initial"
    BAD = "bad"
    SIGNAL = "signal"
    GOOD = "good"


class Drop(StrEnum):
    """Why a pair gave no revision; counted, never silent."""

    NO_BAD_STEP = "no step judged bad"
    JUDGE_FAILED = "judge failed"
    DISAGREEMENT = "actor and value disagree"
    SAME_ERROR = "the same error again"  # on another bad path beyond it: there is its revision
    DUPLICATE = "duplicate"  # another error, and yet the same text: the search found nothing new
    ENDED_EARLY = "episode ended before the correction"
    LOW_REWARD = "replayed reward below alpha"


@dataclass(frozen=True, slots=True)
class TrajectoryPair:
    """Two leaves of one tree; `fork` is how many steps they share."""

    bad: int
    good: int
    fork: int


@dataclass(frozen=True, slots=True)
class Turn:
    """A step of a revision, and where it comes from."""

    step: Step
    part: Part


@dataclass(frozen=True, slots=True)
class Revision:
    """A spliced trajectory; `reward` is measured where `verified`, else the good leaf's."""

    pair: TrajectoryPair
    error: FirstError
    turns: tuple[Turn, ...]
    reward: float
    verified: bool
    signal: str  # template, critique, or recovery (the actor went on by itself)


def pair_trajectories(tree: SearchTree, config: RevisionConfig) -> list[TrajectoryPair]:
    """For every bad leaf the good leaf with the deepest common step; deepest forks first.

    Below alpha = 1 a leaf may be bad beside one good leaf and not beside a nearer one: only leaves
    that it is bad beside are looked at. An episode that the server or the world broke off is no bad
    one: the actor might have gone on rightly.
    """
    good = good_leaves(tree, config)
    pairs = []
    for bad in _own_ends(tree):
        reward = tree.nodes[bad].reward
        better = [leaf for leaf in good if is_bad(reward, tree.nodes[leaf].reward, config)]
        if better:
            pairs.append(_nearest(tree, bad, better))
    return sorted(pairs, key=lambda pair: (-pair.fork, pair.bad))


def _own_ends(tree: SearchTree) -> list[int]:
    """Leaves where the actor itself ended the episode."""
    return [leaf for leaf in tree.leaves() if tree.nodes[leaf].stop not in NOT_THE_ACTORS]


def why_no_pair(tree: SearchTree, config: RevisionConfig) -> str:
    """Why a tree has nothing to pair; "" where it has."""
    if pair_trajectories(tree, config):
        return ""
    rewards = [tree.nodes[leaf].reward for leaf in _own_ends(tree)]
    if not rewards:
        return "no episode came to its end"
    if all(reward < config.alpha for reward in rewards):
        return "no good episode" if any(rewards) else "every reward 0"
    if all(reward >= config.alpha for reward in rewards):
        return "every episode good"
    return "the good one goes in circles" if not good_leaves(tree, config) else "no gap"


def is_bad(reward: float, good: float, config: RevisionConfig) -> bool:
    """Section 3.1 reads beta as a threshold, section 4.2 and the published code as a gap."""
    if config.beta_is == "threshold":
        return reward < config.beta
    return good - reward > config.beta


def good_leaves(tree: SearchTree, config: RevisionConfig) -> list[int]:
    """Leaves that reach alpha without going round in circles, shortest first, no twins."""
    found: dict[tuple[str, ...], int] = {}
    reached = [leaf for leaf in tree.leaves() if tree.nodes[leaf].reward >= config.alpha]
    for leaf in sorted(reached, key=lambda leaf: (len(tree.path(leaf)), leaf)):
        steps = tree.steps(leaf)
        if not loops(steps):
            found.setdefault(tuple(step.action for step in steps), leaf)
    return list(found.values())


def loops(steps: Sequence[Step]) -> bool:
    """Does an episode repeat itself: one action, answered alike, three times in a row?

    >>> loops([Step("", "look", "a room")] * 3), loops([Step("", "look", "a room")] * 2)
    (True, False)
    """
    keys = [(step.action, step.observation) for step in steps]
    return any(a == b == c for a, b, c in zip(keys, keys[1:], keys[2:], strict=False))


def _nearest(tree: SearchTree, bad: int, good: Sequence[int]) -> TrajectoryPair:
    forks = {leaf: _fork(tree.path(bad), tree.path(leaf)) for leaf in good}
    best = max(good, key=lambda leaf: forks[leaf])  # of equals the first: the shortest
    return TrajectoryPair(bad, best, forks[best])


def _fork(one: Sequence[int], other: Sequence[int]) -> int:
    same = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        same += 1
    return same


def splice(
    tree: SearchTree,
    pair: TrajectoryPair,
    error: FirstError,
    critique: Critique | None,
    *,
    config: RevisionConfig,
    rng: random.Random,
) -> Revision:
    """Join initial, bad (the error included), signal and good tail; nothing is executed yet.

    A step of the good tail without an action is left out: it did nothing, and would be trained.
    """
    bad, good = tree.steps(pair.bad), tree.steps(pair.good)
    turns = [Turn(step, Part.INITIAL) for step in bad[: pair.fork]]
    turns += [Turn(step, Part.BAD) for step in bad[pair.fork : error.position + 1]]
    tail = [step for step in good[pair.fork :] if step.action]
    thought, source = revision_signal(critique, config=config, rng=rng)
    if config.placement == "turn":
        said = with_action(thought, REVISE, tail[0].response, tail[0].action)
        turns.append(Turn(Step(said, REVISE, REVISE_REPLY), Part.SIGNAL))
    else:
        first = replace(tail[0], response=with_thought(thought, tail[0].response))
        turns.append(Turn(first, Part.SIGNAL))
        tail = tail[1:]
    turns += [Turn(step, Part.GOOD) for step in tail]
    return Revision(pair, error, tuple(turns), tree.nodes[pair.good].reward, False, source)


def revision_signal(
    critique: Critique | None, *, config: RevisionConfig, rng: random.Random
) -> tuple[str, str]:
    """The thought that announces the correction, and its source: `critique` or `template`.

    A template stands in where the actor's own reason is nothing that it could say: it is counted.
    """
    if config.signal == "critique" and critique and (reason := spoken(critique.reason)):
        return reason, "critique"
    return rng.choice(SIGNALS), "template"


async def verify(
    env: Environment, tree: SearchTree, revision: Revision, *, alpha: float
) -> Revision | Drop:
    """Execute a splice from reset; the result carries what the world really answered."""
    await begin(env, tree.task)
    turns: list[Turn] = []
    reward = 0.0
    for number, turn in enumerate(revision.turns):
        said, thought = turn.step.response, turn.step.reasoning
        step, result = await act(env, said, reward=reward, reasoning=thought)
        turns.append(Turn(step, turn.part))
        reward = result.reward
        if result.terminated or result.truncated:
            if turn.part in (Part.INITIAL, Part.BAD) and number + 1 < len(revision.turns):
                return Drop.ENDED_EARLY
            break
    if reward < alpha:
        return Drop.LOW_REWARD
    return replace(revision, turns=tuple(turns), reward=reward, verified=True)


async def tighten(
    env: Environment, tree: SearchTree, revision: Revision, *, alpha: float
) -> Revision:
    """Remove steps of a verified revision's good tail that the reward does not need."""
    tail = next(i for i, turn in enumerate(revision.turns) if turn.part is Part.SIGNAL) + 1
    steps = [turn.step for turn in revision.turns]
    kept = await prune(env, tree.task, steps, keep=tail, alpha=alpha)
    parts = [turn.part for turn in revision.turns[:tail]] + [Part.GOOD] * (len(kept) - tail)
    turns = tuple(Turn(step, part) for step, part in zip(kept, parts, strict=True))
    return replace(revision, turns=turns)


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
) -> Revision | Drop:
    """Where the good tail no longer works, let the actor go on from its own signal."""
    kept = [t for t in revision.turns if t.part is not Part.GOOD]
    opening = Opening(tree.task, tuple(t.step.response for t in kept))
    episode = await play(env, actor, opening, max_steps=max_steps, params=params, heard=heard)
    if episode.reward < alpha or len(episode.steps) <= len(kept):
        return Drop.LOW_REWARD
    parts = [t.part for t in kept] + [Part.GOOD] * (len(episode.steps) - len(kept))
    turns = tuple(Turn(s, p) for s, p in zip(episode.steps, parts, strict=True))
    return replace(revision, turns=turns, reward=episode.reward, verified=True, signal="recovery")


def diverse(revisions: Sequence[Revision], cap: int) -> Iterator[Revision]:
    """At most `cap`, first one for each step where things went wrong, then the rest in order."""
    seen: set[tuple[str, ...]] = set()
    first: list[Revision] = []
    rest: list[Revision] = []
    for revision in revisions:
        wrong = tuple(t.step.action for t in revision.turns if t.part in (Part.INITIAL, Part.BAD))
        (rest if wrong in seen else first).append(revision)
        seen.add(wrong)
    return iter((first + rest)[:cap])
