"""Write a dataset version: parquet per config, a card, a manifest; never changed afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_r.algorithm.rows import Row
from agent_r.algorithm.schema import SCHEMA_VERSION
from agent_r.dataset.card.figures import draw
from agent_r.dataset.card.page import render_card
from agent_r.dataset.card.tree_figure import draw_tree
from agent_r.dataset.manifest import Manifest, number_of, peek, place
from agent_r.dataset.shards import SHARD_BYTES
from agent_r.dataset.staging import stage
from agent_r.dataset.totals import grown
from agent_r.dataset.turnover import turnover
from agent_r.errors import NothingMade
from agent_r.files import beside, keep, sha256, write_bytes, write_json


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """A version on disk, and the digest of all its rows."""

    path: str
    version: str
    digest: str
    rows: dict[str, int]


def export(
    rows: Iterable[tuple[str, Row]],
    folder: Path,
    *,
    provenance: Callable[[], dict[str, Any]],
    earlier: Path | None = None,
    elsewhere: Manifest | None = None,
    needed: Sequence[str] = (),
    shard_bytes: int = SHARD_BYTES,
) -> DatasetRef:
    """Write the next version of a dataset, or find that an existing one holds the same rows.

    Versions are `v<schema>.<number>`. Rows are taken one by one, and none is kept in memory.

    Args:
        rows: (config, row) pairs; a row whose id was there before is left out.
        folder: of all the dataset's versions; its name is the dataset's.
        provenance: of these rows; asked once they have been taken, for the manifest and the card.
        earlier: a version whose rows come first: the next one holds all of them as well.
        elsewhere: the manifest of the newest version that the Hub has: numbering goes on from it.
        needed: configs that must have a new row to train on.
        shard_bytes: of rows in memory's form, at which a file is full.

    Raises:
        NothingMade: a config that must have a row has none; nothing is written.
        StoreError: the folder cannot be written.
        DatasetError: an earlier version is damaged, or a row is of a held-out task.
    """
    with beside(folder / "version") as staged:
        contents = stage(rows, staged, earlier=earlier, shard_bytes=shard_bytes)
        if empty := [name for name in needed if not contents.offered[name]]:
            raise NothingMade(f"there is no {empty[0]} row to train on: no version is written")
        if (existing := same_rows(folder, contents.digest, elsewhere)) is not None:
            return existing
        before = newest(folder, elsewhere)
        version = next_version(folder, elsewhere, contents.digest)
        manifest = {
            "dataset": folder.name,
            "version": version,
            "schema_version": SCHEMA_VERSION,
            "content_digest": contents.digest,
            "row_sums": contents.row_sums,
            "rows": contents.rows,
            "splits": contents.splits,
            "files": contents.files,
            "shards": contents.shards,
            **grown(peek(earlier) if earlier else None, provenance()),
            "duplicates": contents.duplicates,
            "statistics": contents.statistics,
        }
        if before is not None and (there := _lies_at(before, folder, earlier)) is not None:
            counted = turnover(there, staged, before["files"], contents.files)
            manifest["changes"] = {"since": before["version"], "rows": counted}
        manifest["history"] = [*history(before, version), entry(manifest)]
        drawn = [*draw(manifest, staged), draw_tree(manifest, staged)]
        figures = {f"figures/{path.name}": sha256(path) for path in drawn if path is not None}
        manifest["figures"] = figures
        write_bytes(staged / "README.md", render_card(manifest).encode())
        write_json(staged / "manifest.json", manifest)
        keep(staged, folder / version)
    return DatasetRef(str(folder / version), version, contents.digest, contents.rows)


def _lies_at(manifest: Manifest, folder: Path, earlier: Path | None) -> Path | None:
    """Where a version's files are on this machine; None where the Hub alone has them."""
    places = [folder / manifest["version"], *([earlier] if earlier else [])]
    there = (path for path in places if (path / "manifest.json").is_file())
    same = (p for p in there if peek(p)["content_digest"] == manifest["content_digest"])
    return next(same, None)


def versions(folder: Path) -> list[Path]:
    """Complete versions of this schema, oldest first."""
    found = [p for p in folder.glob("v*") if number_of(p.name)]
    return sorted(found, key=lambda path: number_of(path.name))


def of_iteration(folder: Path, iteration: int) -> Path | None:
    """The newest version here whose rows go up to that iteration."""
    going = ((path, peek(path).get("iterations", [])) for path in reversed(versions(folder)))
    return next((path for path, known in going if max(known, default=0) == iteration), None)


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
    what = "version content_digest rows changes counts actors iterations config"
    return {name: manifest[name] for name in what.split() if name in manifest}
