"""Find where a reply names its action, and where it goes on to speak for others.

Every rule is a bounded regular expression or a scan that never goes back, so that no text takes
more than linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from agent_r.grammar import Grammar

BLANK = r"(?:[^\S\n]|[\u200b-\u200f\u2060\ufeff])"  # white space within a line, of any script
COLON = r"(?::|：|﹕|∶|︰|꞉|->|=>|→)"
DECORATION = r"(?:_|[^\w\n{<])"  # what stands before a label: Markdown, bullets, quotes, brackets
_CLOSING = rf"(?:[*_`#=~\]】)>-]|{BLANK})"  # and after it
# After an action's own label alone: in other lines they are punctuation.
_SEPARATOR = rf"(?:{COLON}|=(?=\s{{0,3}}[\"'`“])|[–—-]{{1,2}}(?={BLANK}{{1,5}}[^\s-]))"
_ADJECTIVES = (
    r"(?:(?:the|my|your|final|next|first|new|best|single|chosen|selected|proposed|planned|current"
    r"|recommended|suggested|output|immediate)[ \t_-]{1,3}){0,3}"
)
_NUMBER = (
    rf"(?:{BLANK}{{0,3}}(?:#|no\.?|step|[-_])?{BLANK}{{0,3}}"
    r"[\[(]?\d{1,4}(?:[./]\d{1,4})?[\])]?)?"
)
_AFTER = rf"(?:{BLANK}{{1,3}}(?:to take|taken|chosen|step))?(?:{BLANK}{{0,3}}\([^()\n]{{0,40}}\))?"
_HTML = r"(?:<(?:b|strong|i|em|u|p|li|div|span|code|h[1-6])>){0,3}"
_TURN = (
    rf"(?:(?:step|turn|round){BLANK}{{0,3}}\d{{1,3}}{BLANK}{{0,3}}[-:.)–—]{{0,2}}{BLANK}{{0,3}})?"
    rf"(?:(?:assistant|ai|agent|bot){BLANK}?:{BLANK}{{0,3}})?"
)
_BEFORE = (
    rf"^(?P<before>{DECORATION}{{0,80}}(?:[\[(]?\d{{1,3}}[.):\]]+{DECORATION}{{0,9}})?)"
    rf"{_HTML}{_TURN}"
)
_MARKS = re.compile(r"[*_`\"'“‘«「]+$")
INPUTS = ("input", "args", "arguments", "argument", "parameters", "params")
_OTHERS = (
    *("thought", "thoughts", "reasoning", "reflection", "plan", "final answer"),
    *(f"action {word}" for word in INPUTS),
)
_ASIDE = re.compile(
    r"<(thoughts?|think|reasoning|reflection|plan|analysis|scratchpad)>", re.IGNORECASE
)


_WIDE = {ord("a") + n: ord("ａ") + n for n in range(26)}  # full-width letters


@dataclass(frozen=True, slots=True)
class Start:
    """A place where an action may be named; `at` is where its value begins."""

    kind: str  # label, tag, or key
    begin: int
    at: int
    marks: str = ""  # what was opened before a label, and may be closed after its value: `**`
    tag: str = ""


def starts(text: str, grammar: Grammar) -> Iterator[Start]:
    """Places where an action may be named, in order; those within a line come last."""
    within: list[Start] = []
    asides = iter([*_asides(text), (len(text), len(text))])
    begin, end = next(asides)
    for match in _names(grammar.labels).finditer(text):
        while end <= match.start():
            begin, end = next(asides)
        if begin < match.start():
            continue
        start = _start(match)
        if start.kind == "key" and _follows_words(text, start.begin):
            within.append(start)  # a thought may speak of an object
        else:
            yield start
    yield from within
    for match in _within(grammar.labels).finditer(text):
        yield Start("label", match.start(), match.end())


def names_another(line: str, grammar: Grammar) -> bool:
    """Whether a line is no value, but begins with a label of its own."""
    return bool(_labels((*grammar.labels, *grammar.ends, *_OTHERS)).match(line))


def invented(text: str, grammar: Grammar) -> int:
    """Where what the actor does not say begins: an observation, or another speaker's turn."""
    match = _labels(grammar.ends).search(text) if grammar.ends else None
    return match.start() if match else len(text)


def _follows_words(text: str, key: int) -> bool:
    """Whether the object that a key is in begins within a line of text."""
    brace = text.rfind("{", 0, key)
    line = text.rfind("\n", 0, max(brace, 0)) + 1
    return bool(re.search(r"\w", text[line : text.find("{", line)]))


def _start(match: re.Match[str]) -> Start:
    opened = _MARKS.search(match["before"] or "")
    marks = opened[0] if opened and not (match["shut"] or "").strip() else ""
    kind = "label" if match.lastgroup == "square" else match.lastgroup or ""
    return Start(kind, match.start(), match.end(), marks=marks, tag=match["name"] or "")


@cache
def _names(labels: tuple[str, ...]) -> re.Pattern[str]:
    wide = (label.translate(_WIDE) for label in labels)
    words = "|".join(map(re.escape, [*labels, *wide])) or r"(?!)"
    name = f"{_ADJECTIVES}(?:{words})"
    full = f"{name}{_NUMBER}{_AFTER}"
    line = rf"{_BEFORE}{full}(?:(?P<shut>{_CLOSING}{{0,12}}?){_SEPARATOR}|{_CLOSING}{{0,80}}$)"
    square = rf"^{DECORATION}{{0,80}}?[\[【]{full}[\]】]"
    tag = rf"<(?P<name>{name})(?:\s[^<>\n]{{0,100}})?>"
    key = rf"[\"'“”]{name}s?[\"'“”]\s{{0,20}}{COLON}"
    return re.compile(
        rf"(?P<label>{line})|(?P<square>{square})|(?P<tag>{tag})|(?P<key>{key})",
        re.IGNORECASE | re.MULTILINE,
    )


@cache
def _labels(words: tuple[str, ...]) -> re.Pattern[str]:
    """Lines that begin with one of some labels, or are a heading or a tag of that name."""
    names = "|".join(map(re.escape, words))
    line = rf"{_BEFORE}{_ADJECTIVES}(?:{names}){_NUMBER}{_AFTER}"
    return re.compile(
        rf"{line}(?:{_CLOSING}{{0,12}}?{COLON}|{_CLOSING}{{0,80}}$)"
        rf"|^{DECORATION}{{0,80}}<(?:{names})>",
        re.IGNORECASE | re.MULTILINE,
    )


@cache
def _within(labels: tuple[str, ...]) -> re.Pattern[str]:
    """A label after the end of a sentence: `I need a log. Action: get 1 oak log`."""
    words = "|".join(re.escape(w) for label in labels for w in {label.capitalize(), label.upper()})
    ended = rf"[.!?…;)\]\"'”’»*`]{BLANK}{{1,5}}|[。！？；，]{BLANK}{{0,5}}"
    after = rf"(?:\\n|{ended}|{BLANK}[-–—|]{BLANK})"
    name = rf"(?:(?:My|Next|Final) )?(?:{words or '(?!)'}){_NUMBER}"
    return re.compile(rf"{after}[*_`]{{0,3}}{name}[*_`]{{0,3}}{BLANK}{{0,3}}{COLON}")


def _asides(text: str) -> list[tuple[int, int]]:
    """Where a reply thinks aloud within tags: no action is named there."""
    spans: list[tuple[int, int]] = []
    low, at, unclosed = text.lower(), 0, set[str]()
    if len(low) != len(text):  # a letter whose lower case is two
        low = text
    for match in _ASIDE.finditer(text):
        name = match[1].lower()
        if match.start() < at or name in unclosed:
            continue
        end = low.find(f"</{name}>", match.end())
        if end < 0:
            unclosed.add(name)
        else:
            spans.append((match.start(), at := end))
    return spans
