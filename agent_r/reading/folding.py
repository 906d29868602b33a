"""Fold a conversation's turns as a chat template takes them that knows fewer than ours has.

Rows are stored unfolded: a fold belongs to the template that a conversation is rendered with.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, TypeAlias

Fold: TypeAlias = Literal["system", "alternate", "empty", "last"]
FOLDS: Mapping[Fold, str] = {
    "system": "the instruction goes into the first user turn",
    "alternate": "neighbouring turns of one role are joined",
    "empty": "an empty turn is sent as `(nothing)`",
    "last": "a last turn of the actor's is followed by `Go on.`",
}
NOTHING, GO_ON = "(nothing)", "Go on."
Turn: TypeAlias = Mapping[str, Any]

_SYSTEM = re.compile(
    r"system.{0,40}(role|prompt|message|instruction|support)|(role|support).{0,40}\bsystem\b"
    r"|(developer|system) instruction|only user.{0,30}roles? (are|is) (supported|allowed)"
    r"|got .?system|(first message|conversation) must (use|start|begin|be).{0,20}\buser\b"
    r"|valid role: user",
    re.IGNORECASE,
)
_ALTERNATE = re.compile(r"alternat|\bin a row\b|consecutive|same role", re.IGNORECASE)
_EMPTY = re.compile(
    r"non.?empty|(not|cannot|can't|must n.t) be empty|empty (content|message|text|string|turn)"
    r"|(content|message|text|parts).{0,20}(is|are|was) empty|must have a text|blank",
    re.IGNORECASE,
)
_LAST = re.compile(
    r"last (message|role|turn)|prefill|(must|should) end with.{0,20}user|final (assistant|message)",
    re.IGNORECASE,
)
_NAMED: Mapping[Fold, re.Pattern[str]] = {
    "empty": _EMPTY, "last": _LAST, "alternate": _ALTERNATE, "system": _SYSTEM
}  # fmt: skip
_TEMPLATE = re.compile(r"chat.?template|jinja|template error|raise_exception", re.IGNORECASE)
_SURELY = re.compile(
    r"system.{0,20}role.{0,20}not|roles must alternate|only user.{0,30}roles? (are|is)"
    r"|got .?system",
    re.IGNORECASE,
)


def folded(messages: Sequence[Turn], folds: Collection[Fold]) -> list[dict[str, Any]]:
    """The conversation with those folds; what else a turn holds stays with it.

    >>> folded([{"role": "system", "content": "Act."}, {"role": "user", "content": "Hi"}],
    ...        ["system"])
    [{'role': 'user', 'content': 'Act.\\n\\nHi'}]
    """
    turns = [dict(turn) for turn in messages]
    if "system" in folds:
        turns = _without_system(turns)
    if "empty" in folds:
        turns = [t if _has_text(t) else t | {"content": NOTHING} for t in turns]
    if "alternate" in folds:
        turns = _joined(turns)
    if "last" in folds and turns and turns[-1]["role"] == "assistant":
        turns.append({"role": "user", "content": GO_ON})
    return turns


def possible(messages: Sequence[Turn]) -> list[Fold]:
    """The folds that change this conversation, the likeliest to be wanted first."""
    plain = [dict(turn) for turn in messages]
    return [fold for fold in FOLDS if folded(plain, [fold]) != plain]


def wanted(words: str, messages: Sequence[Turn]) -> list[Fold]:
    """The folds that a refusal may ask for, the likeliest first; none where it is about no turns.

    Templates without a system role often say that roles must alternate.
    """
    named = [fold for fold, pattern in _NAMED.items() if pattern.search(words)]
    if not named and not _TEMPLATE.search(words):
        return []
    there = possible(messages)
    return sorted(there, key=lambda fold: fold not in named)


def is_of_turns(words: str) -> bool:
    """Whether a chat template complains, though the status is that of a passing failure.

    >>> is_of_turns("Error rendering prompt with jinja template: System role not supported")
    True
    """
    return bool(_TEMPLATE.search(words) or _SURELY.search(words))


def _has_text(turn: Turn) -> bool:
    return bool(str(turn["content"]).strip())


def _without_system(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """An instruction before a user's turn is its beginning; elsewhere it is one."""
    out: list[dict[str, Any]] = []
    held = ""
    for turn in turns:
        if turn["role"] == "system":
            held = f"{held}\n\n{turn['content']}" if held else turn["content"]
            continue
        if held and turn["role"] == "user":
            turn = turn | {"content": f"{held}\n\n{turn['content']}"}
        elif held:
            out.append({"role": "user", "content": held})
        out.append(turn)
        held = ""
    return [*out, {"role": "user", "content": held}] if held else out


def _joined(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for turn in turns:
        if out and out[-1]["role"] == turn["role"]:
            out[-1] = out[-1] | turn | {"content": f"{out[-1]['content']}\n\n{turn['content']}"}
        else:
            out.append(turn)
    return out
