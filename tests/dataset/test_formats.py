"""Exports to trainers that cannot read a version as it is, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from openai.types.chat import (
    ChatCompletionAssistantMessageParam,
    ChatCompletionSystemMessageParam,
    ChatCompletionUserMessageParam,
)
from pydantic import TypeAdapter

from agent_r.dataset.formats.chat_lines import loss_row
from agent_r.dataset.formats.conversion import export_format
from agent_r.dataset.formats.line_checks import problems_of_openai
from agent_r.dataset.formats.llamafactory import LLAMAFACTORY_INFO
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
FLAGGED = USER | {"train": False, "weight": 0}
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


def flagged(row: dict[str, Any], flag: str) -> list[dict[str, Any]]:
    """A row's messages with a flag that only the assistant's have."""
    return [
        {"role": m["role"], "content": m["content"]}
        | ({flag: m["train"]} if m["role"] == "assistant" else {})
        for m in row["messages"]
    ]


def test_ms_swift_and_xtuner_get_conversations_whose_replies_say_whether_they_are_trained(
    made: Made, tmp_path: Path
) -> None:
    for name in ("ms-swift", "xtuner"):
        export_format(made.version, name, tmp_path / name)
        expected = [{"messages": flagged(row, "loss")} for row in made.rows("sft")]
        assert lines(tmp_path / name / "sft.jsonl") == expected
    trained = [m["loss"] for row in expected for m in row["messages"] if "loss" in m]
    assert {True, False} == set(trained)
    assert not (tmp_path / "xtuner" / "preference.jsonl").exists()


def test_a_line_with_loss_ends_with_its_last_trained_reply() -> None:
    messages = [FLAGGED, REPLY | {"train": True}, FLAGGED, REPLY | {"train": False}]
    assert [m.get("loss") for m in loss_row({"messages": messages})["messages"]] == [None, True]


def test_ms_swifts_pairs_give_no_loss_to_what_comes_before_them(made: Made, tmp_path: Path) -> None:
    export_format(made.version, "ms-swift", tmp_path / "out")
    pairs = lines(tmp_path / "out" / "preference.jsonl")
    for pair, row in zip(pairs, made.rows("preference"), strict=True):
        *before, chosen = pair["messages"]
        assert [{**chosen}] == row["chosen"] and pair["rejected_response"] == row["rejected"]
        assert [{k: v for k, v in m.items() if k != "loss"} for m in before] == row["prompt"]
        assert not any(m["loss"] for m in before if m["role"] == "assistant")


def test_verl_gets_a_mask_for_each_message_and_the_class_that_reads_it(
    made: Made, tmp_path: Path
) -> None:
    rows = made.rows("sft")
    assert export_format(made.version, "verl", tmp_path / "verl") == len(rows)
    written = pq.read_table(tmp_path / "verl" / "sft.parquet").to_pylist()
    assert [row["id"] for row in written] == [row["id"] for row in rows]
    for line, row in zip(written, rows, strict=True):
        assert line["messages"] == [
            {"role": m["role"], "content": m["content"], "loss_mask": int(m["train"])}
            for m in row["messages"]
        ]
    code = (tmp_path / "verl" / "agent_r_verl.py").read_text(encoding="utf-8")
    compile(code, "agent_r_verl.py", "exec")


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
        ("xtuner", "sft", {"messages": [FLAGGED]}, "end with a reply"),
        ("verl", "sft", {"messages": [FLAGGED, FLAGGED]}, "alternate"),
        ("verl", "sft", {"messages": [FLAGGED]}, "end with a reply"),
        ("ms-swift", "preference", {"rejected": [USER]}, "not a reply"),
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
