"""What changed between two versions of a dataset: rows, settings, actors, distributions."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from agent_r.algorithm.schema import SCHEMAS
from agent_r.config import dotted
from agent_r.dataset.card.markup import line
from agent_r.dataset.fingerprint import canonical
from agent_r.dataset.manifest import Manifest, read_manifest
from agent_r.dataset.shards import read_footer
from agent_r.dataset.statistics import Drift, drift

_EXAMPLES = 3  # ids shown of each kind of change
_DRIFTS = 8  # distributions shown: the farthest
_LITTLE = 0.005  # moved, of a distribution: not worth a line
_CACHE_KIB = 32 << 10  # all that SQLite keeps in memory; the rest is in a file that has no name


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one kind of change: how many, and the first few ids."""

    number: int
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """What became of a config's rows; `changed` ones kept their id."""

    config: str
    added: Rows
    removed: Rows
    changed: Rows
    same: int


@dataclass(frozen=True, slots=True)
class Setting:
    """A value that is not what it was, by its dotted key; None where there is none."""

    key: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Diff:
    """Two versions, side by side."""

    before: str
    after: str
    configs: tuple[Changes, ...]
    settings: tuple[Setting, ...]
    drifts: tuple[Drift, ...]


def diff(before: Path, after: Path, *, examples: int = _EXAMPLES) -> Diff:
    """Compare two versions; what is in memory does not grow with their rows.

    Raises:
        DatasetError: one is damaged, or of another schema.
    """
    old, new = read_manifest(before), read_manifest(after)
    # Files that both have are not read, for their rows are the same. Ids are unique in a version.
    both = {*old["files"].values()} & {*new["files"].values()}
    with closing(_database()) as database:
        for table, version, manifest in (("old", before, old), ("new", after, new)):
            for name in (n for n, digest in manifest["files"].items() if digest not in both):
                rows = _rows(version / name, _config(name))
                database.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)", rows)
        unread = Counter[str]()
        for name in (n for n, digest in old["files"].items() if digest in both):
            unread[_config(name)] += read_footer(before / name)[1]
        configs = tuple(_changes(database, name, unread[name], examples) for name in SCHEMAS)
    return Diff(
        before=_name(before, old),
        after=_name(after, new),
        configs=configs,
        settings=tuple(_settings(_described(old), _described(new))),
        drifts=tuple(drift(old.get("statistics") or {}, new.get("statistics") or {})),
    )


def _config(name: str) -> str:
    return name.split("/")[1]  # data/sft/train-00000.parquet


def _name(version: Path, manifest: Manifest) -> str:
    return f"{manifest.get('dataset', version.parent.name)} {manifest.get('version', version.name)}"


def _database() -> sqlite3.Connection:
    database = sqlite3.connect("")  # a file of SQLite's own, which goes with the connection
    database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    database.execute("PRAGMA journal_mode = OFF")
    for table in ("old", "new"):
        database.execute(
            f"CREATE TABLE {table} "
            "(config TEXT, id TEXT, digest BLOB, PRIMARY KEY (config, id)) WITHOUT ROWID"
        )
    return database


def _rows(path: Path, config: str) -> Iterator[tuple[str, str, bytes]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=128):
            for row in batch.to_pylist():
                digest = hashlib.blake2b(canonical(row, config), digest_size=16).digest()
                yield config, row["id"], digest


def _changes(database: sqlite3.Connection, config: str, unread: int, examples: int) -> Changes:
    def rows(query: str) -> Rows:
        (number,) = database.execute(f"SELECT count(*) {query}", (config,)).fetchone()
        ids = database.execute(f"SELECT a.id {query} ORDER BY a.id LIMIT {examples}", (config,))
        return Rows(number, tuple(name for (name,) in ids))

    missing = "FROM {} a LEFT JOIN {} b USING (config, id) WHERE a.config = ? AND b.id IS NULL"
    kept = "FROM old a JOIN new b USING (config, id) WHERE a.config = ? AND a.digest {} b.digest"
    return Changes(
        config,
        added=rows(missing.format("new", "old")),
        removed=rows(missing.format("old", "new")),
        changed=rows(kept.format("<>")),
        same=unread + rows(kept.format("=")).number,
    )


def _described(manifest: Manifest) -> dict[str, Any]:
    """What a manifest says of how the version was made."""
    worlds = manifest.get("environments") or []
    return {
        "setting": manifest.get("config") or {},
        "actors": manifest.get("actors"),
        "iterations": manifest.get("iterations"),
        "prompts": manifest.get("prompt_digest"),
        "environments": [f"{world.get('name')} {world.get('version')}" for world in worlds],
    }


def _settings(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Setting]:
    old, new = dotted(before), dotted(after)
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield Setting(key, old.get(key), new.get(key))


def describe(result: Diff) -> list[str]:
    """A comparison as short lines for people."""
    lines = [f"{result.before} → {result.after}"]
    for config in result.configs:
        lines.append(
            f"{config.config}: {config.added.number} added, {config.removed.number} removed, "
            f"{config.changed.number} changed, {config.same} the same"
        )
        for what in ("added", "removed", "changed"):
            rows: Rows = getattr(config, what)
            if rows.number:
                more = ", …" if rows.number > len(rows.ids) else ""
                lines.append(f"  {what}: {', '.join(rows.ids)}{more}")
    for change in result.settings:
        key = change.key.replace("setting.", "setting ", 1)
        lines.append(f"{key}: {_plain(change.before)} → {_plain(change.after)}")
    moved = [one for one in result.drifts if one.distance >= _LITTLE]
    lines += [_drift_line(one) for one in moved[:_DRIFTS]]
    if len(moved) > _DRIFTS:
        lines.append(f"and {len(moved) - _DRIFTS} distributions that moved less")
    return lines


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    text = ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
    return line(text)  # a manifest can be a stranger's, and a terminal obeys control characters


def _drift_line(one: Drift) -> str:
    means = ""
    if one.mean_before is not None and one.mean_after is not None:
        means = f", mean {one.mean_before:.2f} → {one.mean_after:.2f}"
    return f"{one.name.replace('_', ' ')}: {one.distance:.0%} moved{means}"
