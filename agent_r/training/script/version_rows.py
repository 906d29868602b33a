"""The rows of a version, and the conversations that they are."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from pyarrow.parquet import read_table

from agent_r.training.script.script_settings import COLUMNS, Refusal, one_line

Messages = list[dict[str, Any]]
THOUGHT = re.compile(r"\A\s*<think>\n?(.*?)\n?</think>\s*", re.DOTALL)


def read_rows(settings: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows to train on: those of the split `validation` never are."""
    path = Path(settings.dataset)
    if path.is_file():
        lines = path.read_text(encoding="utf-8").split("\n")
        try:
            rows = [json.loads(line) for line in lines if line.strip()]
        except ValueError as error:
            raise Refusal(f"{path} is not a file of JSON lines: {error}") from None
    else:
        rows = read_version(path if path.is_dir() else fetched(settings), settings)
    if not rows:
        raise Refusal(f"{settings.dataset} has no {settings.rows} rows to train on")
    return rows


def fetched(settings: argparse.Namespace) -> Path:
    """The files of a published version, at its tag."""
    with one_line(f"cannot fetch {settings.dataset}@{settings.tag or 'main'}"):
        return Path(
            snapshot_download(
                settings.dataset,
                repo_type="dataset",
                revision=settings.tag or None,
                allow_patterns=["manifest.json", f"data/{settings.rows}/*"],
            )
        )


def read_version(folder: Path, settings: argparse.Namespace) -> list[dict[str, Any]]:
    """A version's rows, once its files are those of its manifest."""
    with one_line(f"{settings.dataset} is not a dataset version"):
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        held = manifest["content_digest"]
        names = [n for n in manifest["files"] if n.startswith(f"data/{settings.rows}/train-")]
    if settings.digest not in ("", held):
        raise Refusal(
            f"{settings.dataset} holds the version {held[:12]}…, and not {settings.digest[:12]}…, "
            "which --digest names"
        )
    rows = []
    for name in sorted(names):
        with one_line(f"cannot read {folder / name}"):
            if sha256((folder / name).read_bytes()).hexdigest() != manifest["files"][name]:
                raise Refusal(f"{folder / name} is not the file that the manifest names")
            rows += read_table(folder / name, columns=list(COLUMNS[settings.rows])).to_pylist()
    return rows


def conversations(row: dict[str, Any], kind: str) -> list[Messages]:
    """A row as conversations whose trained replies are marked; a preference is two of them."""
    try:
        if kind == "sft":
            return [row["messages"]]
        if kind == "preference":
            return [marked(row["prompt"], row[side]) for side in ("chosen", "rejected")]
        if "messages" in row:
            return list(reply_by_reply(row["messages"]))
        return [marked(row["prompt"], row["completion"])]
    except (KeyError, TypeError) as error:
        raise Refusal(f"a row of {kind} lacks {error}: is --rows right?") from None


def marked(prompt: Messages, reply: Messages) -> Messages:
    """A conversation whose end alone is trained."""
    return [m | {"train": False} for m in prompt] + [m | {"train": True} for m in reply]


def reply_by_reply(messages: Messages) -> Iterator[Messages]:
    """A conversation for each trained reply; what was thought before earlier ones is gone."""
    for at in (i for i, message in enumerate(messages) if is_trained(message)):
        before = [
            m | {"content": THOUGHT.sub("", m["content"])} if is_trained(m) else m
            for m in messages[:at]
        ]
        yield marked(before, [messages[at]])


def is_trained(message: dict[str, Any]) -> bool:
    """Whether the model is to learn to say this."""
    return message["role"] == "assistant" and bool(message.get("train"))
