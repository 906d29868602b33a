"""Let the actor judge its own steps, and find the first wrong one (paper section 3.2).

A judgement belongs to a node of the tree, not to a pair: a node on twenty bad trajectories is
judged once. A reply that holds no judgement, and a step that does not fit the judge's context,
leave `verdict` empty: that is a state of its own, counted, and never taken for Bad. An endpoint
that is gone is no judgement at all: the tree is judged again when it is back.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

from agent_r.actor import Actor, Completion, SamplingParams
from agent_r.algorithm.prompts import judge_request
from agent_r.algorithm.proof.effects import ERRORS, WRONG, Effect
from agent_r.algorithm.sampling import JUDGING, USABLE, reseeded
from agent_r.algorithm.tree import SearchTree, known_values
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
ASKS_NO_JUDGE = ("value", "direct", "replay")  # localisers
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
Effects = Mapping[int, Effect]  # by node index, of the steps that were proved


@dataclass(frozen=True, slots=True)
class FirstError:
    """Where a bad trajectory goes wrong: a position on its path, 0 the first step."""

    position: int
    source: str  # what found it: actor, value, both, vote, replay, witnesses, or direct
    agrees_with_value: bool | None  # None where the tree's value falls nowhere
    witnesses: tuple[str, ...] = ()  # of actor, value and replay, those that call it wrong


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
    verdicts = Counter(c.verdict for c in critiques if c.verdict is not None)
    winner = verdicts.most_common(1)[0][0] if verdicts else None
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
    decided: Callable[[Sequence[int]], bool] | None = None,
) -> None:
    """Judge each path's nodes in order until it is decided; no node is judged twice.

    `paths` begin at their fork, and what is found is added to `critiques`. A path is decided once a
    step of it was judged Bad, or where `decided` says so. All paths advance together, in waves of
    as many steps of each as `lookahead` says: the first Bad step found is the one that judging one
    after another would find.

    Raises:
        EndpointError: the others' judgements are lost, and this one cannot be had.
    """
    if config.localiser in ASKS_NO_JUDGE:
        return
    is_decided = decided or (lambda path: first_bad(path, 0, critiques) is not None)

    async def judge(index: int) -> None:
        critiques[index] = await judge_step(
            actor, tree, index, instruction=instruction, config=config, grammar=grammar
        )

    for start, end in waves(max(map(len, paths), default=0), config.lookahead):
        wave = {i for p in paths if not is_decided(p) for i in p[start:end]}
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
    effects: Effects | None = None,
) -> FirstError | None:
    """The first wrong step of the path at or after position `fork`; None: drop the pair.

    A step before the fork is shared with the good trajectory, so it is never called an error.
    `effects` are what replay proved, without which `replay` finds nothing and `witnesses` is the
    actor alone.
    """
    proved, by_value = effects or {}, largest_fall(tree, path, fork)
    source: str = config.localiser
    if source == "direct":
        return FirstError(len(path) - 1, source, None)
    found: int | None
    match config.localiser:
        case "value":
            found = by_value
        case "replay":
            found = next((p for p in range(fork, len(path)) if proved.get(path[p]) in WRONG), None)
        case "witnesses":
            found = first_wrong(path, fork, critiques, proved)
        case _:
            found = first_bad(path, fork, critiques)
    if found is None and config.when_none == "direct":
        return FirstError(len(path) - 1, "direct", None)
    if found is None and config.when_none == "value":
        found, source = by_value, "value"
    if found is None:
        return None
    agrees = None
    if by_value is not None and source != "value":
        agrees = abs(found - by_value) <= config.agreement_tolerance
    if source == "both" and not agrees:
        return None
    index = path[found]
    held = {
        "actor": index in critiques and critiques[index].verdict is Verdict.BAD,
        "value": found == by_value,
        "replay": proved.get(index) in WRONG,
    }
    return FirstError(found, source, agrees, tuple(name for name, wrong in held.items() if wrong))


def first_wrong(
    path: Sequence[int], fork: int, critiques: Critiques, effects: Effects
) -> int | None:
    """Position of the first step that the witnesses together call wrong, from the fork on.

    What replay proved counts, whatever the actor says. Of a step that changed nothing the actor
    decides: it may have needed the look. So it does of a step that nothing is proved of.
    """
    for position in range(fork, len(path)):
        effect, critique = effects.get(path[position]), critiques.get(path[position])
        judged_bad = critique is not None and critique.verdict is Verdict.BAD
        if effect in ERRORS or (judged_bad and effect is not Effect.PROGRESS):
            return position
    return None


def contradicted(verdict: Verdict | None, effect: Effect | None) -> bool:
    """Whether replay proved the opposite of a judgement.

    >>> contradicted(Verdict.BAD, Effect.PROGRESS), contradicted(Verdict.UNCERTAIN, Effect.IDLE)
    (True, False)
    """
    proved = proved_verdict(effect)
    return proved is not None and verdict in (Verdict.GOOD, Verdict.BAD) and verdict is not proved


def proved_verdict(effect: Effect | None) -> Verdict | None:
    """What an effect says of its step; None where nothing is proved."""
    if effect is None:
        return None
    return Verdict.GOOD if effect is Effect.PROGRESS else Verdict.BAD


def first_bad(path: Sequence[int], fork: int, critiques: Critiques) -> int | None:
    """Position of the first step judged Bad, from the fork on."""
    for position in range(fork, len(path)):
        critique = critiques.get(path[position])
        if critique is not None and critique.verdict is Verdict.BAD:
            return position
    return None


def largest_fall(tree: SearchTree, path: Sequence[int], fork: int) -> int | None:
    """Position where the tree's value falls most from a node to the next on the path.

    None where nothing falls.
    """
    known = known_values(tree)
    values = [known[index] for index in (0, *path)]
    falls = {p: values[p] - values[p + 1] for p in range(fork, len(path))}
    worst = max(falls, key=lambda p: (falls[p], -p), default=None)
    return worst if worst is not None and falls[worst] > 0 else None
