"""Scan a dataset version before it is published; refuse one that holds private data.

Every text of a version is looked at: all columns of all rows, names of files and columns, the card,
the manifest, pictures' metadata. Rows are read batch by batch, and Arrow's RE2 sorts out the texts
that have no trigger of `agent_r.hub.secret_rules`; what is reported is masked, the place too.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from os import SEEK_CUR
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from agent_r.errors import DatasetError
from agent_r.hub.secret_rules import Detector, Leak, Private, scan_text

__all__ = ["Leak", "Private", "refuse", "scan", "scan_text"]

LIMIT = 20  # findings: enough to see what goes wrong
_ROWS = 512  # at once: what is in memory does not grow with the dataset
_BYTES = 4 << 20  # of another file at once
_OVERLAP = 4096  # longer than anything known
_PACKED = {".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".tar", ".tgz", ".pkl", ".pickle"}
_PNG = b"\x89PNG\r\n\x1a\n"

_Leaf: TypeAlias = tuple[str, pa.Array, tuple[pa.Array, ...]]  # column, texts, lists around them


def scan(version: Path, private: Private, *, limit: int = LIMIT) -> list[Leak]:
    """What is private in a dataset version, the first `limit` of it.

    Raises:
        DatasetError: a file cannot be read, or a column is of a type that cannot be looked into.
    """
    return list(islice(_in_folder(version, Detector(private)), limit))


def refuse(findings: Sequence[Leak]) -> None:
    """Stop here if there are findings.

    Raises:
        DatasetError: one line: how many there are, the first one, and what to do.
    """
    if not findings:
        return
    first, number = findings[0], len(findings)
    more = " or more" if number >= LIMIT else ""
    things = "one private thing" if number == 1 else f"{number}{more} private things"
    raise DatasetError(
        f"not published: {things} found, the first: {first.kind} {first.shown} in {first.where}; "
        "remove it where it comes from (task, world, settings) and make the version anew"
    )


def _in_folder(version: Path, detector: Detector) -> Iterator[Leak]:
    for path in sorted(version.rglob("*")):
        name = path.relative_to(version).as_posix()
        shown = detector.mask(name)
        yield from (Leak(kind, f"file name {shown}", what) for kind, what in detector.find(name))
        if path.is_symlink():
            yield Leak("link to another place", shown, "…")
        elif path.is_file():
            try:
                yield from _in_file(path, shown, detector)
            except (OSError, pa.ArrowException) as error:
                raise DatasetError(f"{shown} cannot be read, so it cannot be scanned") from error


def _in_file(path: Path, name: str, detector: Detector) -> Iterator[Leak]:
    if path.suffix == ".parquet":
        yield from _in_parquet(path, name, detector)
    elif path.suffix.lower() in _PACKED:
        yield Leak("packed file, which cannot be looked into", name, "…")
    elif _is_binary(path):
        yield from _in_binary(path, name, detector)
    elif path.suffix == ".json":
        yield from _in_json(path, name, detector)
    else:
        yield from _in_lines(path, name, detector)


def _in_parquet(path: Path, name: str, detector: Detector) -> Iterator[Leak]:
    with pq.ParquetFile(path) as file:
        about = f"{file.schema_arrow.to_string(truncate_metadata=False)}\n{file.metadata.metadata}"
        for kind, shown in detector.find(about):
            yield Leak(kind, f"columns of {name}", shown)
        start, config = 0, detector.mask(path.parent.name)
        for batch in file.iter_batches(batch_size=_ROWS):
            for kind, shown, column, row in _in_batch(batch, detector):
                where = _row_name(batch, row, start, detector)
                yield Leak(kind, f"{config} {where} column {column}", shown)
            start += batch.num_rows


def _row_name(batch: pa.RecordBatch, row: int, start: int, detector: Detector) -> str:
    number = f"row {start + row + 1}"
    known = batch["id"][row].as_py() if "id" in batch.schema.names else None
    return f"{number} ({detector.mask(str(known))[:40]})" if known else number


def _in_batch(batch: pa.RecordBatch, detector: Detector) -> Iterator[tuple[str, str, str, int]]:
    """Kind, masked excerpt, column, row."""
    leaves = [leaf for name in batch.schema.names for leaf in _leaves(name, batch[name], ())]
    # One call for all columns: each call compiles the pattern anew. Texts repeat: a conversation
    # is in a row once per reply.
    texts = pa.chunked_array([texts for _, texts, _ in leaves], pa.large_string())
    if not pc.any(_suspicious(texts.unique(), detector)).as_py():
        return
    for column, texts, around in leaves:
        for index in pc.indices_nonzero(_suspicious(texts, detector)).to_pylist():
            for kind, shown in detector.find(texts[index].as_py()):
                yield kind, shown, column, _row_of(index, around)


def _suspicious(texts: pa.Array, detector: Detector) -> pa.Array:
    return pc.match_substring_regex(texts, detector.trigger)


def _leaves(name: str, array: pa.Array, around: tuple[pa.Array, ...]) -> Iterator[_Leaf]:
    """All texts of a column, however deep."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        yield from _leaves(name, array.cast(kind.value_type), around)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield name, array.cast(pa.large_string()), around
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _leaves(name, array.flatten(), (*around, array))
    elif pa.types.is_struct(kind):
        for field, below in zip(kind, array.flatten(), strict=True):
            yield from _leaves(f"{name}.{field.name}", below, around)
    elif pa.types.is_nested(kind) or not (pa.types.is_primitive(kind) or pa.types.is_null(kind)):
        raise DatasetError(f"column {name} is of type {kind}, which cannot be looked into")


def _row_of(index: int, around: tuple[pa.Array, ...]) -> int:
    for lists in reversed(around):
        index = pc.list_parent_indices(lists)[index].as_py()
    return index


def _in_lines(path: Path, name: str, detector: Detector) -> Iterator[Leak]:
    start = 1
    with path.open(encoding="utf-8", errors="replace") as file:
        while lines := file.readlines(_BYTES):
            mask = _suspicious(pa.array(lines, pa.large_string()), detector)
            for index in pc.indices_nonzero(mask).to_pylist():
                for kind, shown in detector.find(lines[index]):
                    yield Leak(kind, f"{name} line {start + index}", shown)
            start += len(lines)


def _in_json(path: Path, name: str, detector: Detector) -> Iterator[Leak]:
    """By dotted key, with all escapes undone; what is no JSON after all, by line."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_pairs)
    except ValueError:
        yield from _in_lines(path, name, detector)
        return
    for key, text in _json_leaves("", value):
        for kind, shown in detector.find(text):
            yield Leak(kind, f"{name} {detector.mask(key)}", shown)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, list[Any]]:
    """A key that is there twice keeps both values; the key is a text like others."""
    kept: dict[str, list[Any]] = {}
    for key, value in pairs:
        kept.setdefault(key, [key]).append(value)
    return kept


def _json_leaves(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, list):
        for below in value:
            yield from _json_leaves(key, below)
    elif isinstance(value, dict):
        for name, below in value.items():
            yield from _json_leaves(f"{key}.{name}".lstrip("."), below)


def _is_binary(path: Path) -> bool:
    with path.open("rb") as file:
        return b"\0" in file.read(8192)


def _in_binary(path: Path, name: str, detector: Detector) -> Iterator[Leak]:
    """Known values anywhere in the bytes; of a PNG, all that its text chunks say."""
    before = b""
    with path.open("rb") as file:
        while content := file.read(_BYTES):
            for kind in detector.find_known(before + content):
                yield Leak(kind, name, "…")
            before = content[-_OVERLAP:]
        file.seek(0)
        for text in _png_texts(file):
            for kind, shown in detector.find(text):
                yield Leak(kind, f"{name}, metadata", shown)


def _png_texts(file: BinaryIO) -> Iterator[str]:
    """What a PNG's text chunks hold, unpacked; nothing of any other file."""
    if file.read(len(_PNG)) != _PNG:
        return
    while len(head := file.read(8)) == 8:
        size, kind = int.from_bytes(head[:4]), head[4:]
        if kind not in (b"tEXt", b"zTXt", b"iTXt", b"eXIf"):
            file.seek(size + 4, SEEK_CUR)
            continue
        chunk = file.read(size + 4)[:size]
        yield chunk.decode("utf-8", "replace")
        if (start := chunk.find(b"\0\0\x78" if kind == b"zTXt" else b"\0\x78")) >= 0:
            yield _unpacked(chunk[chunk.index(b"\x78", start) :])


def _unpacked(packed: bytes) -> str:
    try:
        return zlib.decompressobj().decompress(packed, _BYTES).decode("utf-8", "replace")
    except zlib.error:
        return ""
