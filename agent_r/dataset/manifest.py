"""Read a version's manifest, and check that the files beside it are what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent_r.algorithm.schema import SCHEMA_VERSION, SCHEMAS
from agent_r.dataset.shards import SPLITS, is_schema, read_footer, shard_files
from agent_r.errors import DatasetError, StoreError
from agent_r.files import read_json, sha256
from agent_r.settings import first_problem

Manifest: TypeAlias = dict[str, Any]

Version = Annotated[str, Field(pattern=r"^v\d{1,6}\.\d{1,9}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# A manifest can be a stranger's: no name in it may lead out of its folder.
Shard = Annotated[str, Field(pattern=r"^data/\w+/[\w.-]+\.parquet$")]
Figure = Annotated[str, Field(pattern=r"^figures/\w+\.png$")]


class _Open(BaseModel):
    """What is read by name; a later maker may say more."""

    model_config = ConfigDict(extra="allow", strict=True)


class _World(_Open):
    name: str
    version: str
    licence: str


class _Entry(_Open):
    version: Version
    content_digest: Digest


class _Shape(_Open):
    dataset: str
    version: Version
    schema_version: int
    content_digest: Digest
    rows: dict[str, int]
    files: dict[Shard, Digest]
    shards: dict[Shard, dict[str, int]] = {}
    splits: dict[str, dict[str, int]] = {}
    row_sums: dict[str, Digest] = {}
    figures: dict[Figure, Digest] = {}
    environments: list[_World] = []
    iterations: list[int] = []
    history: list[_Entry] = []


def as_manifest(value: Any, name: object) -> Manifest:
    """Plain values that may be a manifest.

    Raises:
        DatasetError: they are none.
    """
    try:
        _Shape.model_validate(value)
    except ValidationError as error:
        raise DatasetError(f"{name} is not a manifest of ours: {first_problem(error)}") from error
    checked: Manifest = value
    return checked


def peek(version: Path) -> Manifest:
    """The manifest alone, its files not looked at.

    Raises:
        DatasetError: there is none, or it is not one of ours.
    """
    path = version / "manifest.json"
    if not path.is_file():
        raise DatasetError(f"{version} is not a dataset version: it has no manifest.json")
    try:
        return as_manifest(read_json(path), path)
    except StoreError as error:
        raise DatasetError(str(error)) from error


def read_manifest(version: Path) -> Manifest:
    """The manifest of a version, once its files are what it says.

    Raises:
        DatasetError: no manifest, another schema, a file missing, changed or too many.
    """
    manifest = peek(version)
    if manifest["schema_version"] != SCHEMA_VERSION:
        raise DatasetError(
            f"{version} has schema {manifest['schema_version']}, this reads {SCHEMA_VERSION}"
        )
    named = manifest["files"] | manifest.get("figures", {})
    for name, expected in named.items():
        path = version / name
        if path.is_symlink() or not path.is_file():
            raise DatasetError(f"{path} is missing")
        if sha256(path) != expected:
            raise DatasetError(f"{path} is not the file that the manifest names")
    for config in SCHEMAS:
        _check_config(version, config, manifest)
    return manifest


def _check_config(version: Path, config: str, manifest: Manifest) -> None:
    """No file too many, the schema's columns, and as many rows as were counted."""
    rows = 0
    for path in shard_files(version, config):
        if path.relative_to(version).as_posix() not in manifest["files"]:
            raise DatasetError(f"{path} is not named in the manifest")
        columns, held = read_footer(path)
        if not is_schema(columns, config):
            raise DatasetError(f"{path} has other columns than schema {SCHEMA_VERSION}")
        rows += held
    if rows != manifest["rows"].get(config):
        raise DatasetError(
            f"{version} has {rows} rows of {config}, its manifest {manifest['rows'].get(config)}"
        )


def to_train(manifest: Manifest) -> dict[str, int]:
    """How many rows of each config are to train on: all but those of the split `validation`."""
    splits = manifest.get("splits") or {}
    rows = manifest["rows"].items()
    return {name: splits[name].get(SPLITS[0], 0) if name in splits else n for name, n in rows}


def place(version: str) -> tuple[int, int]:
    """A version among others, of this schema or of another; (0, 0) for any other name.

    >>> place("v1.12"), place("v2.1") > place("v1.12"), place("main")
    ((1, 12), True, (0, 0))
    """
    match = re.fullmatch(r"v(\d{1,6})\.([1-9]\d{0,8})", version)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def number_of(version: str) -> int:
    """The number of a version of this schema; 0 for any other name.

    >>> number_of("v1.12"), number_of("v1.x"), number_of("main")
    (12, 0, 0)
    """
    schema, number = place(version)
    return number if schema == SCHEMA_VERSION else 0
