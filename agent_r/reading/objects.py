"""Read JSON in a reply, also broken JSON: the action it names, and where its object ends."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

_LONGEST = 4_000  # characters of an object that is an action
_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*+"|[{}]')
_STRING = re.compile(
    r'\s{0,20}\[?\s{0,20}(?:"((?:[^"\\]|\\.)*+)"|\'((?:[^\'\\]|\\.)*+)\'|“([^”]*+)”)'
)
_BARE = re.compile(r"\s{0,20}(-?\d[\d.]{0,20})(?=[\s,}\]])")
_OBJECT = re.compile(r"\s{0,20}\[?\s{0,20}(?=\{)")
_INPUT = re.compile(
    r"\s{0,20},\s{0,20}[\"'](?:action[_ ]?input|input|arguments|args|parameters)[\"']\s{0,20}:",
    re.IGNORECASE,
)
_NAMES = ("action", "command", "name", "tool", "function", "type", "text", "value", "content")
_INPUTS = ("action_input", "arguments", "args", "input", "parameters", "params", "kwargs")
_NOTHING = {"", "none", "null", "n/a"}


@dataclass(frozen=True, slots=True)
class Value:
    """An action that JSON names, and where its value ends."""

    action: str
    end: int
    listed: bool = False  # it is the first of several


def read_value(text: str, at: int) -> Value | None:
    """The value that begins at `at`: a text, a number, a call, or the first of a list."""
    if _OBJECT.match(text, at):
        begin = text.index("{", at)
        end = after_object(text, begin, begin + 1, begin + 1)
        action = action_of(_loaded(text[begin:end])) if end else ""
        listed = "[" in text[at:begin]
        return Value(action, end, listed) if action else None
    if bare := _BARE.match(text, at):
        return Value(bare[1], bare.end(1))
    string = _STRING.match(text, at)
    if string is None:
        return None
    action, end = _decoded(string), string.end()
    if string[0].lstrip().startswith("["):
        return Value(action, end, listed=True)
    call_input = _INPUT.match(text, end)
    more = read_input(text, call_input.end()) if call_input else None
    return Value(f"{action} {more.action}".strip(), more.end) if more else Value(action, end)


def read_input(text: str, at: int) -> Value | None:
    """What a call is given: a text, a number, or an object's values in their order."""
    if not _OBJECT.match(text, at):
        value = read_value(text, at)
        return Value("", value.end) if value and value.action.lower() in _NOTHING else value
    begin = text.index("{", at)
    end = after_object(text, begin, begin + 1, begin + 1)
    return Value(_arguments_text(_loaded(text[begin:end])), end) if end else None


def action_of(value: Any) -> str:
    """What an object names: a command, or a call's name and its arguments, in their order.

    >>> action_of({"name": "get", "arguments": {"count": 1, "item": "oak log"}})
    'get 1 oak log'
    """
    if isinstance(value, list):
        return action_of(value[0]) if value else ""
    if not isinstance(value, dict):
        return "" if value is None or isinstance(value, bool) else str(value)
    low = {str(key).lower(): held for key, held in value.items()}
    name = next((low[key] for key in _NAMES if key in low), None)
    if isinstance(name, dict | list):
        return action_of(name)
    if name is None:
        return ""
    call_input = next((low[key] for key in _INPUTS if key in low), None)
    return " ".join(filter(None, (str(name).strip(), _arguments_text(call_input))))


def _arguments_text(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(filter(None, map(_arguments_text, value.values())))
    if isinstance(value, list):
        return ", ".join(filter(None, map(_arguments_text, value)))
    text = "" if value is None or isinstance(value, bool) else str(value).strip()
    return "" if text.lower() in _NOTHING else text


def after_object(text: str, first: int, inside: int, at: int) -> int:
    """Where the object ends that is open at `at`; 0 where it does not.

    `first` is where an object begins that is or holds it, and `inside` a place in it.
    """
    depth = 0
    for token in _TOKEN.finditer(text, first, inside):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
    depth = max(depth, 1)
    for token in _TOKEN.finditer(text, at, at + _LONGEST):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    return 0


def _loaded(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _decoded(string: re.Match[str]) -> str:
    raw = next((group for group in string.groups() if group is not None), "")
    try:
        return str(json.loads(f'"{raw}"', strict=False))
    except ValueError:
        return raw.replace("\\'", "'").replace('\\"', '"').replace("\\n", "\n")
