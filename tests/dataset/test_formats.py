"""Exports to trainers that cannot read a version as it is, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import (
    ChatCompletionAssistantMessageParam,
    ChatCompletionSystemMessageParam,
    ChatCompletionUserMessageParam,
)
from pydantic import TypeAdapter

from agent_r.dataset.formats import LLAMAFACTORY_INFO, export_format, problems_of_openai
from agent_r.dataset.shards import ShardWriter, read_rows, shard_files
from agent_r.errors import DatasetError, StoreError
from agent_r.files import sha256
from tests.support.made import Made

OPENAI = {
    "system": ChatCompletionSystemMessageParam,
    "user": ChatCompletionUserMessageParam,
    "assistant": ChatCompletionAssistantMessageParam,
}
USER = {"role": "user", "content": "go"}
REPLY = {"role": "assistant", "content": "went", "weight": 1}


def test_llamafactory_gets_a_row_a_reply_and_pairs(made: Made, tmp_path: Path) -> None:
    written = export_format(made.version, "llamafactory", tmp_path / "lf")
    info = json.loads((tmp_path / "lf" / "dataset_info.json").read_text(encoding="utf-8"))
    assert info == LLAMAFACTORY_INFO
    replies, pairs = lines(tmp_path / "lf" / "sft.jsonl"), lines(tmp_path / "lf/preference.jsonl")
    assert written == len(replies) + len(pairs)
    assert replies == [
        {"messages": row["prompt"] + row["completion"]}
        for row in read_rows(made.version, "prompt_completion")
    ]
    assert pairs == [
        {"messages": row["prompt"], "chosen": row["chosen"][0], "rejected": row["rejected"][0]}
        for row in read_rows(made.version, "preference")
    ]


def test_openais_lines_are_what_its_own_types_and_the_documented_weight_allow(
    made: Made, tmp_path: Path
) -> None:
    export_format(made.version, "openai", tmp_path / "openai")
    rows, written = made.rows("sft"), lines(tmp_path / "openai" / "sft.jsonl")
    assert len(written) == len(rows)
    for line, row in zip(written, rows, strict=True):
        assert problems_of_openai(line) == []
        for message, ours in zip(line["messages"], row["messages"], strict=True):
            weight = message.pop("weight", None)
            assert weight == (int(ours["train"]) if ours["role"] == "assistant" else None)
            kind = OPENAI[ours["role"]]
            assert TypeAdapter(kind).validate_python(message) == message
            assert set(message) <= set(kind.__annotations__)
            assert message == {"role": ours["role"], "content": ours["content"]}


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"messages": [USER, REPLY], "id": "x"}, "nothing else"),
        ({"messages": []}, "not a list of messages"),
        ({"messages": [USER | {"weight": 0}, REPLY]}, "the key 'weight'"),
        ({"messages": [USER, REPLY | {"train": True}]}, "the key 'train'"),
        ({"messages": [USER, REPLY | {"weight": True}]}, "the weight True"),
        ({"messages": [USER, REPLY | {"weight": None}]}, "the weight None"),
        ({"messages": [USER, REPLY | {"weight": 2}]}, "the weight 2"),
        ({"messages": [USER, REPLY | {"content": None}]}, "no text"),
        ({"messages": [USER | {"role": "tool"}, REPLY]}, "the role 'tool'"),
        ({"messages": [USER, REPLY, USER]}, "last message"),
        ({"messages": [USER, REPLY | {"weight": 0}]}, "weight 1"),
    ],
)
def test_a_line_that_openai_would_refuse_is_told_apart(line: Any, said: str) -> None:
    assert said in problems_of_openai(line)[0]
    assert problems_of_openai({"messages": [USER, REPLY]}) == []


def damaged(version: Path, folder: Path, config: str, change: dict[str, Any]) -> Path:
    """A copy whose first row of a config is another; its manifest agrees."""
    shutil.copytree(version, folder)
    rows = list(read_rows(version, config))
    [path] = shard_files(folder, config)
    path.unlink()
    writer = ShardWriter(path.parent, config)
    for row in [rows[0] | change, *rows[1:]]:
        writer.add(row, 1)
    [written] = writer.close()
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"][written.path.relative_to(folder).as_posix()] = sha256(written.path)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("name", "config", "change", "said"),
    [
        ("openai", "sft", {"messages": [USER | {"train": False, "weight": 0}]}, "last message"),
        ("llamafactory", "prompt_completion", {"prompt": [USER, USER]}, "alternate"),
        ("llamafactory", "preference", {"chosen": [REPLY, REPLY]}, "one reply"),
        ("llamafactory", "preference", {"prompt": [USER, REPLY]}, "does not end"),
    ],
)
def test_a_row_that_cannot_be_said_in_a_format_leaves_no_files(
    made: Made, tmp_path: Path, name: Any, config: str, change: dict[str, Any], said: str
) -> None:
    version = damaged(made.version, tmp_path / "v1.1", config, change)
    with pytest.raises(DatasetError, match=said) as failure:
        export_format(version, name, tmp_path / "out")
    assert made.rows(config)[0]["id"] in str(failure.value)
    assert [path.name for path in tmp_path.iterdir()] == ["v1.1"]


def test_an_export_never_overwrites(made: Made, tmp_path: Path) -> None:
    export_format(made.version, "openai", tmp_path / "out")
    with pytest.raises(StoreError, match="never overwritten"):
        export_format(made.version, "openai", tmp_path / "out")
