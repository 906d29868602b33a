"""General chat rows for a training mixture: from a file, a folder or the Hub, as messages.

A dataset may say its conversations in any of the usual forms: `messages` of role and content,
ShareGPT's `conversations` of from and value, or `prompt` and `completion`.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from agent_r.algorithm.rows import Row
from agent_r.errors import ConfigError
from agent_r.loading import one_line
from agent_r.settings.training import TrainConfig

_BUFFER = 10_000  # rows among which a stream is shuffled: beside this, whole files are
_ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant"}
_LISTS = ("messages", "conversations", "conversation")
_HUB = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")


class GeneralSource(BaseModel):
    """Where general rows come from, for the report."""

    name: str
    commit: str = ""  # of a repository of the Hub's
    licence: str = ""  # as its card says it; empty: it says none
    drawn: int = 0  # rows
    dropped: int = 0  # rows met on the way that are no conversation of texts with a reply

    def line(self) -> str:
        """For a log.

        >>> GeneralSource(name="a/chats", commit="0" * 40, licence="mit", drawn=7).line()
        '7 general rows of a/chats (commit 000000000000, licence: mit)'
        """
        about = [f"commit {self.commit[:12]}"] if self.commit else []
        about.append(f"licence: {self.licence or 'none stated'}")
        if self.dropped:
            about.append(f"{self.dropped:,} others were no conversation of texts")
        return f"{self.drawn:,} general rows of {self.name} ({', '.join(about)})"


def draw_general(config: TrainConfig, *, seed: int) -> tuple[list[Row], GeneralSource]:
    """So many rows of `train.general` at random, or all where it has fewer.

    Of a JSONL file every subset is as likely as another; of any other source files are shuffled,
    and rows among the ten thousand nearest, so that a large dataset need not be fetched whole.

    Raises:
        ConfigError: it cannot be read, or holds no conversations.
    """
    path = Path(config.general)
    if path.is_file() and path.suffix not in (".parquet", ".json"):
        rows, most = read_jsonl(path), config.general_rows
        drawn = random.Random(seed).sample(rows, most) if len(rows) > most else rows
        return drawn, GeneralSource(name=path.name, drawn=len(drawn))
    return _streamed(config, seed)


def check_readable(config: TrainConfig) -> None:
    """Find out before hours of work whether the rows can be had.

    Raises:
        ConfigError: as `draw_general`.
    """
    draw_general(config.model_copy(update={"general_rows": 1}), seed=0)


def _streamed(config: TrainConfig, seed: int) -> tuple[list[Row], GeneralSource]:
    import datasets  # seconds: only where it is needed

    name, path = config.general, Path(config.general)
    options: dict[str, Any] = {"split": config.general_split, "streaming": True}
    source = GeneralSource(name=path.name if path.exists() else name)
    if path.is_file():
        kind, options["data_files"] = path.suffix[1:], str(path)
    elif path.is_dir():
        kind = str(path)
    else:
        source = _on_hub(name)
        kind, options["revision"] = source.name, source.commit
    if config.general_subset:
        options["name"] = config.general_subset
    try:
        stream = datasets.load_dataset(kind, **options).shuffle(seed=seed, buffer_size=_BUFFER)
        met, rows = _conversations(stream, config.general_rows)
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001 -- whatever a stranger's files make it raise
        raise ConfigError(f"cannot read train.general = '{name}': {one_line(error)}") from None
    if not rows:
        raise ConfigError(f"train.general = '{name}' has no conversation of texts with a reply")
    return rows, source.model_copy(update={"drawn": len(rows), "dropped": met - len(rows)})


def _on_hub(name: str) -> GeneralSource:
    """The commit of now and the licence of a repository."""
    from huggingface_hub import HfApi

    if (match := _HUB.fullmatch(name)) is None:
        raise ConfigError(f"train.general = '{name}' is no file, no folder and no owner/name[@ref]")
    try:
        info = HfApi().dataset_info(match[1], revision=match[2])
    except Exception as error:  # noqa: BLE001 -- no connection, no such repository, no access
        raise ConfigError(f"cannot read train.general = '{name}': {one_line(error)}") from None
    card = info.card_data
    licence = (card.get("license") if card is not None else None) or ""
    spoken = ", ".join(licence) if isinstance(licence, list) else str(licence)
    return GeneralSource(name=match[1], commit=info.sha or "", licence=spoken)


def _conversations(stream: Iterable[Mapping[str, Any]], most: int) -> tuple[int, list[Row]]:
    """How many rows were met, and those that are conversations."""
    rows: list[Row] = []
    met = 0
    for row in stream:
        met += 1
        messages = conversation(row)
        if messages:
            rows.append({"messages": messages})
            if len(rows) == most:
                break
    return met, rows


def conversation(row: Mapping[str, Any]) -> list[Row]:
    """Messages of role, content and train flag; empty where one is no text, or none is a reply.

    Raises:
        ConfigError: the row has none of the usual columns.

    >>> conversation({"conversations": [{"from": "human", "value": "Hi"},
    ...                                 {"from": "gpt", "value": "Hello"}]})[1]
    {'role': 'assistant', 'content': 'Hello', 'train': True}
    """
    turns = list(_turns(row))
    texts = all(isinstance(turn["content"], str) for turn in turns)
    replies = any(turn["train"] and turn["content"] for turn in turns)
    return turns if texts and replies else []


def _turns(row: Mapping[str, Any]) -> Iterator[Row]:
    for column in _LISTS:
        if isinstance(row.get(column), list):
            yield from map(_flagged, row[column])
            return
    if "prompt" in row and "completion" in row:
        for column, role in (("prompt", "user"), ("completion", "assistant")):
            value = row[column]
            turns = value if isinstance(value, list) else [{"role": role, "content": value}]
            yield from ({**_flagged(turn), "train": role == "assistant"} for turn in turns)
        return
    raise ConfigError(
        f"a row of train.general has the columns {', '.join(islice(row, 8))}: give it messages, "
        "conversations, or prompt and completion"
    )


def _flagged(turn: Mapping[str, Any]) -> Row:
    role = str(turn.get("role") or turn.get("from") or "")
    role = _ROLES.get(role, role)
    content = turn["content"] if "content" in turn else turn.get("value")
    flag = turn.get("train")
    trains = role == "assistant" if flag is None else bool(flag)
    return {"role": role, "content": content, "train": trains}


def read_jsonl(path: Path) -> list[Row]:
    """Rows of a JSONL file; a message without a train flag trains if it is a reply.

    Raises:
        ConfigError: the file cannot be read, or a line is not a conversation.
    """
    rows: list[Row] = []
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                messages = list(_turns(json.loads(line)))
                if not all(isinstance(turn["content"], str) and turn["role"] for turn in messages):
                    raise ValueError(line)
                rows.append({"messages": messages})
    except OSError as error:
        raise ConfigError(f"cannot read train.general: {error}") from error
    except (ConfigError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} line {len(rows) + 1} is not a row of messages") from error
    return rows
