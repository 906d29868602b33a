"""Mix the training rows of one fine-tuning job: rows of dataset versions, and general rows."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import BaseModel

from agent_r.algorithm.rows import Row
from agent_r.config import digest
from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.shards import read_rows
from agent_r.digests import sha256_of
from agent_r.errors import ConfigError
from agent_r.settings import Config
from agent_r.training.general import GeneralSource

GENERAL = "general"  # the kind of a row that is no agent's
Weigh = Callable[[Row], int]


class Mixture(BaseModel):
    """What a model was trained on, for the report: by kind, as `revision`, `good`, `general`."""

    rows: dict[str, int] = {}
    trained: dict[str, int] = {}  # what of them carries the loss, in `unit`
    unit: str = "characters"  # or tokens
    general: GeneralSource | None = None

    def line(self) -> str:
        """For a log.

        >>> Mixture(rows={"good": 1200, "general": 3}, trained={"good": 90, "general": 10}).line()
        '1,200 good, 3 general rows to train on (90 %, 10 % of the trained characters)'
        """
        counts = ", ".join(f"{count:,} {kind}" for kind, count in self.rows.items())
        whole = max(sum(self.trained.values()), 1)
        shares = ", ".join(f"{self.trained.get(kind, 0) / whole:.0%}" for kind in self.rows)
        spaced = shares.replace("%", " %")
        return f"{counts} rows to train on ({spaced} of the trained {self.unit})"


def training_rows(
    versions: Sequence[Path],
    general: Sequence[Row],
    config: Config,
    *,
    seed: int,
    control: bool = False,
    weigh: Weigh | None = None,
) -> tuple[list[Row], Mixture]:
    """`{"messages": […]}` rows in training order, and what they are.

    `weigh` says what a row trains, for `train.eta_of`; None: its characters.

    Of several versions each row counts once, and rows of the split `validation` never do; without
    `train.accumulate` those of the newest iteration alone. The `control` has no row with an error.

    Raises:
        DatasetError: a version is damaged.
        ConfigError: there is nothing to train on.
    """
    pairs = config.train.trl is not None and config.train.trl.rows == "preference"
    agent = _rows_of(versions, "preference" if pairs else "sft", config)
    if pairs:
        return _preferences(agent, seed=seed, control=control)
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
        weigh=weigh or trained_characters if config.train.eta_of == "trained_tokens" else None,
    )
    if control:
        mixed = without_errors(mixed, seed=seed)
    rows = [{"messages": row["messages"]} for row in mixed]
    return rows, _what(mixed, weigh or trained_characters)


def _what(mixed: Sequence[Row], weigh: Weigh) -> Mixture:
    rows, trained = Counter[str](), Counter[str]()
    for row in mixed:
        kind = str(row.get("kind", GENERAL))
        rows[kind] += 1
        trained[kind] += weigh(row)
    unit = "characters" if weigh is trained_characters else "tokens"
    return Mixture(rows=dict(rows), trained=dict(trained), unit=unit)


def _rows_of(versions: Sequence[Path], table: str, config: Config) -> list[Row]:
    known: dict[str, Row] = {}
    for version in versions:
        read_manifest(version)
        for row in read_rows(version, table, "train"):
            known.setdefault(row["id"], row)
    agent = list(known.values())
    if not config.train.accumulate:
        newest = max((row["iteration"] for row in agent), default=0)
        agent = [row for row in agent if row["iteration"] == newest]
    if not agent:
        raise ConfigError(
            f"the dataset has no {table} row to train on: explore more trees, or lower "
            "revision.alpha"
        )
    return agent


def _preferences(pairs: list[Row], *, seed: int, control: bool) -> tuple[list[Row], Mixture]:
    """Pairs alone: general rows have no other side."""
    if control:
        raise ConfigError("measure.control trains on replies: set train.trl.rows = 'sft' for it")
    random.Random(seed).shuffle(pairs)
    sides = ("prompt", "chosen", "rejected")
    trained = sum(len(p[side][0]["content"]) for p in pairs for side in sides[1:])
    kind = "preference"
    mixture = Mixture(rows={kind: len(pairs)}, trained={kind: trained})
    return [{side: pair[side] for side in sides} for pair in pairs], mixture


def mix(
    agent: Sequence[Row],
    general: Sequence[Row],
    *,
    eta: float,
    revisions: float,
    seed: int,
    weigh: Weigh | None = None,
) -> list[Row]:
    """The training mixture: a share `eta` of good and revision rows, the rest general data.

    Proportional sampling (paper, section 4.1: L = eta (good + revision) + (1 - eta) general, with
    eta = 0.2). All agent rows are kept, unless revisions would be more than the share `revisions`
    of them (all of them are dropped where there is no good row, and the share is not 1); general
    rows are drawn, with repetition once all have been used. With `weigh`, `eta` is a share of what
    the rows weigh; without, of their number.
    """
    rng = random.Random(seed)
    revised = [row for row in agent if row["kind"] == "revision"]
    good = [row for row in agent if row["kind"] != "revision"]
    if revisions < 1.0:
        most = round(len(good) * revisions / (1.0 - revisions))
        revised = rng.sample(revised, min(len(revised), most))
    own = good + revised
    share = (1.0 - eta) / eta if eta > 0 and general else 0.0
    if weigh is None:
        wanted = round(len(own) * share)
        drawn = list(general) * (wanted // len(general)) if wanted else []
        drawn += rng.sample(list(general), wanted - len(drawn))
    else:
        drawn = repeated(general, share * sum(map(weigh, own)), weigh, rng)
    mixed = own + drawn
    rng.shuffle(mixed)
    return mixed


def repeated(rows: Sequence[Row], weight: float, weigh: Weigh, rng: random.Random) -> list[Row]:
    """Rows in random order, all of them before one comes again, until they weigh as much."""
    drawn: list[Row] = []
    rows = [row for row in rows if weigh(row)]  # others would be repeated for ever
    while rows and weight > 0:
        for row in rng.sample(rows, len(rows)):
            if weight <= 0:
                break
            drawn.append(row)
            weight -= weigh(row)
    return drawn


def without_errors(mixed: Sequence[Row], *, seed: int) -> list[Row]:
    """A control's mixture: the rows that show no error, repeated until as much is trained.

    Measured in characters of what carries the loss: a row with errors trains less than its length.

    Raises:
        ConfigError: every row shows one.
    """
    right = [row for row in mixed if row.get("kind", "good") == "good"]
    weight = sum(map(trained_characters, mixed))
    control = repeated(right, weight, trained_characters, random.Random(seed))
    if not control:
        raise ConfigError(
            "measure.control needs rows without an error: set train.general, or "
            "revision.good_per_task"
        )
    return control


def trained_characters(row: Row) -> int:
    """Length of the messages of a row that carry the loss."""
    return sum(len(message["content"]) for message in row["messages"] if message["train"])


def mixture_key(rows: Sequence[Row], config: Config, *, actor: str) -> str:
    """Names a training job by what goes into it: rows, the actor before, settings and seed."""
    content = sha256_of(json.dumps(rows, sort_keys=True))
    return digest(actor, content, config.train.anywhere(), config.seed)
