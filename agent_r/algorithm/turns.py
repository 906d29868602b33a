"""Write turns of our own in the form in which the actor writes its turns.

A revision signal that says `Thought: … Action: …` between replies in JSON would teach two forms.
"""

from __future__ import annotations

import json
import re
from typing import Any

_THOUGHT_KEYS = ("thought", "thoughts", "reasoning", "think", "rationale")
_LABEL = re.compile(
    r"\s*[>*_#`\- \t]{0,6}(?:thoughts?|reasoning|think)[ \t]*\d{0,3}[ \t*_]*[:：][*_]{0,3}\s*"
    r"|\s*[#]{1,6}[ \t]*(?:thoughts?|reasoning)[ \t]*\n+"
    r"|\s*<(?:thoughts?|reasoning|rationale)>\s*",
    re.IGNORECASE,
)
_IN_JSON = re.compile(rf'"(?:{"|".join(_THOUGHT_KEYS)})"\s*:\s*"', re.IGNORECASE)
# From the line that announces the action up to the action itself.
_ANNOUNCED = re.compile(
    r"(?:\A|\n)([^\n]*\baction\b[^\n]*(?:\n\s*)*(?:```\w*\s*)?)\Z", re.IGNORECASE
)


def with_thought(thought: str, response: str) -> str:
    """Lay a thought before a response's own: the `inline` revision signal.

    >>> with_thought("That was wrong.", "Thought: I need sand.\\nAction: get 1 sand")
    'Thought: That was wrong. I need sand.\\nAction: get 1 sand'
    >>> with_thought("Wrong.", '{"thought": "I need sand.", "action": "get 1 sand"}')
    '{"thought": "Wrong. I need sand.", "action": "get 1 sand"}'
    """
    if (label := _LABEL.match(response)) is not None:
        own = response[label.end() :]
        joint = "\n" if own.lstrip(" \t*_>#`").lower().startswith("action") else " "
        return f"{response[: label.end()].lstrip()}{thought}{joint}{own}"
    if _object(response) is not None and (key := _IN_JSON.search(response)) is not None:
        escaped = json.dumps(thought, ensure_ascii=False)[1:-1]
        return f"{response[: key.end()]}{escaped} {response[key.end() :]}"
    own = response.lstrip()
    if own[:1].isalpha() and not own.lower().startswith("action"):
        return f"{thought} {own}"
    return f"Thought: {thought}\n{own}"


def with_action(thought: str, action: str, response: str, own: str) -> str:
    """A turn that thinks and does something else than a response, and looks like it.

    Args:
        response: A reply of the actor's; `own` is the action that was read from it.

    >>> with_action("I was wrong.", "rest", "Thought: Go on.\\nAction: look", "look")
    'Thought: I was wrong.\\nAction: rest'
    """
    page = _object(response)
    if page is not None and isinstance(page.get("action"), str):
        thoughts = {key: thought for key in page if key.lower() in _THOUGHT_KEYS}
        return json.dumps(thoughts | {"action": action}, ensure_ascii=False)
    at = response.rfind(own) if own else -1
    announced = _ANNOUNCED.search(response[:at]) if at >= 0 else None
    label = _LABEL.match(response)
    if announced is None:
        return f"Thought: {thought}\nAction: {action}"
    before, after = response[: announced.start(1)], response[at + len(own) :]
    begins = label[0].lstrip() if label else "" if before.strip() else "Thought: "
    gap = before[len(before.rstrip()) :] or "\n"
    return f"{begins}{thought}{gap}{announced[1]}{action}{after}"


def _object(response: str) -> dict[str, Any] | None:
    """The JSON object that a whole response is; None where it is none."""
    if not response.lstrip().startswith("{"):
        return None
    try:
        page = json.loads(response)
    except (ValueError, RecursionError):
        return None
    return page if isinstance(page, dict) else None
