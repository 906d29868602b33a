"""Split a reply into reasoning and answer: what a model thinks is no part of what it says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from agent_r.grammar import REASONING

# gpt-oss's own marks, where a server hands them through; and what is left of them without marks.
_CHANNEL = re.compile(
    r"(?:<\|start\|>[^<\n]{0,60})?<\|channel\|>[^\S\n]*(?P<name>\w+)[^<\n]{0,200}"
    r"(?:<\|constrain\|>[^<\n]{0,60})?<\|message\|>"
)
_CHANNEL_END = re.compile(r"<\|(?:end|return|call)\|>")
_BARE = re.compile(r"\s*analysis(?=[A-Z\s])(?P<reasoning>.*?)assistantfinal", re.DOTALL)
_BARE_CUT = re.compile(r"\s*analysis(?=[A-Z])")
_BLANK = r"[^\S\n]{0,9}"
_SAID = ("final", "assistant")  # channels of what is said; all others are of what is thought


def with_reasoning(reasoning: str, answer: str) -> str:
    """A reply as a reasoning model writes it, and as chat templates read it: one closed block.

    >>> with_reasoning("A log?", "Action: get 1 oak log")
    '<think>\\nA log?\\n</think>\\n\\nAction: get 1 oak log'
    """
    marks = _marks(REASONING)
    thoughts = (marks.sub("", reasoning) if marks else reasoning).strip()
    return f"<think>\n{thoughts}\n</think>\n\n{answer}" if thoughts else answer


@dataclass(frozen=True, slots=True)
class Split:
    """A text without its reasoning; `open` where the reasoning never ended."""

    reasoning: str
    answer: str
    open: bool


def split_reasoning(text: str, tags: Sequence[str] = REASONING) -> tuple[str, str]:
    """Reasoning and answer of a reply's text.

    Reasoning that never ends goes on to the end of the text; where it ends without a beginning, as
    some chat templates leave it, it began with the text.

    >>> split_reasoning("<think>A log?</think>Action: get 1 oak log")
    ('A log?', 'Action: get 1 oak log')
    """
    split = split_of(text, tuple(tags), cut=False)
    return split.reasoning, split.answer


def split_of(text: str, tags: tuple[str, ...], *, cut: bool) -> Split:
    """Split a reply, and say whether its reasoning ended; `cut`: the text was cut off."""
    if tags and (split := _of_channels(text)):
        return split
    marks = _marks(tags)
    if marks is None or not (found := list(marks.finditer(text))):
        return Split("", text, open=False)
    spans, is_open = _spans(text, found, cut)
    thoughts = [marks.sub("", text[begin:end]).strip() for begin, end in spans]
    answer = _without(text, spans, "")
    if marks.search(answer):  # two halves of a mark must not become one
        answer = _without(text, spans, "\n")
    return Split("\n".join(filter(None, thoughts)), answer.lstrip(), is_open)


def _spans(
    text: str, found: Sequence[re.Match[str]], cut: bool
) -> tuple[list[tuple[int, int]], bool]:
    """Where reasoning lies, its marks included, and whether the last of it is open."""
    spans: list[tuple[int, int]] = []
    depth = begin = closed = last = 0
    for mark in found:
        if mark.lastgroup == "void":
            spans += [] if depth else [mark.span()]
        elif mark.lastgroup == "open":
            if depth == 0:
                begin, closed = mark.start(), 0
            elif not text[last : mark.start()].strip():
                depth -= 1  # the template's own mark, said again
            depth += 1
        elif depth:
            depth -= 1
            closed = mark.end()
            if depth == 0:
                spans.append((begin, closed))
        elif spans and not text[mark.end() :].strip():
            spans.append(mark.span())
        else:
            spans = [(0, mark.end())]
        last = mark.end()
    if depth and closed and not cut:  # it only spoke of the mark
        return [*spans, (begin, closed)], False
    return ([*spans, (begin, len(text))], True) if depth else (spans, False)


def _without(text: str, spans: Sequence[tuple[int, int]], joint: str) -> str:
    ends = [0, *(end for _, end in spans)]
    begins = [*(begin for begin, _ in spans), len(text)]
    return joint.join(text[end:begin] for end, begin in zip(ends, begins, strict=True))


@cache
def _marks(tags: tuple[str, ...]) -> re.Pattern[str] | None:
    pairs = [tag.split(" ", 1) for tag in tags if tag.strip()]
    void = "(?!)"
    names = "|".join(re.escape(pair[0].strip("<>")) for pair in pairs if len(pair) == 1)
    opens = [re.escape(pair[0]) for pair in pairs if len(pair) == 2]
    closes = [re.escape(pair[1]) for pair in pairs if len(pair) == 2]
    if names:
        void = rf"<{_BLANK}(?:{names}){_BLANK}/>"
        opens.append(rf"<{_BLANK}(?:{names})(?:\s[^<>\n]{{0,100}})?>")
        closes.append(rf"<{_BLANK}/{_BLANK}(?:{names}){_BLANK}>")
    if not pairs:
        return None
    marks = f"(?P<open>{'|'.join(opens)})|(?P<close>{'|'.join(closes)})"
    return re.compile(f"(?P<void>{void})|{marks}", re.IGNORECASE)


def _of_channels(text: str) -> Split | None:
    """gpt-oss's form: what is said on the channel `final` is the answer."""
    if bare := _BARE.match(text):
        return Split(bare["reasoning"].strip(), text[bare.end() :].lstrip(), open=False)
    if cut := _BARE_CUT.match(text):
        return Split(text[cut.end() :].strip(), "", open=True)
    heads = list(_CHANNEL.finditer(text))
    if not heads:
        return None
    thoughts: list[str] = []
    answers = [text[: heads[0].start()]]
    for head, after in zip(heads, [*heads[1:], None], strict=True):
        message = text[head.end() : after.start() if after else len(text)]
        end = _CHANNEL_END.search(message)
        whole = message[: end.start()] if end else message
        (answers if head["name"] in _SAID else thoughts).append(whole.strip())
    last = heads[-1]
    is_open = last["name"] not in _SAID and not _CHANNEL_END.search(text, last.end())
    return Split("\n".join(filter(None, thoughts)), "".join(answers).strip(), is_open)
