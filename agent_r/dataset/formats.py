"""Convert a version to the files of a trainer that cannot read it as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import jsonlines

from agent_r.algorithm.rows import Row
from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.shards import read_rows
from agent_r.errors import DatasetError
from agent_r.files import beside, keep, write_json

Format = Literal["openai", "llamafactory"]
Messages = list[dict[str, Any]]

_COLUMNS = {"messages": "messages"}
_RANKED = _COLUMNS | {"chosen": "chosen", "rejected": "rejected"}
_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "system_tag": "system",
    "user_tag": "user",
    "assistant_tag": "assistant",
}
# Its `openai` formatting would add a line to every system message; `sharegpt` changes nothing.
_SHAREGPT = {"formatting": "sharegpt", "tags": _TAGS}
# LLaMA-Factory knows no flag on a message: one row a reply, and all before it masked by a setting
# of the run. The data set's name says so, since without the setting mistakes would be learnt.
LLAMAFACTORY_INFO = {
    "agent_r_sft_mask_history": {"file_name": "sft.jsonl", "columns": _COLUMNS, **_SHAREGPT},
    "agent_r_preference": {
        "file_name": "preference.jsonl",
        "ranking": True,
        "columns": _RANKED,
        **_SHAREGPT,
    },
}


def export_format(version: Path, name: Format, out: Path) -> int:
    """Write a version as the files of one trainer into a new folder; the number of rows in them.

    Raises:
        DatasetError: the version is damaged, or a row cannot be said in that format.
        StoreError: the folder is there already, or cannot be written.
    """
    read_manifest(version)
    with beside(out) as staged:
        rows = _WRITERS[name](version, staged)
        keep(staged, out)
    return rows


def _openai(version: Path, folder: Path) -> int:
    rows = ((row["id"], openai_row(row)) for row in read_rows(version, "sft"))
    return _write(folder / "sft.jsonl", _sound(rows, problems_of_openai))


def _llamafactory(version: Path, folder: Path) -> int:
    replies = ((row["id"], _reply(row)) for row in read_rows(version, "prompt_completion"))
    pairs = ((row["id"], _pair(row)) for row in read_rows(version, "preference"))
    write_json(folder / "dataset_info.json", LLAMAFACTORY_INFO)
    return _write(folder / "sft.jsonl", _sound(replies, problems_of_sharegpt)) + _write(
        folder / "preference.jsonl", _sound(pairs, problems_of_sharegpt)
    )


_WRITERS: dict[str, Callable[[Path, Path], int]] = {
    "openai": _openai,
    "llamafactory": _llamafactory,
}


def _write(path: Path, rows: Iterable[Row]) -> int:
    written = 0
    with jsonlines.open(path, "w", dumps=_line) as file:
        for row in rows:
            file.write(row)
            written += 1
    return written


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False)


def _sound(
    rows: Iterable[tuple[str, Row]], problems_of: Callable[[Row], list[str]]
) -> Iterator[Row]:
    """Rows without a problem; the first one with a problem ends it."""
    for name, row in rows:
        if problems := problems_of(row):
            raise DatasetError(f"{name} cannot be exported: {problems[0]}")
        yield row


def openai_row(row: Row) -> Row:
    """A `sft` row as the fine-tuning API reads it: a weight on the assistant's messages alone."""
    return {"messages": [_weighted(message) for message in row["messages"]]}


def _weighted(message: dict[str, Any]) -> dict[str, Any]:
    plain = {"role": message["role"], "content": message["content"]}
    return plain | {"weight": message["weight"]} if message["role"] == "assistant" else plain


def _reply(row: Row) -> Row:
    return {"messages": [*row["prompt"], *row["completion"]]}


def _pair(row: Row) -> Row:
    """A pair of messages; where there is not one on each side, what is there stays a list."""
    one = len(row["chosen"]) == len(row["rejected"]) == 1
    chosen, rejected = (row[side][0] if one else row[side] for side in ("chosen", "rejected"))
    return {"messages": row["prompt"], "chosen": chosen, "rejected": rejected}


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
    messages: Messages = row["messages"]
    turns = messages[1:] if messages and messages[0]["role"] == "system" else messages
    expected = ["user", "assistant"] * (len(turns) // 2 + 1)
    found = []
    if [turn["role"] for turn in turns] != expected[: len(turns)]:
        found.append("its messages do not alternate between user and assistant")
    if len(turns) % 2 != ("chosen" in row):
        found.append("it does not end where a reply does, or for a pair where one is due")
    for side in {"chosen", "rejected"} & set(row):
        if not isinstance(row[side], dict) or row[side]["role"] != "assistant":
            found.append(f"its {side} side is not one reply")
    return found
