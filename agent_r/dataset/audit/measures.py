"""Measure a row of each config: what its steps did, beside what it says of them and trains."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agent_r.algorithm.critique import proved_verdict
from agent_r.algorithm.episode import silent
from agent_r.algorithm.prompts import PROVED_SIGNALS, SIGNALS
from agent_r.algorithm.proof.effects import Effect
from agent_r.algorithm.revision_signal import plain, sentences
from agent_r.algorithm.rows import Row
from agent_r.dataset.audit.shares import Shares
from agent_r.dataset.audit.steps import NOT_NEEDED, SILENT_WASTE, Reached, StepKind, Walker
from agent_r.environment import FactChecking
from agent_r.reading.reply import parse_action

_ECHO = re.compile(
    r"judge your|bring(?:s|ing)? the goal nearer|\bjudge?ment\b|"
    r"\baction: *(?:good|bad|uncertain)\b",
    re.IGNORECASE,
)
_NOTHING_CHANGED = (StepKind.REFUSED, StepKind.IDLE)
# What a step is, by the expert, of which a thought about a kind of error is true.
_TRUE_OF = {
    "no effect": _NOTHING_CHANGED,
    "too early": _NOTHING_CHANGED,
    "wrong count": (*_NOTHING_CHANGED, StepKind.WASTEFUL),
    "repeated": (*_NOTHING_CHANGED, StepKind.WASTEFUL),
    "silent waste": (StepKind.WASTEFUL,),
    "setback": (StepKind.HARMFUL,),
    "dead end": (StepKind.HARMFUL,),
}


async def measure_sft(walker: Walker, row: Row, shares: Shares) -> None:
    """What is trained; of a revision also its error, its signal and its correction."""
    replies = [m for m in row["messages"] if m["role"] == "assistant"]
    reached = await walker.walk(row["task"], [reply["content"] for reply in replies])
    kinds = [state.kind for state in reached]
    kinds += [StepKind.UNKNOWN] * (len(replies) - len(kinds))
    flags = zip(kinds, replies, strict=True)
    trained = [kind for kind, reply in flags if reply["train"] and kind is not StepKind.SIGNAL]
    for kind in trained:
        shares.step("trained", kind)
        shares.add("trained_refused", _among(kind, StepKind.REFUSED))
        shares.add("trained_not_needed", _among(kind, *NOT_NEEDED))
    if row["kind"] == "interleaved":
        _measure_interleaved(row, kinds, shares)
    if row["kind"] == "revision":
        if trained:
            shares.add("correction_refused", _among(trained[0], StepKind.REFUSED))
            shares.add("correction_not_needed", _among(trained[0], *NOT_NEEDED))
        _measure_error(row, kinds, shares)
        await _measure_signal(walker, row, kinds, shares)


def _measure_interleaved(row: Row, kinds: Sequence[StepKind], shares: Shares) -> None:
    """Every error of a row, and what comes after the last of several in a row."""
    parts = row["parts"]
    for at in (at for at, part in enumerate(parts) if part == "bad"):
        shares.error(kinds[at], row["depth"])
        shares.add("interleaved_is_none", _among(kinds[at], StepKind.NEEDED))
        if parts[at + 1] != "bad":
            shares.add("return_refused", _among(kinds[at + 1], StepKind.REFUSED))


def _measure_error(row: Row, kinds: Sequence[StepKind], shares: Shares) -> None:
    at, fork = row["error_step"], row["fork_step"]
    initial = [kind for kind, part in zip(kinds, row["parts"], strict=True) if part == "initial"]
    shares.add("initial_was_refused", _any(initial, StepKind.REFUSED))
    shares.add("initial_not_needed", _any(initial, *NOT_NEEDED))
    if at is None or at >= len(kinds):
        return
    shares.step(f"located by {row['localiser']}", kinds[at])
    shares.error(kinds[at], row["depth"])
    shares.add("error_is_none", _among(kinds[at], StepKind.NEEDED))
    shares.add("error_is_not_first", _any(kinds[fork or 0 : at], *NOT_NEEDED))


async def _measure_signal(
    walker: Walker, row: Row, kinds: Sequence[StepKind], shares: Shares
) -> None:
    """What the first signal says is about the step before it."""
    if "signal" not in row["parts"]:
        return
    replies = [m["content"] for m in row["messages"] if m["role"] == "assistant"]
    at = row["parts"].index("signal")
    shares.add("signal_echo", _ECHO.search(replies[at]) is not None)
    true = _fixed_thought(replies[at], kinds[at - 1] if at else StepKind.UNKNOWN)
    near: list[bool | None] = []
    if not true:
        true, near = await _checked(walker, row, replies[:at], replies[at])
    shares.add("signal_false", _fails(true))
    shares.add("signal_elsewhere", _fails(near))


async def _checked(
    walker: Walker, row: Row, done: Sequence[str], text: str
) -> tuple[list[bool | None], list[bool | None]]:
    """Whether each sentence about the last of these replies' steps is true, and is about it.

    Nothing where no expert of the world can tell.
    """
    grammar, expert = walker.env.info.grammar, walker.expert
    actions = [action for r in done if not silent(action := parse_action(r, grammar))]
    if not (actions and isinstance(expert, FactChecking)):
        return [], []
    prompt, spoken = row["messages"][1]["content"], list(sentences(plain(text)))
    true = [await expert.holds(prompt, actions, sentence) for sentence in spoken]
    return true, [expert.speaks_of(actions[-1], sentence) for sentence in spoken]


def _fixed_thought(reply: str, error: StepKind) -> list[bool | None]:
    """Whether a thought of ours is true of an error; nothing where the reply has none."""
    if error is StepKind.UNKNOWN:
        return []
    for kind, thoughts in PROVED_SIGNALS.items():
        if any(thought in reply for thought in thoughts):
            return [error in _TRUE_OF[kind]]
    return [error is not StepKind.NEEDED] if any(t in reply for t in SIGNALS) else []


def _fails(found: Sequence[bool | None]) -> bool | None:
    """Whether one is false, of those that are known; None: none is."""
    known = [one for one in found if one is not None]
    return not all(known) if known else None


async def measure_preference(walker: Walker, row: Row, shares: Shares) -> None:
    """Whether the chosen reply brings the goal nearer than the rejected one."""
    before = [m["content"] for m in row["prompt"] if m["role"] == "assistant"]
    chosen, rejected = [
        await _last(walker, row["task"], [*before, row[way][0]["content"]])
        for way in ("chosen", "rejected")
    ]
    shares.step("chosen", chosen.kind)
    shares.step("rejected", rejected.kind)
    shares.add("chosen_refused", _among(chosen.kind, StepKind.REFUSED))
    known = chosen.distance is not None and rejected.distance is not None
    better = known and chosen.distance < rejected.distance  # type: ignore[operator]
    shares.add("chosen_not_better", not better if known else None)


async def measure_critique(walker: Walker, row: Row, shares: Shares) -> None:
    """Whether the verdict that is trained is right, and what is said for it."""
    if row["verdict"] not in ("Good", "Bad"):
        return
    done = judged_replies(row)
    kind = (await _last(walker, row["task"], done)).kind
    shares.add("trained_verdict_is_wrong", contradicts(row["verdict"], kind))
    true, near = await _checked(walker, row, done, row["messages"][-1]["content"])
    shares.add("reason_false", _fails(true))
    shares.add("reason_elsewhere", _fails(near))


def judged_replies(row: Row) -> tuple[str, ...]:
    """The replies before a critique row's judgement."""
    replies = [m["content"] for m in row["messages"] if m["role"] == "assistant"]
    return tuple(replies[:-1])


async def measure_tree(walker: Walker, row: Row, shares: Shares) -> None:
    """Every judgement and every proof of a tree, whether a row came of it or not."""
    nodes = row["nodes"]
    for at, node in enumerate(nodes):
        replies = tuple(_replies(nodes, at))
        verdict, proved = node["verdict"], _proved(node)
        if not replies or not (verdict or proved):
            continue
        kind = (await _last(walker, row["task"], replies)).kind
        _measure_verdict(verdict, kind, shares)
        _measure_proof(verdict, proved, kind, shares)


def _proved(node: Row) -> str | None:
    effect = node.get("effect")  # of older files not known
    proved = proved_verdict(Effect(effect)) if effect else None
    return proved.value if proved else None


def _replies(nodes: Sequence[Row], at: int) -> Iterator[str]:
    """The replies from the root to a node."""
    parent = nodes[at]["parent"]
    if parent is not None:
        yield from _replies(nodes, parent)
        yield nodes[at]["response"]


def _measure_verdict(verdict: str | None, kind: StepKind, shares: Shares) -> None:
    if verdict is None:
        return
    shares.step(f"judged {verdict}", kind)
    if verdict == "Bad":
        shares.add("bad_was_refused", _among(kind, StepKind.REFUSED))
        shares.add("bad_is_wrong", contradicts(verdict, kind))
    elif verdict == "Good":
        shares.add("good_is_wrong", contradicts(verdict, kind))
    if kind in SILENT_WASTE:
        shares.add("waste_judged_bad", verdict == "Bad")
    elif kind is StepKind.HARMFUL:
        shares.add("harm_judged_bad", verdict == "Bad")


def _measure_proof(verdict: str | None, proved: str | None, kind: StepKind, shares: Shares) -> None:
    label = proved or verdict
    if proved:
        shares.step(f"proved {proved}", kind)
        shares.add("proof_is_wrong", contradicts(proved, kind))
    if kind in SILENT_WASTE:
        shares.add("waste_proved_bad", proved == "Bad")
        shares.add("waste_labelled_bad", label == "Bad")
    elif kind is StepKind.HARMFUL:
        shares.add("harm_labelled_bad", label == "Bad")


def contradicts(verdict: str, kind: StepKind) -> bool | None:
    """Whether what a step did says otherwise than Good or Bad; None: it is not known.

    >>> contradicts("Bad", StepKind.NEEDED), contradicts("Good", StepKind.NEEDED)
    (True, False)
    """
    needed = _among(kind, StepKind.NEEDED)
    return None if needed is None else needed == (verdict == "Bad")


def _among(kind: StepKind, *kinds: StepKind) -> bool | None:
    return None if kind is StepKind.UNKNOWN else kind in kinds


def _any(found: Sequence[StepKind], *kinds: StepKind) -> bool | None:
    """Whether one of the steps is of those kinds; None: one that is not known may be."""
    if any(kind in kinds for kind in found):
        return True
    return None if StepKind.UNKNOWN in found else False


async def _last(walker: Walker, task: str, replies: Sequence[str]) -> Reached:
    """The state after the last of these replies; not known where the episode ends before."""
    reached = await walker.walk(task, replies)
    if len(reached) < len(replies):
        return Reached(StepKind.UNKNOWN, None)
    return reached[-1]
