"""Let the actor judge its own steps, and find the first wrong one (paper section 3.2).

A judgement belongs to a node of the tree, not to a pair: a node on twenty bad trajectories is
judged once. A reply that holds no judgement, and a step that does not fit the judge's context,
leave `verdict` empty: that is a state of its own, counted, and never taken for Bad. An endpoint
that is gone is no judgement at all: the tree is judged again when it is back.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

from agent_r.actor import Actor, Completion, SamplingParams
from agent_r.algorithm.prompts import judge_request
from agent_r.algorithm.sampling import JUDGING, USABLE, reseeded
from agent_r.algorithm.tree import SearchTree
from agent_r.concurrency import gather_bounded
from agent_r.errors import ConversationRefused
from agent_r.reading.reply import DEFAULT, Grammar, answer
from agent_r.reading.spellings import invented
from agent_r.settings import CritiqueConfig

# The underscores of Markdown count as no letters, unlike in \b; "misjudgement. Bad…" is no verdict.
_JUDGEMENT = re.compile(
    r"(?<![a-z])judge?ment[\W_]{0,6}(good|bad|uncertain)(?![a-z])", re.IGNORECASE
)
_CLOSED = re.compile(r"[\"'*_`.!)\]}]*")  # what may follow a verdict and belongs to it
VERDICT, NO_VERDICT = "with a verdict", "without a verdict"  # kinds of a judge's reply
_MAX_REASON = 2_000  # characters; a judge that runs on is cut


class Verdict(StrEnum):
    """The paper's three judgements of a step."""

    GOOD = "Good"
    BAD = "Bad"
    UNCERTAIN = "Uncertain"


@dataclass(frozen=True, slots=True)
class Critique:
    """What the actor said of one step; `verdict` is None where the judge failed, and `text` why."""

    verdict: Verdict | None
    reason: str
    text: str  # the answer, verbatim: the critique rows train on it
    reasoning: str = ""  # what the model thought before its answer: never a verdict
    replies: Mapping[str, int] = field(default_factory=dict)  # that were sampled for it, by kind


Critiques = Mapping[int, Critique]  # by node index


@dataclass(frozen=True, slots=True)
class FirstError:
    """Where a bad trajectory goes wrong: a position on its path, 0 the first step."""

    position: int
    source: str  # actor, value, both, vote, or direct
    agrees_with_value: bool | None  # None where the tree's value falls nowhere


def parse_verdict(text: str) -> Critique:
    """The last judgement in a reply, with the reason before it; reasoning is not looked at.

    >>> parse_verdict("I need sand.\\nJudgement: Good").verdict
    <Verdict.GOOD: 'Good'>
    >>> parse_verdict("Looks fine to me").verdict is None
    True
    """
    text = answer(Completion(text)).text
    found = list(_JUDGEMENT.finditer(text))
    if not found:
        return Critique(None, "", text)
    verdict = Verdict(found[-1][1].capitalize())
    return Critique(verdict, text[: found[-1].start()].strip(" \n*#`>")[:_MAX_REASON], text)


async def judge_step(
    actor: Actor,
    tree: SearchTree,
    index: int,
    *,
    instruction: str,
    config: CritiqueConfig,
    grammar: Grammar = DEFAULT,
) -> Critique:
    """Ask for a judgement of the step that led to a node, after its observation was seen.

    Under `vote` several are sampled and the most frequent counts (the earlier of equals).

    Raises:
        EndpointError: no answer, or a refusal.
    """
    votes = config.votes if config.localiser == "vote" else 1
    temperature = config.temperature if votes == 1 else max(config.temperature, 0.7)
    params = SamplingParams(temperature, config.max_tokens, seed=tree.seed)
    messages = judge_request(instruction, tree.prompt, tree.steps(index))
    try:
        replies = await actor.complete(messages, n=votes, params=reseeded(params, index, JUDGING))
    except ConversationRefused as error:
        return Critique(None, "", f"judge failed: {type(error).__name__}", replies={"refused": 1})
    if not replies:
        return Critique(None, "", "judge failed: no reply")
    critiques, kinds = [read_judgement(reply, grammar) for reply in replies], Counter[str]()
    for critique in critiques:
        kinds.update(critique.replies)
    given = Counter(c.verdict for c in critiques if c.verdict is not None)
    winner = given.most_common(1)[0][0] if given else None
    return replace(next(c for c in critiques if c.verdict is winner), replies=dict(kinds))


def read_judgement(reply: Completion, grammar: Grammar = DEFAULT) -> Critique:
    """A judge's reply: its verdict, and why; what kind of reply it was is in `replies`.

    Reasoning holds no verdict. A judge that runs on has said its own before it invents an
    observation, and nothing after its verdict is trained.
    """
    reading = answer(reply, grammar)
    text = reading.text
    if (first := _JUDGEMENT.search(text)) is not None:
        text = text[: first.end() + invented(text[first.end() :], grammar)]
    critique = replace(parse_verdict(text), reasoning=reading.reasoning)
    if critique.verdict is not None:
        end = list(_JUDGEMENT.finditer(text))[-1].end()
        closed = _CLOSED.match(text, end)
        return replace(critique, text=text[: closed.end() if closed else end], replies={VERDICT: 1})
    kind = NO_VERDICT if reading.outcome in USABLE else reading.outcome.value
    return replace(critique, replies={kind: 1})


async def judge_paths(
    actor: Actor,
    tree: SearchTree,
    paths: Sequence[Sequence[int]],
    critiques: dict[int, Critique],
    *,
    instruction: str,
    config: CritiqueConfig,
    grammar: Grammar = DEFAULT,
) -> None:
    """Judge each path's nodes in order until one is Bad; no node is judged twice.

    `paths` begin at their fork, and what is found is added to `critiques`. All paths advance
    together, in waves of as many steps of each as `lookahead` says: the first Bad step found is the
    one that judging one after another would find.

    Raises:
        EndpointError: the others' judgements are lost, and this one cannot be had.
    """
    if config.localiser in ("value", "direct"):
        return

    async def judge(index: int) -> None:
        critiques[index] = await judge_step(
            actor, tree, index, instruction=instruction, config=config, grammar=grammar
        )

    for start, end in waves(max(map(len, paths), default=0), config.lookahead):
        undecided = (p for p in paths if first_bad(p, 0, critiques) is None)
        wave = {i for p in undecided for i in p[start:end]}
        await gather_bounded(sorted(wave - critiques.keys()), judge)


def waves(length: int, lookahead: int | Literal["doubling"]) -> Iterator[tuple[int, int]]:
    """Where each wave of judgements along a path begins and ends.

    Doubled waves take a long path in few turns, and judge less than twice the steps needed.

    >>> list(waves(10, "doubling")), list(waves(5, 2))
    ([(0, 1), (1, 3), (3, 7), (7, 10)], [(0, 2), (2, 4), (4, 5)])
    """
    start, size = 0, 1 if lookahead == "doubling" else lookahead
    while start < length:
        end = min(start + size, length)
        yield start, end
        start, size = end, 2 * size if lookahead == "doubling" else size


def find_first_error(
    tree: SearchTree,
    path: Sequence[int],
    fork: int,
    critiques: Critiques,
    *,
    config: CritiqueConfig,
) -> FirstError | None:
    """The first wrong step of the path at or after position `fork`; None: drop the pair.

    A step before the fork is shared with the good trajectory, so it is never called an error.
    """
    by_value = largest_fall(tree, path, fork)
    by_actor = first_bad(path, fork, critiques)
    agrees = None
    if by_actor is not None and by_value is not None:
        agrees = abs(by_actor - by_value) <= config.agreement_tolerance
    if config.localiser == "direct":
        return FirstError(len(path) - 1, "direct", None)
    if config.localiser == "value":
        return FirstError(by_value, "value", None) if by_value is not None else None
    if by_actor is not None:
        if config.localiser == "both" and not agrees:
            return None
        return FirstError(by_actor, config.localiser, agrees)
    if config.when_none == "direct":
        return FirstError(len(path) - 1, "direct", None)
    if config.when_none == "value" and by_value is not None:
        return FirstError(by_value, "value", None)
    return None


def first_bad(path: Sequence[int], fork: int, critiques: Critiques) -> int | None:
    """Position of the first step judged Bad, from the fork on."""
    for position in range(fork, len(path)):
        critique = critiques.get(path[position])
        if critique is not None and critique.verdict is Verdict.BAD:
            return position
    return None


def largest_fall(tree: SearchTree, path: Sequence[int], fork: int) -> int | None:
    """Position where the tree's mean return falls most from a node to the next on the path.

    A leaf that no simulation ended in counts with its own reward. None where nothing falls.
    """
    values = [_value(tree, index) for index in (0, *path)]
    falls = {p: values[p] - values[p + 1] for p in range(fork, len(path))}
    worst = max(falls, key=lambda p: (falls[p], -p), default=None)
    return worst if worst is not None and falls[worst] > 0 else None


def _value(tree: SearchTree, index: int) -> float:
    node = tree.nodes[index]
    return node.value if node.visits else node.reward
