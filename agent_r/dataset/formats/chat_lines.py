"""Rows as the lines of trainers: whole conversations with a flag, single replies, pairs."""

from __future__ import annotations

from typing import Any

from agent_r.algorithm.rows import Row


def openai_row(row: Row) -> Row:
    """A `sft` row as the fine-tuning API reads it: a weight on the assistant's messages alone."""
    return {"messages": [_flagged(m, weight=m["weight"]) for m in row["messages"]]}


def loss_row(row: Row) -> Row:
    """A `sft` row as ms-swift and xtuner read it: `loss` says which replies are trained.

    It ends with the last trained reply, since ms-swift trains the last end-of-turn token anyway.
    """
    messages = row["messages"]
    end = max((at for at, message in enumerate(messages, 1) if message["train"]), default=0)
    return {"messages": [_flagged(m, loss=m["train"]) for m in messages[:end]]}


def reply(row: Row) -> Row:
    """A `prompt_completion` row as one conversation, whose last message is the trained one."""
    return {"messages": [*row["prompt"], *row["completion"]]}


def ranked_pair(row: Row) -> Row:
    """A pair of messages; where there is not one on each side, what is there stays a list."""
    one = len(row["chosen"]) == len(row["rejected"]) == 1
    chosen, rejected = (row[side][0] if one else row[side] for side in ("chosen", "rejected"))
    return {"messages": row["prompt"], "chosen": chosen, "rejected": rejected}


def loss_pair(row: Row) -> Row:
    """A pair as ms-swift reads it: the chosen conversation, and how the rejected one ends.

    What comes before the pair has no loss, so that no setting of the run prefers an earlier reply.
    """
    before = [_flagged(message, loss=False) for message in row["prompt"]]
    return {"messages": before + row["chosen"], "rejected_response": row["rejected"]}


def _flagged(message: dict[str, Any], **flag: Any) -> dict[str, Any]:
    """A message as all know it, and a flag that only the assistant's have."""
    plain = {"role": message["role"], "content": message["content"]}
    return plain | flag if message["role"] == "assistant" else plain
