"""Translate between an actor and an OpenEnv server: fill a template, read a field."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agent_r.digests import sha256_of
from env_adapters.written import clean

_PLACE = "{action}"
_NUMBER_PLACE = "{action:int}"
_NUMBER = re.compile(r"[+-]?[0-9]{1,15}")
_TYPES: dict[type, tuple[str, ...]] = {
    bool: ("boolean",),
    int: ("integer", "number"),
    float: ("number",),
    str: ("string",),
    list: ("array",),
    dict: ("object",),
    type(None): ("null",),
}


class NotANumber(Exception):
    """The server's action has a number where the actor has none; the text is the observation."""


@dataclass(frozen=True, slots=True)
class SessionAnswer:
    """An answer of the server; `reward` is as the server gives it, None where it does not."""

    text: str
    reward: float | None = None
    done: bool = False


def filled(template: Any, action: str) -> Any:
    """The settings' action, with what the actor does in it.

    >>> filled({"move": {"message": "say {action}!"}, "n": ["{action:int}", 1]}, " 3 ")
    {'move': {'message': 'say  3 !'}, 'n': [3, 1]}

    Raises:
        NotANumber: a number is wanted, and this is none.
    """
    if isinstance(template, dict):
        return {key: filled(value, action) for key, value in template.items()}
    if isinstance(template, (list, tuple)):
        return [filled(value, action) for value in template]
    if template == _NUMBER_PLACE:
        if not _NUMBER.fullmatch(action.strip()):
            raise NotANumber("That is no action: answer with a whole number.")
        return int(action)
    return template.replace(_PLACE, clean(action)) if isinstance(template, str) else template


def has_a_place(template: Any) -> bool:
    """Whether what the actor does is anywhere in the settings' action."""
    return any(_PLACE in text or text == _NUMBER_PLACE for text in _texts(template))


def _texts(template: Any) -> Iterator[str]:
    if isinstance(template, str):
        yield template
    elif isinstance(template, (dict, list, tuple)):
        inner = template.values() if isinstance(template, dict) else template
        for value in inner:
            yield from _texts(value)


def session_answer(answer: dict[str, Any], field: str) -> SessionAnswer:
    """What the answer to a reset or a step says.

    Raises:
        ValueError: it is not of OpenEnv's form, or has no such field; the text says which it has.
    """
    seen, reward, done = answer.get("observation"), answer.get("reward"), answer.get("done")
    if reward is not None and not (isinstance(reward, (int, float)) and math.isfinite(reward)):
        raise ValueError(f"a reward of {str(reward)[:60]!r}")
    found: Any = seen
    for part in field.split("."):
        if not isinstance(found, dict) or part not in found:
            has = ", ".join(sorted(seen)) if isinstance(seen, dict) else type(seen).__name__
            raise ValueError(f"an observation without '{field}': it has {has[:200]}")
        found = found[part]
    return SessionAnswer(_text(found), None if reward is None else float(reward), bool(done))


def _text(found: Any) -> str:
    if found is None:
        return ""
    text = found if isinstance(found, str) else json.dumps(
        found, ensure_ascii=False, separators=(",", ":")
    )  # fmt: skip
    return clean(text)


def digest(value: Any) -> str:
    """Of any JSON, whatever the order of its keys."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return sha256_of(canonical, 8)


def name_of(reset: dict[str, Any]) -> str:
    """A task's name for good: what can be read of what `reset` is sent, and a digest of all of it.

    >>> name_of({"seed": 3, "level": "easy"}), name_of({})
    ('level-easy-seed-3-96070694', 'reset-44136fa3')
    """
    words = re.findall(r"[A-Za-z0-9.]+", json.dumps(reset, sort_keys=True))
    return f"{'-'.join(words)[:48].strip('-') or 'reset'}-{digest(reset)}"


def misfit(schema: dict[str, Any], template: dict[str, Any], field: str) -> str:
    """What of the settings' action and observation the server's schemas do not know; "" for none.

    A server of tools takes actions that its schema may not list: theirs are not looked at.
    """
    if template.get("type") in ("call_tool", "list_tools"):
        return ""
    action, seen = schema.get("action"), schema.get("observation")
    if isinstance(action, dict) and (wrong := _wrong_action(action, template)):
        return wrong
    has = seen.get("properties") if isinstance(seen, dict) else None
    own = set(has) - {"done", "reward", "metadata"} if isinstance(has, dict) else set()
    if own and field.split(".")[0] not in {*own, "metadata"}:
        return f"its observations have no '{field}', but {', '.join(sorted(own))}"
    return ""


def _wrong_action(schema: dict[str, Any], template: dict[str, Any]) -> str:
    fields: dict[str, Any] = schema.get("properties") or {}
    known = ", ".join(sorted(set(fields) - {"metadata"})) or "nothing"
    for name in schema.get("required") or ():
        if name not in template:
            return f"its action needs '{name}' (it takes {known})"
    for name, value in template.items():
        if name not in fields and schema.get("additionalProperties") is False:
            return f"its action has no '{name}' (it takes {known})"
        if wrong := _wrong_type(fields.get(name), value):
            return f"its action's '{name}' {wrong}"
    return ""


def _wrong_type(schema: Any, value: Any) -> str:
    """A text may stand for a number or a yes: servers read those, too."""
    described = schema if isinstance(schema, dict) else {}
    either = described.get("anyOf") or [described]
    wanted = {str(one.get("type")) for one in either if isinstance(one, dict)}
    fits = _TYPES.get(type(value), ())
    if value == _NUMBER_PLACE:
        fits = ("integer", "number", "string")
    elif isinstance(value, str) and _PLACE in value:
        fits = ("string", "number", "boolean")
    if not wanted or "None" in wanted or wanted.intersection(fits):
        return ""
    hint = f": write '{_NUMBER_PLACE}'" if "integer" in wanted and _PLACE in str(value) else ""
    return f"is {' or '.join(sorted(wanted))}, not {json.dumps(value)[:60]}{hint}"
