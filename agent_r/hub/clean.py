"""Make the next version without what must not go out: rows left out, or texts with placeholders.

What is redacted is executed again: a row whose replies are as they were must still come out as it
says, but for the placeholders. One whose replies were touched cannot be executed any more, and says
so (`verified`). The manifest counts all of it under `cleaned`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pyarrow.parquet as pq

from agent_r.algorithm.rows import Row, name_row
from agent_r.algorithm.schema import SCHEMAS
from agent_r.closing import close
from agent_r.dataset.manifest import Manifest, read_manifest
from agent_r.dataset.redaction import placeholder
from agent_r.dataset.shards import shard_files
from agent_r.dataset.verification import replay
from agent_r.dataset.writer import DatasetRef, export
from agent_r.environment import Environment, World
from agent_r.errors import AgentRError, NothingMade
from agent_r.hub.secret_rules import Detector, Match
from agent_r.hub.secret_scan import BATCH_ROWS, Allowing, private_texts

Way: TypeAlias = Literal["drop", "redact"]
Private: TypeAlias = Mapping[str, Sequence[Match]]  # a text, and what is private in it

_NAMES = ("id", "tree", "sft_id", "kind", "split")  # ours: made anew, or of a few words
_ROUNDS = 5  # of redaction: what stands around a placeholder may be a finding of its own
# What a manifest says of how rows were made, and still holds.
_KEPT = (
    "environments actors iterations prompt_digest config counts drops account cost sources "
    "merge_seed cleaned"
).split()
_ORDER = ("trees", "sft", *(name for name in SCHEMAS if name not in ("trees", "sft")))


@dataclass(slots=True)
class Cleaned:
    """What was done: rows by config, findings by rule, and rows that cannot be executed now."""

    way: Way
    rows: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)
    unverified: int = 0

    def entry(self, version: str) -> dict[str, Any]:
        """As the manifest says it."""
        return {
            "from": version,
            "way": self.way,
            "rows": dict(self.rows),
            "findings": dict(self.findings),
            "unverified": self.unverified,
        }


async def clean(
    version: Path,
    way: Way,
    detector: Allowing,
    *,
    world_of: Callable[[dict[str, Any]], World] | None = None,
    elsewhere: Manifest | None = None,
) -> tuple[DatasetRef, Cleaned]:
    """Write the next version beside this one, without what the detector finds in its rows.

    Args:
        way: `drop` rows with a finding, and all that was cut from them, or `redact` their texts.
        world_of: makes a world from its entry in the manifest, to execute redacted rows again;
            none, or one that cannot be had here: they are not executed, and say so.
        elsewhere: the newest version that the Hub has: numbering goes on from it.

    Raises:
        DatasetError: the version is damaged.
        NothingMade: nothing was found, or no row to train on would be left.
    """
    manifest = read_manifest(version)
    done = Cleaned(way)
    if way == "drop":
        rows = without(version, detector, done)
    else:
        holds = await executed_again(version, manifest, detector, world_of)
        rows = redacted(version, detector, holds, done)

    def provenance() -> dict[str, Any]:
        if not done.rows:
            raise NothingMade(f"nothing was found in the rows of {version}: it stays as it is")
        kept = {name: manifest[name] for name in _KEPT if name in manifest}
        return kept | {"cleaned": [*kept.get("cleaned", []), done.entry(manifest["version"])]}

    ref = export(rows, version.parent, provenance=provenance, elsewhere=elsewhere, needed=("sft",))
    if not done.rows:
        raise NothingMade(f"nothing was found in the rows of {version}: it stays as it is")
    return ref, done


def rows_with(version: Path, config: str, detector: Allowing) -> Iterator[tuple[Row, Private]]:
    """Rows of a config, and the private ones among the texts of their batch."""
    for path in shard_files(version, config):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS):
                private = private_texts(batch, detector)
                for row in batch.to_pylist():
                    yield row, private


def without(version: Path, detector: Allowing, done: Cleaned) -> Iterator[tuple[str, Row]]:
    """All rows but those with a finding, those of a tree that goes, and replies of an `sft` row."""
    gone: set[str] = set()
    for config in _ORDER:
        for row, private in rows_with(version, config, detector):
            found = [match for text in texts_of(row) for match in private.get(text, ())]
            if found or row.get("tree") in gone or row.get("sft_id") in gone:
                gone.add(row["id"])
                done.rows[config] += 1
                done.findings.update({match.rule for match in found})
            else:
                yield config, row


def redacted(
    version: Path, detector: Allowing, holds: set[str], done: Cleaned
) -> Iterator[tuple[str, Row]]:
    """All rows, with placeholders; a row that was touched has another id."""
    names: dict[str, str] = {}  # of trees and `sft` rows, as they were and as they are
    for config in _ORDER:
        for row, private in rows_with(version, config, detector):
            other = redact_row(row, private, detector)
            for name in ("tree", "sft_id"):
                if name in row:
                    other[name] = names.get(row[name], row[name])
            found = {match.rule for text in texts_of(row) for match in private.get(text, ())}
            if found:
                other["id"] = names[row["id"]] = new_name(config, row, other)
                done.rows[config] += 1
                done.findings.update(found)
                if config == "sft" and row["verified"] and row["id"] not in holds:
                    other["verified"] = False
                    done.unverified += 1
            elif config == "prompt_completion" and other["sft_id"] != row["sft_id"]:
                other["id"] = new_name(config, row, other)
            yield config, other


def new_name(config: str, row: Row, other: Row) -> str:
    """The id of a redacted row: of its own content, as it was of the other."""
    if config == "prompt_completion":
        return f"{other['sft_id']}{row['id'].removeprefix(row['sft_id'])}"
    kind = row["id"].rpartition("-")[0] or config
    rest = {name: value for name, value in other.items() if name != "id"}
    return name_row(
        kind, other["env"], other["task"], other["messages"] if config == "sft" else rest
    )


async def executed_again(
    version: Path,
    manifest: Manifest,
    detector: Allowing,
    world_of: Callable[[dict[str, Any]], World] | None,
) -> set[str]:
    """Redacted `sft` rows, by their old ids, that come out as they say in the world of today."""
    worlds: list[World] = []
    envs: dict[tuple[str, str], Environment] = {}
    holds: set[str] = set()
    try:
        for world in manifest.get("environments", []) if world_of else []:
            try:
                assert world_of is not None
                worlds.append(world_of(world))
                envs[world["name"], world["version"]] = worlds[-1].environment()
            except AgentRError:  # not to be had here: its rows are marked
                continue
        for row, private in rows_with(version, "sft", detector):
            other = redact_row(row, private, detector)
            if other == row or not row["verified"] or replies(other) != replies(row):
                continue
            env = envs.get((row["env"], row["env_version"]))
            renamed = other | {"id": new_name("sft", row, other)}
            try:
                if env is not None and not await replay(env, renamed):
                    holds.add(row["id"])
            except AgentRError:
                continue
    finally:
        for (name, _), env in envs.items():
            await close(env.close, name, Counter())
        for one in worlds:
            await close(one.aclose, "a world", Counter())
    return holds


def replies(row: Row) -> list[str]:
    """What is executed: the actor's own messages."""
    return [message["content"] for message in row["messages"] if message["role"] == "assistant"]


def redact_row(row: Row, private: Private, detector: Allowing) -> Row:
    """The row with placeholders in its texts; ids are made anew elsewhere."""
    return {
        name: value if name in _NAMES else _redact(value, private, detector)
        for name, value in row.items()
    }


def _redact(value: Any, private: Private, detector: Allowing) -> Any:
    if isinstance(value, str):
        return redact_text(value, detector) if value in private else value
    if isinstance(value, list):
        return [_redact(one, private, detector) for one in value]
    if isinstance(value, dict):
        return {name: _redact(one, private, detector) for name, one in value.items()}
    return value


def redact_text(text: str, detector: Allowing) -> str:
    """Placeholders for what is found, until nothing is; for all of a text that hides it."""
    for _ in range(_ROUNDS):
        found = list(detector.find(text))
        if not found:
            return text
        other = Detector.replace(text, found, lambda match: placeholder(match.rule))
        if other == text:  # behind escapes: it does not stand there as it was found
            break
        text = other
    return placeholder(found[0].rule)


def texts_of(value: Any) -> Iterator[str]:
    """All texts of a row, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from texts_of(one)
