"""Tell what a trainer would refuse in a line, leave out, or read as something else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent_r.algorithm.rows import Row

Messages = list[dict[str, Any]]


def problems_of_openai(row: Any) -> list[str]:
    """What the fine-tuning API would refuse in a line, or not train: empty if all is well.

    >>> problems_of_openai({"messages": [{"role": "user", "content": "hi", "weight": 0}]})[0]
    "message 0: a user's message with the key 'weight'"
    """
    if not isinstance(row, dict) or set(row) != {"messages"}:
        return ["a line is an object with `messages` and nothing else"]
    messages = row["messages"]
    if not isinstance(messages, list) or not messages:
        return ["`messages` is not a list of messages"]
    found = [f"message {i}: {p}" for i, m in enumerate(messages) for p in _problems(m)]
    if found:
        return found
    if messages[-1]["role"] != "assistant":
        found.append("the last message is not the assistant's")
    if not any(m["role"] == "assistant" and m.get("weight", 1) for m in messages):
        found.append("no message of the assistant has weight 1")
    return found


def _problems(message: Any) -> Iterator[str]:
    if not isinstance(message, dict):
        yield "not an object"
        return
    role, content = message.get("role"), message.get("content")
    if role not in ("system", "user", "assistant"):
        yield f"the role {role!r}"
    if not isinstance(content, str) or not content:
        yield "no text"
    known = {"role", "content", "weight"} if role == "assistant" else {"role", "content"}
    for key in sorted(set(message) - known):
        yield f"a {role}'s message with the key '{key}'"
    weight = message.get("weight", 1)
    if type(weight) is not int or weight not in (0, 1):
        yield f"the weight {weight!r}, not 0 or 1"


def problems_of_sharegpt(row: Row) -> list[str]:
    """What LLaMA-Factory would leave out with no more than a warning, or read as nothing."""
    turns = _turns(row["messages"])
    found = _problems_of_order(turns)
    if len(turns) % 2 != ("chosen" in row):
        found.append("it does not end where a reply does, or for a pair where one is due")
    for side in {"chosen", "rejected"} & set(row):
        if not isinstance(row[side], dict) or row[side]["role"] != "assistant":
            found.append(f"its {side} side is not one reply")
    return found


def problems_of_turns(row: Row) -> list[str]:
    """What ms-swift, verl and xtuner would merge, leave out, or train wrongly."""
    turns = _turns(row["messages"])
    found = _problems_of_order(turns)
    if not turns or len(turns) % 2:
        found.append("it does not end with a reply")
    for message in row.get("rejected_response", ()):
        if message["role"] != "assistant":
            found.append("its rejected side is not a reply")
    return found


def _turns(messages: Messages) -> Messages:
    return messages[1:] if messages and messages[0]["role"] == "system" else messages


def _problems_of_order(turns: Messages) -> list[str]:
    expected = ["user", "assistant"] * (len(turns) // 2 + 1)
    if [turn["role"] for turn in turns] == expected[: len(turns)]:
        return []
    return ["its messages do not alternate between user and assistant"]
