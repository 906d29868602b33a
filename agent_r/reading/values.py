"""Find the action that a reply names: after a label, inside a tag, or in JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice

from agent_r.grammar import DEFAULT, Grammar
from agent_r.reading.objects import action_of, after_object, read_input, read_value
from agent_r.reading.spellings import BLANK, COLON, DECORATION, INPUTS, Start, names_another, starts

MAX_ACTION_CHARS = DEFAULT.longest

_TRIED = 200  # labels without a value, until the rest is noise
_SEARCHED = 20_000  # characters that a world's own pattern is tried on: it may be slow
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]+")
_FENCE = re.compile(r"`{3,}|~{3,}")
_UNFENCED = r"(?:(?!```|~~~)[^\n])*+"
_FENCES = re.compile(rf"^{_UNFENCED}(`{{3,}}|~{{3,}}){_UNFENCED}$", re.MULTILINE)  # one on a line
_LANGUAGE = re.compile(r"[\w+.#-]{0,20}")
_RULE = re.compile(r"[-=_*~ ]{3,}")
_BULLET = re.compile(r"(?:[-*+•>]|\d{1,2}[.)])\s+(?=\S)")
_STRAY = re.compile(r"\s*</([A-Za-z][\w:-]{0,30})\s*>?$")
_NO_VALUE = re.compile(r"\.{3}|…|(?:none|null|nil|n/?a)(?:$|[.\s]*\(|\.$)", re.IGNORECASE)
_TAGS = re.compile(r"\s*(?:</([A-Za-z][\w:-]{0,30})\s*>|\[/([A-Za-z]\w{0,30})\])")
_SQUARE = re.compile(r"\s*\[/[A-Za-z]\w{0,30}\]$")
_ENDED = re.compile(r"\s*\]")
_BLOCK = re.compile(r"[|>][+-]?")  # YAML's, where the text is on the next line
_OPENED = re.compile(r"(?:</[a-z]\w{0,9}>\s*)+")  # HTML around a label, closed after it
_EDGES = re.compile(r"^[\s\u200b-\u200f\u2060\ufeff]+|[\s\u200b-\u200f\u2060\ufeff]+$")
_GOES_ON = re.compile(
    r"(?<=\S)(?:\s{1,20}|(?:\\n){1,3}\s{0,5})[*_]{0,3}"
    r"(?:Observations?|OBSERVATION|Thought|THOUGHT|Action|ACTION)"
    rf"{BLANK}?\d{{0,3}}[*_]{{0,3}}{COLON}"
)
_INPUT = re.compile(
    rf"\n\s*{DECORATION}{{0,30}}action[ _](?:{'|'.join(INPUTS)})"
    rf"{BLANK}?\d{{0,4}}[*_`]{{0,3}}{BLANK}?{COLON}([^\n]*)",
    re.IGNORECASE,
)
_NOTHING = {"", "none", "null", "n/a", "nil", "{}", "[]"}
_PAIRS = (
    *(("```", "```"), ("``", "``"), ("`", "`"), ("**", "**"), ("__", "__"), ("*", "*"), ("_", "_")),
    *(('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"), ("«", "»"), ("「", "」")),
    *(("<code>", "</code>"), ("<b>", "</b>"), ("<strong>", "</strong>"), ("\\boxed{", "}")),
)
_CLOSED_BY = dict(_PAIRS)


@dataclass(frozen=True, slots=True)
class Found:
    """An action, where what names it ends, and what must follow there for it to be whole."""

    action: str
    end: int
    closed: bool = False  # it ends by a mark of its own: nothing can be missing
    open: bool = False  # its mark is missing: something may be
    suffix: str = ""


def find(text: str, grammar: Grammar) -> Found | None:
    """The first action that an answer names."""
    found = _by_pattern(text, grammar.pattern) if grammar.pattern else None
    if found is None:
        found = next(filter(None, (_value(text, s, grammar) for s in _some(text, grammar))), None)
    if found is None and grammar.whole and (action := clean(text)):
        found = Found(action, len(text.rstrip()))
    return replace(found, action=found.action[: grammar.longest].strip()) if found else None


def _some(text: str, grammar: Grammar) -> list[Start]:
    return list(islice(starts(text, grammar), _TRIED))


def clean(value: str) -> str:
    """One printable line.

    >>> clean("`get 1 oak log`"), clean('say "hello"')
    ('get 1 oak log', 'say "hello"')
    """
    return unquoted(_EDGES.sub("", _UNPRINTABLE.sub(" ", value)))


def unquoted(value: str) -> str:
    """Without the marks around it, each kind once, where they are a pair."""
    for opened, closed in _PAIRS:
        inner = value[len(opened) : -len(closed)]
        paired = value.startswith(opened) and value.endswith(closed) and inner.strip()
        if paired and not re.search(
            rf"(?<!\w){re.escape(closed)}|{re.escape(closed)}(?!\w)", inner
        ):
            value = inner.strip()
    return value


def _by_pattern(text: str, pattern: str) -> Found | None:
    for match in _compiled(pattern).finditer(text[:_SEARCHED]):
        groups = match.groupdict()
        value = groups.get("action") or next(filter(None, match.groups()), match[0])
        if action := clean(value):
            return Found(action, match.end(), closed=match.end() > match.start() + len(value))
    return None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _value(text: str, start: Start, grammar: Grammar) -> Found | None:
    readers: dict[str, Callable[[str, Start, Grammar], Found | None]]
    readers = {"label": _labelled, "tag": _tagged, "key": _keyed}
    found = readers[start.kind](text, start, grammar)
    return found if found and found.action and not _NO_VALUE.match(found.action) else None


def _keyed(text: str, start: Start, grammar: Grammar) -> Found | None:
    """JSON's `"action": …`, in an object that may be wrapped in others."""
    first = text.find("{", 0, start.begin)
    read = read_value(text, start.at) if first >= 0 else None
    if read is None:
        return None
    end, suffix = after_object(text, first, start.begin, read.end), ""
    closed = bool(end)
    if not end or (read.listed and not _ENDED.match(text, read.end)):
        end, suffix = read.end, "]}" if read.listed else "}"
    if text[:first].rstrip().endswith("["):
        ended = _ENDED.match(text, end)
        end, suffix = (ended.end(), suffix) if ended else (end, suffix + "]")
    return Found(clean(read.action), end, closed=closed, open=not closed, suffix=suffix)


def _tagged(text: str, start: Start, grammar: Grammar) -> Found | None:
    """`<action>…</action>`; where it is never closed, a line."""
    close = re.compile(rf"</\s{{0,9}}{re.escape(start.tag)}\s{{0,9}}>", re.IGNORECASE)
    shut = close.search(text, start.at)
    begin, end = _line(text, start.at, shut.start() if shut else len(text))
    if _FENCE.match(text, begin, end):
        begin, end = _line(text, min(end + 1, len(text)), shut.start() if shut else len(text))
    line = text[begin:end].strip()
    if line.startswith("{"):
        return _objected(text, begin)
    if names_another(line, grammar):
        return None
    if shut and line.startswith("<"):
        return Found(clean(_untagged(text[begin : shut.start()])), shut.end(), closed=True)
    if not shut and (partly := _half_closed(line, start.tag)):
        line, end = line[: partly.start()], text.rindex(line, begin, end) + partly.start()
    if shut and not re.sub(r"[`~\s]", "", text[end : shut.start()]):
        return Found(clean(line), shut.end(), closed=True)
    suffix = "\n" + shut[0] if shut else f"</{start.tag}>"
    return Found(clean(line), end, open=not shut, suffix=suffix)


def _half_closed(line: str, tag: str) -> re.Match[str] | None:
    """Half of the closing tag, or the opening one again in its place."""
    return re.search(rf"\s*<(?:/?[\w:-]{{0,40}}|\s?{re.escape(tag)}\s?>)$", line)


def _untagged(value: str) -> str:
    """A call in tags of its own: its name and its arguments, one after another."""
    return " ".join(re.sub(r"<[^<>\n]{0,200}>", " ", value).split())


def _labelled(text: str, start: Start, grammar: Grammar) -> Found | None:
    """What follows a label: on its line, or on the next that is not blank."""
    begin, end = _line(text, start.at, _end_of_line(text, start.at))
    value = _unmarked(text[begin:end].strip(), start.marks)
    value = _OPENED.sub("", value, count=1) if _OPENED.match(value) else value
    if not value or _BLOCK.fullmatch(value):
        begin, end = _line(text, min(end + 1, len(text)), len(text))
        value = text[begin:end].strip()
        if names_another(text[begin:end], grammar):
            return None
        value = _BULLET.sub("", value, count=1) if _BULLET.match(value) else value
    if value.startswith("<") and starts_inside(value, grammar):
        return None
    if _FENCE.match(value):
        return _fenced(text, text.index(value[:3], begin), end)
    if value.startswith("{") and (found := _objected(text, text.index("{", begin))):
        return found
    return _plain(text, begin, end, value)


def starts_inside(value: str, grammar: Grammar) -> bool:
    """Whether a value is a tag of an action, which is then read as that."""
    return any(start.kind == "tag" for start in starts(value, grammar))


def _plain(text: str, begin: int, end: int, value: str) -> Found:
    """A line of text: what runs on within it, and what closes around it, is no part of it."""
    at = text.rindex(value, begin, end)
    if goes_on := _GOES_ON.search(value):
        value, end = value[: goes_on.start()], at + goes_on.start()
    while (stray := _STRAY.search(value)) and f"<{stray[1]}" not in value:
        value = value[: stray.start()]
        if f"<{stray[1]}" not in text[:begin]:
            end = at + stray.start()
    value = _SQUARE.sub("", value)
    if (shut := value.find("```")) > 0 and value.endswith("```"):
        value = value[:shut]
    action, after = clean(value), _INPUT.match(text, end)
    return _with_input(action, text, after) if after else Found(action, end)


def _with_input(action: str, text: str, after: re.Match[str]) -> Found:
    """LangChain's two lines: what to do, and with what."""
    raw, end = after[1].strip(), after.end()
    if not raw:
        begin, end = _line(text, min(end + 1, len(text)), len(text))
        raw = text[begin:end].strip()
    if raw.startswith("{") and (read := read_input(text, text.index("{", after.start(1)))):
        raw, end = read.action, max(end, read.end)
    call_input = clean(raw)
    if call_input.lower() in _NOTHING or action.endswith(call_input):
        return Found(action, end)
    return Found(clean(f"{action} {call_input}"), end)


def _objected(text: str, begin: int) -> Found | None:
    """JSON after a label, where it names a call; any other JSON is the action itself."""
    end = after_object(text, begin, begin + 1, begin + 1)
    try:
        value = json.loads(text[begin:end], strict=False) if end else None
    except (ValueError, RecursionError):
        return None
    action = action_of(value) if isinstance(value, dict) else ""
    return Found(clean(action), end, closed=True) if action else None


def _fenced(text: str, begin: int, end: int) -> Found | None:
    """A fence, on one line or on several: its first line that is not blank."""
    fence = _FENCE.match(text, begin)
    assert fence is not None
    rest = text[fence.end() : end].strip()
    if (shut := rest.find(fence[0])) > 0:
        return Found(clean(rest[:shut]), end, closed=True)
    if not _LANGUAGE.fullmatch(rest):
        return Found(clean(rest), end)
    at, after = _line(text, min(end + 1, len(text)), len(text))
    line = text[at:after].strip()
    if line.startswith(fence[0]) or not line:
        return Found(clean(rest), end) if rest and line else None
    if line.startswith("{") and (found := _objected(text, text.index("{", at))):
        return found
    return Found(clean(line), after)


def whole(text: str, found: Found) -> tuple[str, bool]:
    """The text up to the action, fences and tags around it closed; and whether a fence was open."""
    body, rest = text[: found.end] + found.suffix, text[found.end :]
    open_fence = ""
    for fence in _FENCES.finditer(body):
        if not open_fence:
            open_fence = fence[1]
        elif fence[0].strip() == open_fence:
            open_fence = ""
    if open_fence:
        closing = re.match(rf"\s*\n{BLANK}*{re.escape(open_fence)}", rest)
        body += closing[0] if closing else f"\n{open_fence}"
        rest = rest[closing.end() :] if closing else ""
    while (tag := _TAGS.match(rest)) and _is_open(body, tag[1] or tag[2]):
        body, rest = body + tag[0], rest[tag.end() :]
    return body.rstrip(), bool(open_fence)


def _is_open(body: str, tag: str) -> bool:
    opened = f"<{tag}" in body or f"[{tag}]" in body
    return opened and f"</{tag}" not in body and f"[/{tag}]" not in body


def _unmarked(value: str, marks: str) -> str:
    """Close what was opened before the label: after it (`**Action:** x`), or after its value."""
    closing = "".join(_CLOSED_BY.get(mark, mark) for mark in reversed(marks))
    if closing and value.startswith(closing):
        return value[len(closing) :].strip()
    return value.removesuffix(closing).strip() if closing else value


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _line(text: str, at: int, limit: int) -> tuple[int, int]:
    """Where the first line lies that is neither blank nor a rule."""
    begin, end = at, min(_end_of_line(text, at), limit)
    while end < limit and (not (line := text[begin:end].strip()) or _RULE.fullmatch(line)):
        begin = end + 1
        end = min(_end_of_line(text, begin), limit)
    return begin, end
