"""The row of a demonstration: `{"messages": [{"role", "content", "train"}, …]}`."""

from __future__ import annotations

from collections.abc import Sequence

from agent_r.actor import Message
from agent_r.algorithm.rows import Row


def demonstration_row(messages: Sequence[Message], trained: Sequence[bool]) -> Row:
    """A training row; `trained` has one flag per assistant message."""
    flags = iter(trained)
    return {
        "messages": [
            {"role": m.role, "content": m.content, "train": m.role == "assistant" and next(flags)}
            for m in messages
        ]
    }
