"""Scan a dataset version before it is published; refuse one that holds private data.

Every text of a version is looked at: all columns of all rows, names of files and columns, the card,
the manifest, pictures' metadata. Rows are read batch by batch, and Arrow's RE2 sorts out the texts
that have no trigger of `agent_r.hub.secret_rules`; what is reported is masked, the place too.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from os import SEEK_CUR
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from agent_r.errors import DatasetError
from agent_r.hub.leaks import Leak, is_allowed
from agent_r.hub.secret_rules import LONG_WORD, OUR_ID, Detector, Match

LIMIT = 20  # findings: enough to see what goes wrong
BATCH_ROWS = 512  # at once: what is in memory does not grow with the dataset
_BYTES = 4 << 20  # of another file at once
_OVERLAP = 4096  # longer than anything known
_PACKED = {".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".tar", ".tgz", ".pkl", ".pickle"}
_PNG = b"\x89PNG\r\n\x1a\n"

_Leaf: TypeAlias = tuple[str, pa.Array, tuple[pa.Array, ...]]  # column, texts, lists around them


@dataclass(frozen=True, slots=True)
class Allowing:
    """A detector that leaves out what is allowed, and remembers what it left out."""

    detector: Detector
    allow: frozenset[str] = frozenset()
    used: set[str] = field(default_factory=set)

    def find(self, text: str) -> Iterator[Match]:
        for match in self.detector.find(text):
            if is_allowed(match, self.allow):
                self.used.add(f"{match.rule}:{match.digest}")
            else:
                yield match

    def reaching(self, contact: str) -> Allowing:
        """The same, but the address at which a dataset's maker wants to be reached may go out."""
        found = self.detector.find(contact)
        own = {f"{match.rule}:{match.digest}" for match in found if match.level == "personal"}
        return replace(self, allow=self.allow | own)


def scan(version: Path, detector: Detector | Allowing) -> Iterator[Leak]:
    """What is private in a dataset version, one by one.

    Raises:
        DatasetError: a file cannot be read, or a column is of a type that cannot be looked into.
    """
    allowing = Allowing(detector) if isinstance(detector, Detector) else detector
    return _in_folder(version, allowing)


def scan_text(text: str, detector: Detector | Allowing, *, where: str = "text") -> Iterator[Leak]:
    """What is private in a text of some lines, such as a card; `where` is said of each line."""
    for number, line in enumerate(text.splitlines(), 1):
        yield from (Leak.of(one, f"{where} line {number}") for one in detector.find(line))


def _in_folder(version: Path, detector: Allowing) -> Iterator[Leak]:
    for path in sorted(version.rglob("*")):
        name = path.relative_to(version).as_posix()
        shown = detector.detector.mask(name)
        yield from (Leak.of(one, f"file name {shown}") for one in detector.find(name))
        if path.is_symlink():
            yield Leak("link-to-another-place", shown, "…")
        elif path.is_file():
            try:
                yield from _in_file(path, shown, detector)
            except (OSError, pa.ArrowException) as error:
                raise DatasetError(f"{shown} cannot be read, so it cannot be scanned") from error


def _in_file(path: Path, name: str, detector: Allowing) -> Iterator[Leak]:
    if path.suffix == ".parquet":
        yield from _in_parquet(path, name, detector)
    elif path.suffix.lower() in _PACKED:
        yield Leak("packed-file", name, "…")
    elif _is_binary(path):
        yield from _in_binary(path, name, detector)
    elif path.suffix == ".json":
        yield from _in_json(path, name, detector)
    else:
        yield from _in_lines(path, name, detector)


def _in_parquet(path: Path, name: str, detector: Allowing) -> Iterator[Leak]:
    with pq.ParquetFile(path) as file:
        about = f"{file.schema_arrow.to_string(truncate_metadata=False)}\n{file.metadata.metadata}"
        for match in detector.find(about):
            yield Leak.of(match, f"columns of {name}")
        start, config = 0, detector.detector.mask(path.parent.name)
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            for match, column, row in _in_batch(batch, detector):
                where = _row_name(batch, row, start, detector)
                yield Leak.of(match, f"{config} {where} column {column}")
            start += batch.num_rows


def _row_name(batch: pa.RecordBatch, row: int, start: int, detector: Allowing) -> str:
    number = f"row {start + row + 1}"
    known = batch["id"][row].as_py() if "id" in batch.schema.names else None
    return f"{number} ({detector.detector.mask(str(known))[:40]})" if known else number


def _in_batch(batch: pa.RecordBatch, detector: Allowing) -> Iterator[tuple[Match, str, int]]:
    """What was found, column, row."""
    found = private_texts(batch, detector)
    if not found:
        return
    private = pa.array(list(found), pa.large_string())
    for column, texts, around in _columns(batch):
        for index in pc.indices_nonzero(pc.is_in(texts, private)).to_pylist():
            for match in found[texts[index].as_py()]:
                yield match, column, _row_of(index, around)


def private_texts(batch: pa.RecordBatch, detector: Allowing) -> dict[str, list[Match]]:
    """The texts of a batch with something private in them, and what that is."""
    # One call for all columns: each call compiles the pattern anew. Texts repeat: a conversation
    # is in a row once per reply.
    columns = [texts for _, texts, _ in _columns(batch)]
    texts = pa.chunked_array(columns, pa.large_string()).unique()
    looked = texts.filter(_suspicious(texts, detector)).to_pylist()
    return {text: found for text in looked if (found := list(detector.find(text)))}


def _columns(batch: pa.RecordBatch) -> list[_Leaf]:
    return [leaf for name in batch.schema.names for leaf in _leaves(name, batch[name], ())]


def _suspicious(texts: pa.Array, detector: Allowing) -> pa.Array:
    """Those to be looked at: with a rule's own trigger, or a long word and no id of ours."""
    words = pc.match_substring_regex(texts, LONG_WORD)
    ids = pc.match_substring_regex(texts, OUR_ID)
    own = pc.match_substring_regex(texts, detector.detector.trigger)
    return pc.or_(own, pc.and_not(words, ids))


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
        for one, below in zip(kind, array.flatten(), strict=True):
            yield from _leaves(f"{name}.{one.name}", below, around)
    elif pa.types.is_nested(kind) or not (pa.types.is_primitive(kind) or pa.types.is_null(kind)):
        raise DatasetError(f"column {name} is of type {kind}, which cannot be looked into")


def _row_of(index: int, around: tuple[pa.Array, ...]) -> int:
    for lists in reversed(around):
        index = pc.list_parent_indices(lists)[index].as_py()
    return index


def _in_lines(path: Path, name: str, detector: Allowing) -> Iterator[Leak]:
    start = 1
    with path.open(encoding="utf-8", errors="replace") as file:
        while lines := file.readlines(_BYTES):
            mask = _suspicious(pa.array(lines, pa.large_string()), detector)
            for index in pc.indices_nonzero(mask).to_pylist():
                for match in detector.find(lines[index]):
                    yield Leak.of(match, f"{name} line {start + index}")
            start += len(lines)


def _in_json(path: Path, name: str, detector: Allowing) -> Iterator[Leak]:
    """By dotted key, with all escapes undone; what is no JSON after all, by line."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_pairs)
    except ValueError:
        yield from _in_lines(path, name, detector)
        return
    for key, text in _json_leaves("", value):
        for match in detector.find(text):
            yield Leak.of(match, f"{name} {detector.detector.mask(key)}")


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


def _in_binary(path: Path, name: str, detector: Allowing) -> Iterator[Leak]:
    """Known values anywhere in the bytes; of a PNG, all that its text chunks say."""
    before = b""
    with path.open("rb") as file:
        while content := file.read(_BYTES):
            for rule in detector.detector.find_known(before + content):
                yield Leak(rule, name, "…")
            before = content[-_OVERLAP:]
        file.seek(0)
        for text in _png_texts(file):
            for match in detector.find(text):
                yield Leak.of(match, f"{name}, metadata")


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
