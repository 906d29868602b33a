"""Mix the training rows of one fine-tuning job: rows of dataset versions, and general rows."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent_r.algorithm.rows import Row
from agent_r.config import digest
from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.shards import read_rows
from agent_r.digests import sha256_of
from agent_r.errors import ConfigError
from agent_r.settings import Config


def training_rows(
    versions: Sequence[Path],
    general: Sequence[Row],
    config: Config,
    *,
    seed: int,
    control: bool = False,
) -> tuple[list[Row], dict[str, int]]:
    """`{"messages": […]}` rows in training order, and how many of each kind.

    Of several versions each row counts once, and rows of the split `validation` never do; without
    `train.accumulate` those of the newest iteration alone. The `control` has no row with an error.

    Raises:
        DatasetError: a version is damaged.
        ConfigError: there is nothing to train on.
    """
    known: dict[str, Row] = {}
    for version in versions:
        read_manifest(version)
        for row in read_rows(version, "sft", "train"):
            known.setdefault(row["id"], row)
    agent = list(known.values())
    if not config.train.accumulate:
        newest = max((row["iteration"] for row in agent), default=0)
        agent = [row for row in agent if row["iteration"] == newest]
    if not agent:
        raise ConfigError(
            "the dataset has no row to train on: explore more trees, or lower revision.alpha"
        )
    share = config.train.revision_share
    if share < 1.0 and all(row["kind"] == "revision" for row in agent):
        raise ConfigError(
            f"train.revision_share = {share:g} leaves no row to train on: the dataset has "
            "revisions alone; set it to 1 to train on them, or explore more trees"
        )
    mixed = mix(
        agent,
        general,
        eta=config.train.eta if general else 1.0,
        revisions=share,
        seed=seed,
    )
    if control:
        mixed = without_errors(mixed, seed=seed)
    counts = Counter(str(row.get("kind", "general")) for row in mixed)
    return [{"messages": row["messages"]} for row in mixed], dict(counts)


def mix(
    agent: Sequence[Row], general: Sequence[Row], *, eta: float, revisions: float, seed: int
) -> list[Row]:
    """The training mixture: a share `eta` of good and revision rows, the rest general data.

    Proportional sampling (paper, section 4.1: L = eta (good + revision) + (1 - eta) general, with
    eta = 0.2). All agent rows are kept, unless revisions would be more than the share `revisions`
    of them (all of them are dropped where there is no good row, and the share is not 1); general
    rows are drawn, with repetition once all have been used.
    """
    rng = random.Random(seed)
    revised = [row for row in agent if row["kind"] == "revision"]
    good = [row for row in agent if row["kind"] != "revision"]
    if revisions < 1.0:
        most = round(len(good) * revisions / (1.0 - revisions))
        revised = rng.sample(revised, min(len(revised), most))
    own = good + revised
    wanted = round(len(own) * (1.0 - eta) / eta) if eta > 0 and general else 0
    drawn = list(general) * (wanted // len(general)) if wanted else []
    drawn += rng.sample(list(general), wanted - len(drawn))
    mixed = own + drawn
    rng.shuffle(mixed)
    return mixed


def without_errors(mixed: Sequence[Row], *, seed: int) -> list[Row]:
    """A control's mixture: the rows that show no error, repeated until as much is trained.

    Measured in characters of what carries the loss: a row with errors trains less than its length.

    Raises:
        ConfigError: every row shows one.
    """
    right = [row for row in mixed if row.get("kind", "good") == "good"]
    rows = [row for row in right if trained_characters(row)]  # others would be repeated for ever
    if not rows:
        raise ConfigError(
            "measure.control needs rows without an error: set train.general, or "
            "revision.good_per_task"
        )
    rng, left = random.Random(seed), sum(map(trained_characters, mixed))
    control: list[Row] = []
    while left > 0:
        for row in rng.sample(rows, len(rows)):
            if left <= 0:
                break
            control.append(row)
            left -= trained_characters(row)
    return control


def trained_characters(row: Row) -> int:
    """Length of the messages of a row that carry the loss."""
    return sum(len(message["content"]) for message in row["messages"] if message["train"])


def read_general(path: Path) -> list[Row]:
    """General chat rows from a JSONL file; a message without a train flag trains if it is a reply.

    Raises:
        ConfigError: the file cannot be read, or a line is not a conversation.
    """
    rows: list[Row] = []
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                rows.append({"messages": [_flagged(m) for m in json.loads(line)["messages"]]})
    except OSError as error:
        raise ConfigError(f"cannot read train.general: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} line {len(rows) + 1} is not a row of messages") from error
    return rows


def _flagged(message: dict[str, Any]) -> Row:
    train = bool(message.get("train", message["role"] == "assistant"))
    return {"role": message["role"], "content": message["content"], "train": train}


def mixture_key(rows: Sequence[Row], config: Config, *, actor: str) -> str:
    """Names a training job by what goes into it: rows, the actor before, settings and seed."""
    content = sha256_of(json.dumps(rows, sort_keys=True))
    return digest(actor, content, config.train.anywhere(), config.seed)
