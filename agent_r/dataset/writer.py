"""Write a dataset version: parquet per config, a card, a manifest; never changed afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_r.algorithm.rows import Row
from agent_r.algorithm.schema import SCHEMA_VERSION, SCHEMAS
from agent_r.dataset.card.figures import draw
from agent_r.dataset.card.page import render_card
from agent_r.dataset.card.tree_figure import draw_tree
from agent_r.dataset.dedup import DedupSet
from agent_r.dataset.fingerprint import Fingerprint, canonical, near_duplicate_key
from agent_r.dataset.manifest import Manifest, number_of, peek, place
from agent_r.dataset.shards import SHARD_BYTES, ShardWriter
from agent_r.dataset.statistics import Statistics
from agent_r.errors import DatasetError, NothingMade
from agent_r.files import beside, keep, sha256, write_bytes, write_json


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """A version on disk, and the digest of all its rows."""

    path: str
    version: str
    digest: str
    rows: dict[str, int]


@dataclass(frozen=True, slots=True)
class Written:
    """What a stream of rows has become."""

    digest: str
    rows: dict[str, int]
    files: dict[str, str]  # path → SHA-256
    shards: dict[str, dict[str, int]]  # path → its bytes, on the disk and in memory
    statistics: dict[str, Any]
    duplicates: dict[str, int]


def export(
    rows: Iterable[tuple[str, Row]],
    folder: Path,
    *,
    provenance: Callable[[], dict[str, Any]],
    elsewhere: Manifest | None = None,
    needed: Sequence[str] = (),
    shard_bytes: int = SHARD_BYTES,
) -> DatasetRef:
    """Write the next version of a dataset, or find that an existing one holds the same rows.

    Versions are `v<schema>.<number>`. Rows are taken one by one, and none is kept in memory.

    Args:
        rows: (config, row) pairs; a row whose id was there before is left out.
        folder: of all the dataset's versions; its name is the dataset's.
        provenance: asked once the rows have been taken; goes into the manifest and the card.
        elsewhere: the manifest of the newest version that the Hub has: numbering goes on from it.
        needed: configs that must have a row.
        shard_bytes: of rows in memory's form, at which a file is full.

    Raises:
        NothingMade: a config that must have a row has none; nothing is written.
        StoreError: the folder cannot be written.
        DatasetError: an earlier version's manifest is damaged, or a row is of a held-out task.
    """
    with beside(folder / "version") as staged:
        written = write_rows(rows, staged, shard_bytes=shard_bytes)
        if empty := [name for name in needed if not written.rows[name]]:
            raise NothingMade(f"there is no {empty[0]} row: no version is written")
        if (existing := same_rows(folder, written.digest, elsewhere)) is not None:
            return existing
        before = newest(folder, elsewhere)
        version = next_version(folder, elsewhere, written.digest)
        manifest = {
            "dataset": folder.name,
            "version": version,
            "schema_version": SCHEMA_VERSION,
            "content_digest": written.digest,
            "rows": written.rows,
            "files": written.files,
            "shards": written.shards,
            **provenance(),
            "duplicates": written.duplicates,
            "statistics": written.statistics,
        }
        manifest["history"] = [*history(before, version), entry(manifest)]
        drawn = [*draw(manifest, staged), draw_tree(manifest, staged)]
        figures = {f"figures/{path.name}": sha256(path) for path in drawn if path is not None}
        manifest["figures"] = figures
        write_bytes(staged / "README.md", render_card(manifest).encode())
        write_json(staged / "manifest.json", manifest)
        keep(staged, folder / version)
    return DatasetRef(str(folder / version), version, written.digest, written.rows)


def write_rows(
    rows: Iterable[tuple[str, Row]], folder: Path, *, shard_bytes: int = SHARD_BYTES
) -> Written:
    """All rows to parquet, each id once; `folder` gets a `data` folder."""
    writers = {
        name: ShardWriter(folder / "data" / name, name, shard_bytes=shard_bytes) for name in SCHEMAS
    }
    digest, statistics = Fingerprint(), Statistics()
    twins = near = 0
    with ExitStack() as stack:
        ids, texts = stack.enter_context(DedupSet()), stack.enter_context(DedupSet())
        for config, row in rows:
            if row["split"] != "train":
                raise DatasetError(f"{row['id']} is of the held-out task '{row['task']}'")
            if not ids.add(row["id"]):
                twins += 1
                continue
            if config == "sft":
                near += not texts.add(near_duplicate_key(row))
            line = canonical(row, config)
            digest.add(config, line)
            statistics.add(config, row)
            writers[config].add(row, len(line))
    shards = {
        shard.path.relative_to(folder).as_posix(): shard
        for writer in writers.values()
        for shard in writer.close()
    }
    return Written(
        digest=digest.hexdigest(),
        rows={name: writer.rows for name, writer in writers.items()},
        files={name: sha256(shard.path) for name, shard in shards.items()},
        shards={
            name: {"bytes": shard.path.stat().st_size, "arrow_bytes": shard.arrow_bytes}
            for name, shard in shards.items()
        },
        statistics=statistics.value(),
        duplicates={"left out": twins, "near-duplicates kept": near},
    )


def versions(folder: Path) -> list[Path]:
    """Complete versions of this schema, oldest first."""
    found = [p for p in folder.glob("v*") if number_of(p.name)]
    return sorted(found, key=lambda path: number_of(path.name))


def newest(folder: Path, elsewhere: Manifest | None) -> Manifest | None:
    """The manifest of the version before the next one, here or on the Hub."""
    here = [peek(path) for path in versions(folder)[-1:]]
    known = [*here, *([elsewhere] if elsewhere else [])]
    return max(known, key=lambda m: place(m["version"]), default=None)


def same_rows(folder: Path, digest: str, elsewhere: Manifest | None) -> DatasetRef | None:
    """The version here that has these rows, unless others were published under its name."""
    published = {one["version"]: one["content_digest"] for one in listed(elsewhere)}
    for path in versions(folder):
        manifest = peek(path)
        if digest == manifest["content_digest"] == published.get(path.name, digest):
            return DatasetRef(str(path), path.name, digest, manifest["rows"])
    return None


def next_version(folder: Path, elsewhere: Manifest | None, digest: str) -> str:
    """The name that equal content has on the Hub, else the number after all known ones."""
    for one in listed(elsewhere):
        name = str(one["version"])
        if one["content_digest"] == digest and number_of(name) and not (folder / name).exists():
            return name
    names = [path.name for path in versions(folder)]
    names += [str(one["version"]) for one in listed(elsewhere)]
    return f"v{SCHEMA_VERSION}.{max(map(number_of, names), default=0) + 1}"


def listed(manifest: Manifest | None) -> list[dict[str, Any]]:
    """A manifest's version and all before it."""
    return list(manifest.get("history", [])) if manifest else []


def history(before: Manifest | None, version: str) -> list[dict[str, Any]]:
    """Older versions, oldest first; only the last keeps its settings, to tell what has changed."""
    before_it = [one for one in listed(before) if one["version"] != version]
    older = [{k: v for k, v in one.items() if k != "config"} for one in before_it[:-1]]
    return [*older, *before_it[-1:]]


def entry(manifest: Manifest) -> dict[str, Any]:
    """What later versions say of this one."""
    names = ("version", "content_digest", "rows", "counts", "actors", "iterations", "config")
    return {name: manifest[name] for name in names if name in manifest}
