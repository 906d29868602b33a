"""Write rows to parquet as they come: a batch of each config in memory, the rest in files."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from agent_r.algorithm.rows import Row
from agent_r.algorithm.schema import LATER, SCHEMAS, Type
from agent_r.errors import DatasetError

BATCH_BYTES = 2 << 20  # of JSON text, until rows become Arrow's
GROUP_BYTES = 8 << 20  # of JSON text in a row group, on average; twice that at most
SHARD_BYTES = 256 << 20  # of Arrow's, until a file is full; its parquet is a fraction of that
SPLITS = ("train", "validation")  # what is trained on, and whole tasks that are kept from it

_ARROW = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
}


def arrow_schema(config: str) -> pa.Schema:
    """The parquet schema of a config."""
    return pa.schema([(name, _arrow(kind)) for name, (kind, _) in SCHEMAS[config].items()])


def _arrow(kind: Type) -> pa.DataType:
    if isinstance(kind, list):
        return pa.list_(_arrow(kind[0]))
    if isinstance(kind, dict):
        return pa.struct([(name, _arrow(below)) for name, below in kind.items()])
    return _ARROW[kind]


def is_schema(columns: pa.Schema, config: str) -> bool:
    """Whether a file's columns are a config's; those that came later may be missing."""
    later = LATER.get(config, ())
    wanted = arrow_schema(config)
    for name in later:
        column, _, field = name.partition(".")
        if not field and columns.get_field_index(column) < 0:
            wanted = wanted.remove(wanted.get_field_index(column))
        at = columns.get_field_index(column)
        held = columns.field(at).type if field and at >= 0 else None
        if held is not None and not _has(held, field):
            there = wanted.get_field_index(column)
            wanted = wanted.set(there, pa.field(column, _less(wanted.field(there).type, field)))
    return bool(columns.equals(wanted))


def _has(kind: pa.DataType, field: str) -> bool:
    below = pa.types.is_list(kind) and pa.types.is_struct(kind.value_type)
    return bool(below and kind.value_type.get_field_index(field) >= 0)


def _less(kind: pa.DataType, field: str) -> pa.DataType:
    return pa.list_(pa.struct([one for one in kind.value_type if one.name != field]))


@dataclass(slots=True)
class Shard:
    """A finished file, and the bytes that its rows are in memory, which `datasets` also counts."""

    path: Path
    rows: int = 0
    arrow_bytes: int = 0


class ShardWriter:
    """One split's files of a config, under `folder`; the same rows give the same bytes.

    Row groups are chunks that the content defines: a row's own id says whether a group ends after
    it, not how many came before. After a small edit all other groups are as they were, and the
    Hub's storage takes only the changed one. Measured (benchmarks/hub.py), this does more than
    Parquet's own content-defined chunking, whose cuts depend on earlier row groups.
    """

    def __init__(
        self,
        folder: Path,
        config: str,
        *,
        split: str = SPLITS[0],
        first: int = 0,
        shard_bytes: int = SHARD_BYTES,
    ) -> None:
        """Number files from `first` on: those before it are an earlier version's."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._split, self._first = folder, split, first
        self._schema = arrow_schema(config)
        self._shard_bytes = shard_bytes
        self._batch: list[Row] = []
        self._batch_bytes = 0
        self._group: list[pa.RecordBatch] = []
        self._group_bytes = 0  # of JSON text
        self._files: list[Shard] = []
        self._open: pq.ParquetWriter | None = None

    def add(self, row: Row, size: int) -> None:
        """Take a row of `size` bytes of JSON text."""
        self._batch.append(row)
        self._batch_bytes += size
        self._group_bytes += size
        if self._ends_group(row["id"], size):
            self._to_file()
        elif self._batch_bytes >= BATCH_BYTES:
            self._to_arrow()

    def close(self) -> list[Shard]:
        """Write what is left: the files, which keep their names whatever later versions add."""
        self._to_file()
        if not self._files:
            self._begin()  # no row at all is a file with columns
        self._end()
        return self._files

    def _ends_group(self, name: str, size: int) -> bool:
        """From half the average on, one byte is as likely to be the last as another."""
        half = GROUP_BYTES // 2
        drawn = zlib.crc32(name.encode("utf-8", "surrogatepass"))  # 32 bits
        chosen = self._group_bytes >= half and drawn * half < size << 32
        return chosen or self._group_bytes >= 2 * GROUP_BYTES

    def _to_arrow(self) -> None:
        if not self._batch:
            return
        try:
            batch = pa.RecordBatch.from_pylist(self._batch, schema=self._schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as error:
            raise DatasetError(
                f"a row does not fit {self._folder.name}'s schema: {error}"
            ) from error
        self._group.append(batch)
        self._batch, self._batch_bytes = [], 0

    def _to_file(self) -> None:
        self._to_arrow()
        if not self._group:
            return
        writer = self._open or self._begin()
        table = pa.Table.from_batches(self._group, schema=self._schema)
        writer.write_table(table, row_group_size=table.num_rows)
        self._files[-1].rows += table.num_rows
        self._files[-1].arrow_bytes += table.nbytes
        self._group, self._group_bytes = [], 0
        if self._files[-1].arrow_bytes >= self._shard_bytes:
            self._end()

    def _begin(self) -> pq.ParquetWriter:
        number = self._first + len(self._files)
        path = self._folder / f"{self._split}-{number:05}.parquet"
        self._files.append(Shard(path))
        self._open = pq.ParquetWriter(
            path,
            self._schema,
            compression="zstd",
            write_page_index=True,  # the viewer reads single pages by it
        )
        return self._open

    def _end(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


def read_rows(version: Path, config: str, split: str = "") -> Iterator[Row]:
    """Rows of a config, a batch in memory at a time; of one split, or of all."""
    for path in shard_files(version, config, split):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                yield from batch.to_pylist()


def read_columns(
    version: Path, config: str, columns: list[str], split: str = ""
) -> Iterator[tuple[Any, ...]]:
    """Some columns of a config, row by row: nothing else is read from the disk."""
    for path in shard_files(version, config, split):
        yield from _columns_of(path, columns)


def read_ids(path: Path) -> Iterator[str]:
    """The ids of one file's rows."""
    for [name] in _columns_of(path, ["id"]):
        yield name


def _columns_of(path: Path, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=65_536, columns=columns):
            yield from zip(*(batch[name].to_pylist() for name in columns), strict=True)


def read_row(version: Path, config: str, name: str) -> Row | None:
    """The row of that id; no other is made of what is read. None where there is none."""
    for path in shard_files(version, config):
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                ids = file.read_row_group(group, columns=["id"])["id"].to_pylist()
                if name in ids:
                    found: list[Row] = (
                        file.read_row_group(group).slice(ids.index(name), 1).to_pylist()
                    )
                    return found[0]
    return None


def shard_files(version: Path, config: str, split: str = "") -> list[Path]:
    """A config's parquet files, in order; of one split, or of all."""
    return sorted((version / "data" / config).glob(f"{split}-*.parquet" if split else "*.parquet"))


def split_of(path: Path) -> str:
    """The split that a file is of, by its name.

    >>> split_of(Path("data/sft/validation-00002.parquet"))
    'validation'
    """
    return path.name.partition("-")[0]


def read_footer(path: Path) -> tuple[pa.Schema, int]:
    """A file's columns, and how many rows it has."""
    with pq.ParquetFile(path) as file:
        return file.schema_arrow.remove_metadata(), file.metadata.num_rows
