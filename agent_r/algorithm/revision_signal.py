"""Turn what a judge wrote into a revision signal in the actor's own words.

A judge writes for a reader: headings, lists, JSON, its verdict, "the agent". A revision signal is a
thought of the actor's about its own last step: whole sentences, in the first person, within a
length. What cannot be made into that is left, and a template says it instead.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agent_r.algorithm.critique import Critique, Verdict
from agent_r.algorithm.prompts import PROVED_SIGNALS, SIGNALS
from agent_r.algorithm.trajectory import Step
from agent_r.algorithm.tree import SearchTree
from agent_r.settings import RevisionConfig

MAX_CHARS = 300  # of a signal: it is one thought before the correction, no essay
_COMMON = 0.34  # share of a tree's steps that have a word, from which it sets none apart
_STEM = 5  # letters by which words are told apart: "planks" and "plank" are one
_LEAST_LETTERS = 8  # fewer say nothing: "No.", "Wrong."

# Where a judge that answers in JSON puts its reason; its verdict stands under another name.
_REASON_KEYS = ("reason", "reasons", "reasoning", "rationale", "explanation", "thought", "thoughts",
                "analysis", "justification", "critique", "feedback", "comment")  # fmt: skip
_FENCE = re.compile(r"^[ \t]*(?:```|~~~).*$", re.MULTILINE)
_HEADING = re.compile(r"^[ \t]*#{1,6}[ \t].*$|^[ \t]*[-=_*]{3,}[ \t]*$", re.MULTILINE)
_BULLET = re.compile(r"^[ \t]*(?:[-*+•]|\(?\d{1,2}[.)])[ \t]+", re.MULTILINE)
_LABEL = re.compile(
    r"^[ \t]*[\W_]{0,4}(?:step )?(?:step \d+|thoughts?|reasons?|reasoning|rationale|"
    r"explanation|analysis|critique|assessment|evaluation|justification|feedback|answer|"
    r"final answer|response)"
    r"[ \t]*\d{0,2}[\W_]{0,4}[:：][*_]{0,3}[ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
_EMPHASIS = re.compile(
    r"\*{1,3}|(?<!\w)_{1,3}(?=\w)|(?<=\w)_{1,3}(?!\w)|</?[a-z][^<>]{0,40}>", re.I
)
# A line that is an action, an observation or a verdict is no reason.
_OTHER_LINE = re.compile(
    r"^[ \t>*_#-]*(?:(?:next |final |correct(?:ed)? |better |new )?action|observation|verdict|"
    r"judge?ment|rating|score|label|conclusion)\b[ \t*_]*\d{0,2}[ \t*_]*[:：].*$",
    re.IGNORECASE | re.MULTILINE,
)
# Dots that end no sentence: of an abbreviation, an initial, a number.
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|cf|approx|mr|mrs|dr|st|fig|resp)|\b[A-Za-z])$", re.IGNORECASE
)
# What a whole sentence does not end with: the rest was on its way when something else began.
_UNENDED = re.compile(
    r"[,;:–—(\[-]$|\b(?:a|an|the|and|or|but|so|because|since|that|which|of|to|in|on|for|with|by|as|"
    r"my|is|was|therefore|thus|hence|overall|final|finally|if|when|than|then)$",
    re.IGNORECASE,
)
_ENDS = re.compile(r"[.!?…。！？][\"'”’)\]»」]*(?=\s|$)|[。！？](?=\S)")
_VERDICT = re.compile(
    r"judge?ment|\bverdict\b|\buncertain\b|"
    r"\b(?:is|was|as|be|seems?|looks?|rated?|rate|marked|considered|deemed|judged|labell?ed)"
    r"(?: (?:a|an|the|clearly|therefore|thus|definitely|really|just|simply|very))*"
    r"[ \"'`“‘*_]+(?:good|bad)\b(?!\s+(?:idea|choice|move|plan|decision|luck))|"
    r"^[\"'`“‘*_]*(?:good|bad)[\"'`”’*_.!]*$",
    re.IGNORECASE,
)
# The judge's task said again: to the actor it would be no thought of its own.
_QUESTION = re.compile(
    r"\?[\"'”’)]*$|bring(?:s|ing)? the goal nearer|did it (?:bring|help)|"
    r"\b(?:i (?:need|have|am asked|was asked|will|should|must)|let me|let's|"
    r"we (?:need|have|must)|the user|asked)(?: now)? (?:to )?"
    r"(?:judge|evaluate|assess|rate|determine|decide|analy[sz]e)\b|"
    r"\bthe user\b|\bthe (?:prompt|question|instructions?) (?:asks|says|wants)\b|"
    r"\bas an ai\b|\bstep by step\b",
    re.IGNORECASE,
)
_THIRD = re.compile(
    r"\b(?:the|this) (?:ai |language |llm )?(?:agent|assistant|actor|model|player)\b", re.IGNORECASE
)
_SECOND = re.compile(r"\b(?:you|your|yours|yourself|you're|you've)\b", re.IGNORECASE)
_PAST = re.compile(
    r"(?:\w+ly )?(?:\w{2,}ed|was|had|did|didn't|went|got|took|made|chose|tried|bought|put|left|"
    r"lost|found|forgot|began|ran|gave|came|saw|knew|thought|used|kept|spent|sold|could|couldn't|should|"
    r"shouldn't|would|wouldn't|will|must|can|cannot|can't)\b",
    re.IGNORECASE,
)
_PRESENT = {"is": "am", "has": "have", "does": "do", "doesn't": "don't", "isn't": "am not"}


@dataclass(frozen=True, slots=True)
class Signal:
    """The thought that announces a correction ("": nothing does), and its source."""

    thought: str
    source: str


def signal_of(
    tree: SearchTree,
    error: int,
    critique: Critique | None,
    kind: str,
    *,
    config: RevisionConfig,
    rng: random.Random,
) -> Signal:
    """What the actor says of its error, a node of the tree.

    Its own reason, where it judged the step Bad and speaks of that step (`config.signal` is
    `critique`); a thought about what replay proved the error to be, its `kind` (`proof`); one of
    ten thoughts (`template`). The later ones stand in where an earlier one is not to be had.
    """
    if config.signal == "none":
        return Signal("", "none")
    if config.signal == "critique" and (reason := _own_reason(tree, error, critique)):
        return Signal(reason, "critique")
    if config.signal != "template" and kind in PROVED_SIGNALS:
        return Signal(rng.choice(PROVED_SIGNALS[kind]), "proof")
    return Signal(rng.choice(SIGNALS), "template")


def _own_reason(tree: SearchTree, error: int, critique: Critique | None) -> str:
    step = tree.nodes[error].step
    if step is None or critique is None or critique.verdict is not Verdict.BAD:
        return ""
    others = [node.step for node in tree.nodes if node.step is not None]
    reason = spoken(critique.reason)
    return reason if is_about(reason, step, others) else ""


def spoken(text: str, *, most: int = MAX_CHARS) -> str:
    """The whole sentences of a judge's reason that the actor can say of its own last step.

    At most `most` characters; "" where nothing is left that a signal could be.

    >>> spoken('{"reason": "I need planks first, and got sand.", "judgement": "Bad"}')
    'I need planks first, and got sand.'
    >>> spoken("**Reason:** The agent tried to craft without planks. So it is Bad.")
    'I tried to craft without planks.'
    """
    kept: list[str] = []
    for sentence in sentences(plain(_of_json(text))):
        first_person = in_first_person(sentence)
        if first_person is None or _VERDICT.search(sentence) or _QUESTION.search(sentence):
            if kept:
                break  # what follows leans on what was left out
            continue
        if len(" ".join([*kept, first_person])) > most:
            break
        kept.append(first_person)
    whole = " ".join(kept)
    return whole if sum(map(str.isalpha, whole)) >= _LEAST_LETTERS else ""


def is_about(reason: str, step: Step, others: Sequence[Step]) -> bool:
    """Whether a reason speaks of a step, and of none of the others of its tree.

    A small judge often says a true sentence about some other step: it names what is found there and
    nothing of this one's own. Words that many steps have set none apart.

    >>> steps = [Step("", f"get {it}", f"Got {it}") for it in ("sand", "reed", "wool", "coal")]
    >>> [is_about(r, steps[0], steps) for r in ("I need no sand.", "No use.", "I need no reed.")]
    [True, True, False]
    """
    frequency = Counter(word for other in others for word in _words_of(other))
    named = {word for word in _stems(reason) if 0 < frequency[word] <= _COMMON * len(others)}
    return not named or not named.isdisjoint(_words_of(step))


def _words_of(step: Step) -> set[str]:
    return _stems(f"{step.action} {step.observation}")


def _stems(text: str) -> set[str]:
    return {word[:_STEM].lower() for word in re.findall(r"[^\W_]{3,}", text)}


def plain(text: str) -> str:
    """A reason without Markdown, labels, and the lines that are an action or a verdict."""
    text = _FENCE.sub("", text)
    text = _HEADING.sub("", text)
    text = _BULLET.sub("", text)
    text = _OTHER_LINE.sub("", text)
    text = _LABEL.sub("", text)
    return _EMPHASIS.sub("", text)


def sentences(text: str) -> Iterator[str]:
    """Whole sentences; the end of a line ends none, the end of a paragraph does.

    >>> list(sentences("I need 2.5 planks, e.g. oak. Then I stop\\n\\nSo the"))
    ['I need 2.5 planks, e.g. oak.', 'Then I stop.']
    """
    for paragraph in re.split(r"\n\s*\n", text):
        line, start = " ".join(paragraph.split()), 0
        for end in _ENDS.finditer(line):
            if _ABBREVIATION.search(line[start : end.start()]) and line[end.start()] == ".":
                continue
            yield line[start : end.end()].strip()
            start = end.end()
        rest = line[start:].strip()
        if rest and not _UNENDED.search(rest):
            yield f"{rest}."


def in_first_person(sentence: str) -> str | None:
    """A sentence about "the agent" or "you" as the actor says it of itself; None: it cannot.

    Only a subject with a verb that stays right is changed: bad grammar would be trained.

    >>> in_first_person("The agent has no planks.")
    'I have no planks.'
    >>> in_first_person("The agent crafts without planks.") is None
    True
    """
    if _SECOND.search(sentence):
        return None
    changed, after = "", 0
    for found in _THIRD.finditer(sentence):
        rest = sentence[found.end() :]
        if rest[:2] in ("'s", "’s"):
            mine, taken = ("My" if found[0][0].isupper() else "my"), 2
        else:
            word = rest.split(maxsplit=1)[0].strip(".,;:!?") if rest.split() else ""
            mine, taken = "I", 0
            if word.lower() in _PRESENT:
                mine, taken = f"I {_PRESENT[word.lower()]}", 1 + len(word)
            elif not (rest.startswith(" ") and _PAST.match(rest[1:])):
                return None
        changed += sentence[after : found.start()] + mine
        after = found.end() + taken
    whole = changed + sentence[after:]
    if after and re.search(r"\b(?:it|its|he|his|she|her|they|their|them)self\b", whole):
        return None
    return whole


def _of_json(text: str) -> str:
    """The reason in a JSON object, alone or in a fence; the text itself where it is none."""
    begin = text.find("{")
    if begin < 0 or text[:begin].strip(" \n\t`~jsonJSON"):
        return text
    try:
        page, _ = json.JSONDecoder().raw_decode(text[begin:])
    except (ValueError, RecursionError):
        return "" if re.match(r'\{\s*"', text[begin:]) else text
    return _reason_in(page)


def _reason_in(page: Any) -> str:
    if not isinstance(page, dict):
        return ""
    named = {str(key).lower().replace(" ", "_"): value for key, value in page.items()}
    for key in _REASON_KEYS:
        found = next((named[name] for name in named if name.rstrip("s") == key.rstrip("s")), None)
        if isinstance(found, list):
            found = " ".join(str(part) for part in found)
        if isinstance(found, str) and found.strip():
            text = found.strip()
            return text if text[-1] in ".!?…" else f"{text}."
    return ""
