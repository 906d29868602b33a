"""A dataset version on disk: parquet per config, a card, a manifest; never changed once written."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from agent_r.dataset import Row, fingerprint
from agent_r.errors import DatasetError, StoreError
from agent_r.schema import SCHEMA_VERSION, SCHEMAS, Type
from agent_r.services.card import render_card
from agent_r.services.store import new_folder, read_json, write_bytes, write_json

_ARROW = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
}


@dataclass(frozen=True, slots=True)
class DatasetRef:
    """A version on disk, and the digest of all its rows."""

    path: str
    version: str
    digest: str
    rows: dict[str, int]


def arrow_schema(config: str) -> pa.Schema:
    """The parquet schema of a config."""
    return pa.schema([(name, _arrow(kind)) for name, (kind, _) in SCHEMAS[config].items()])


def _arrow(kind: Type) -> pa.DataType:
    if isinstance(kind, list):
        return pa.list_(_arrow(kind[0]))
    if isinstance(kind, dict):
        return pa.struct([(name, _arrow(below)) for name, below in kind.items()])
    return _ARROW[kind]


def export(
    configs: Mapping[str, Sequence[Row]], folder: Path, *, provenance: dict[str, Any]
) -> DatasetRef:
    """Write the next version of a dataset, or find that an existing one holds the same rows.

    Versions are `v<schema>.<number>`. `provenance` goes into the manifest and the card: config,
    model identity, prompts, environment, counts by drop reason.

    Raises:
        StoreError: the folder cannot be written.
        DatasetError: an earlier version's manifest is damaged.
    """
    digest = fingerprint(configs)
    for existing in versions(folder):
        manifest = _manifest(existing)
        if manifest.get("content_digest") == digest:
            return DatasetRef(str(existing), existing.name, digest, manifest["rows"])
    numbers = [int(path.name.split(".")[1]) for path in versions(folder)]
    version = f"v{SCHEMA_VERSION}.{max(numbers, default=0) + 1}"
    rows = {name: len(configs[name]) for name in SCHEMAS}
    with new_folder(folder / version) as beside:
        files = {}
        for name in SCHEMAS:
            path = f"data/{name}/train-00000-of-00001.parquet"
            write_parquet(beside / path, name, configs[name])
            files[path] = sha256(beside / path)
        manifest = {
            "dataset": folder.name,
            "version": version,
            "schema_version": SCHEMA_VERSION,
            "content_digest": digest,
            "rows": rows,
            "files": files,
            **provenance,
        }
        write_bytes(beside / "README.md", render_card(manifest).encode())
        write_json(beside / "manifest.json", manifest)
    return DatasetRef(str(folder / version), version, digest, rows)


def write_parquet(path: Path, config: str, rows: Sequence[Row]) -> None:
    """One file, the same bytes for the same rows; a small edit changes few of its chunks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(list(rows), schema=arrow_schema(config))
    pq.write_table(table, path, compression="zstd", use_content_defined_chunking=True)


def versions(folder: Path) -> list[Path]:
    """Complete versions of this schema, oldest first."""
    pattern = re.compile(rf"v{SCHEMA_VERSION}\.(\d+)")
    found = [p for p in folder.glob("v*") if pattern.fullmatch(p.name)]
    return sorted(found, key=lambda path: int(path.name.split(".")[1]))


def sha256(path: Path) -> str:
    """Digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(version: Path) -> dict[str, Any]:
    """The manifest of a version, once its files are what it says.

    Raises:
        DatasetError: no manifest, another schema, a file missing or changed.
    """
    manifest = _manifest(version)
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise DatasetError(
            f"{version} has schema {manifest.get('schema_version')}, this reads {SCHEMA_VERSION}"
        )
    for name, expected in manifest["files"].items():
        if not (version / name).is_file():
            raise DatasetError(f"{version / name} is missing")
        if sha256(version / name) != expected:
            raise DatasetError(f"{version / name} is not the file that the manifest names")
    for path in version.glob("data/*/*.parquet"):  # a reader takes all there are
        if path.relative_to(version).as_posix() not in manifest["files"]:
            raise DatasetError(f"{path} is not named in the manifest")
    return manifest


def _manifest(version: Path) -> dict[str, Any]:
    if not (version / "manifest.json").is_file():
        raise DatasetError(f"{version} is not a dataset version: it has no manifest.json")
    try:
        manifest = read_json(version / "manifest.json")
    except StoreError as error:
        raise DatasetError(str(error)) from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise DatasetError(f"{version / 'manifest.json'} is not a manifest of ours")
    return manifest


def read_rows(version: Path, config: str) -> Iterator[Row]:
    """Rows of a config, a batch in memory at a time."""
    for path in sorted((version / "data" / config).glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
