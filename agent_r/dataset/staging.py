"""Stage a version's files: those of an earlier version as they are, and new rows beside them.

So the cost of a version is that of its new rows: what was there is linked, not written again, its
digest and its statistics are added, and of its rows the ids alone are read. On the Hub, files of
the same content are stored once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_r.algorithm.rows import Row
from agent_r.algorithm.schema import SCHEMAS
from agent_r.dataset.dedup import DedupSet
from agent_r.dataset.fingerprint import Fingerprint, canonical, near_duplicate_key
from agent_r.dataset.manifest import Manifest, read_manifest
from agent_r.dataset.shards import (
    SHARD_BYTES,
    SPLITS,
    ShardWriter,
    arrow_schema,
    read_columns,
    read_footer,
    read_row,
    read_rows,
    shard_files,
    split_of,
)
from agent_r.dataset.statistics import Statistics
from agent_r.errors import DatasetError
from agent_r.files import link, sha256

LEFT_OUT, NEAR = "left out", "near-duplicates kept"  # of the same iteration


@dataclass(frozen=True, slots=True)
class Staged:
    """What a stream of rows has become."""

    digest: str
    row_sums: dict[str, str]  # of each config: what the digest is made from
    rows: dict[str, int]
    splits: dict[str, dict[str, int]]  # rows of each config's splits
    files: dict[str, str]  # path → SHA-256
    shards: dict[str, dict[str, int]]  # path → its rows, its bytes on the disk and in memory
    statistics: dict[str, Any]
    duplicates: dict[str, int]
    offered: Counter[str]  # new rows to train on, those that were there already among them


def stage(
    rows: Iterable[tuple[str, Row]],
    folder: Path,
    *,
    earlier: Path | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> Staged:
    """All rows of an earlier version, then new ones, each id once; `folder` gets a `data` folder.

    Raises:
        DatasetError: the earlier version is damaged, or a row is of a held-out task.
    """
    with ExitStack() as stack:
        ids, texts = stack.enter_context(DedupSet()), stack.enter_context(DedupSet())
        staging = Staging(folder, ids, texts, shard_bytes)
        if earlier is not None:
            staging.carry(earlier)
        for config, row in rows:
            staging.add(config, row)
        return staging.close()


class Staging:
    """The files of one version while they are written."""

    def __init__(self, folder: Path, ids: DedupSet, texts: DedupSet, shard_bytes: int) -> None:
        self._folder, self._shard_bytes = folder, shard_bytes
        self._ids, self._texts = ids, texts
        self._digest, self._statistics = Fingerprint(), Statistics()
        self._writers: dict[tuple[str, str], ShardWriter] = {}
        self._carried: dict[str, dict[str, int]] = {}
        self._carried_files: dict[str, str] = {}
        self._splits = {config: Counter[str]() for config in SCHEMAS}
        self._duplicates = Counter({LEFT_OUT: 0, NEAR: 0})
        self._offered = Counter[str]()

    def carry(self, version: Path) -> None:
        """Take over a version's rows; those of an older schema are written again, once."""
        manifest = read_manifest(version)
        if manifest.get("row_sums") and all(map(_is_of_today, _shards(version))):
            self._link(version, manifest)
        else:
            for config in SCHEMAS:
                for row in read_rows(version, config):
                    self._put(config, row)

    def _link(self, version: Path, manifest: Manifest) -> None:
        for path in _shards(version):
            name = path.relative_to(version).as_posix()
            facts = manifest["shards"][name]
            if facts["rows"]:
                link(path, self._folder / name)
                self._carried[name] = facts
                self._carried_files[name] = manifest["files"][name]
                self._splits[path.parent.name][split_of(path)] += facts["rows"]
        for config in SCHEMAS:
            for [row_id] in read_columns(version, config, ["id"]):
                self._ids.add(row_id)
        self._digest.take(manifest["row_sums"])
        counted = manifest["statistics"]
        example = counted["example"] and read_row(version, "sft", counted["example"]["id"])
        self._statistics.take(counted, _tasks(version), example)
        self._duplicates.update(manifest["duplicates"])

    def add(self, config: str, row: Row) -> None:
        """Take a new row, unless its id was there before."""
        if row["split"] not in SPLITS:
            raise DatasetError(f"{row['id']} is of the held-out task '{row['task']}'")
        self._offered[config] += row["split"] == SPLITS[0]
        self._put(config, row)

    def _put(self, config: str, row: Row) -> None:
        if not self._ids.add(row["id"]):
            self._duplicates[LEFT_OUT] += 1
            return
        if config == "sft":
            self._duplicates[NEAR] += not self._texts.add(near_duplicate_key(row))
        line = canonical(row, config)
        self._digest.add(config, line)
        self._statistics.add(config, row)
        self._splits[config][row["split"]] += 1
        self._writer(config, row["split"]).add(row, len(line))

    def _writer(self, config: str, split: str) -> ShardWriter:
        if (config, split) not in self._writers:
            folder = self._folder / "data" / config
            there = sum(split_of(path) == split for path in folder.glob("*.parquet"))
            self._writers[config, split] = ShardWriter(
                folder, config, split=split, first=there, shard_bytes=self._shard_bytes
            )
        return self._writers[config, split]

    def close(self) -> Staged:
        """Write what is left; a config without rows gets a file with its columns alone."""
        for config, counted in self._splits.items():
            if not counted[SPLITS[0]]:
                self._writer(config, SPLITS[0])
        for writer in self._writers.values():
            for shard in writer.close():
                name = shard.path.relative_to(self._folder).as_posix()
                self._carried_files[name] = sha256(shard.path)
                size = shard.path.stat().st_size
                self._carried[name] = {
                    "rows": shard.rows, "bytes": size, "arrow_bytes": shard.arrow_bytes,
                }  # fmt: skip
        return Staged(
            digest=self._digest.hexdigest(),
            row_sums=self._digest.sums,
            rows={config: counted.total() for config, counted in self._splits.items()},
            splits={config: dict(counted) for config, counted in self._splits.items()},
            files=dict(sorted(self._carried_files.items())),
            shards=dict(sorted(self._carried.items())),
            statistics=self._statistics.value(),
            duplicates=dict(self._duplicates),
            offered=self._offered,
        )


def _shards(version: Path) -> Iterator[Path]:
    for config in SCHEMAS:
        yield from shard_files(version, config)


def _is_of_today(path: Path) -> bool:
    columns, _ = read_footer(path)
    return bool(columns.equals(arrow_schema(path.parent.name)))


def _tasks(version: Path) -> Iterator[Row]:
    names = ["env", "task", "task_digest"]
    for config, columns in (("trees", names), ("sft", [*names, "kind"])):
        for values in read_columns(version, config, columns):
            yield dict(zip(columns, values, strict=True))
