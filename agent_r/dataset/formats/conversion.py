"""Convert a version to the files of a trainer that cannot read it as it is."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

import jsonlines

from agent_r.algorithm.rows import Row
from agent_r.dataset.formats import Format
from agent_r.dataset.formats.chat_lines import loss_pair, loss_row, openai_row, ranked_pair, reply
from agent_r.dataset.formats.line_checks import (
    problems_of_openai,
    problems_of_sharegpt,
    problems_of_turns,
)
from agent_r.dataset.formats.llamafactory import LLAMAFACTORY_INFO
from agent_r.dataset.formats.verl_files import write_verl
from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.shards import read_rows
from agent_r.errors import DatasetError
from agent_r.files import beside, keep, write_json
from agent_r.reading.folding import Fold, folded

Problems = Callable[[Row], list[str]]
Rows = Callable[[str], Iterator[Row]]  # those of a config


def export_format(version: Path, name: Format, out: Path, *, folds: Collection[Fold] = ()) -> int:
    """Write a version as the files of one trainer into a new folder; the number of rows in them.

    Args:
        folds: of the turns, for a model whose chat template does not take them as they are.

    Raises:
        DatasetError: the version is damaged, or a row cannot be said in that format.
        StoreError: the folder is there already, or cannot be written.
    """
    read_manifest(version)
    with beside(out) as staged:
        rows = _WRITERS[name](functools.partial(_rows, version, folds), staged)
        keep(staged, out)
    return rows


def _rows(version: Path, folds: Collection[Fold], config: str) -> Iterator[Row]:
    """Of the split that is trained on; a fold leaves a row's replies as they are."""
    for row in read_rows(version, config, "train"):
        turns = {name: folded(row[name], folds) for name in ("messages", "prompt") if name in row}
        yield row | turns if folds else row


def _openai(rows_of: Rows, folder: Path) -> int:
    rows = _sound(rows_of, "sft", openai_row, problems_of_openai)
    return _write(folder / "sft.jsonl", rows)


def _llamafactory(rows_of: Rows, folder: Path) -> int:
    write_json(folder / "dataset_info.json", LLAMAFACTORY_INFO)
    replies = _sound(rows_of, "prompt_completion", reply, problems_of_sharegpt)
    pairs = _sound(rows_of, "preference", ranked_pair, problems_of_sharegpt)
    return _write(folder / "sft.jsonl", replies) + _write(folder / "preference.jsonl", pairs)


def _ms_swift(rows_of: Rows, folder: Path) -> int:
    pairs = _sound(rows_of, "preference", loss_pair, problems_of_turns)
    return _xtuner(rows_of, folder) + _write(folder / "preference.jsonl", pairs)


def _xtuner(rows_of: Rows, folder: Path) -> int:
    rows = _sound(rows_of, "sft", loss_row, problems_of_turns)
    return _write(folder / "sft.jsonl", rows)


def _verl(rows_of: Rows, folder: Path) -> int:
    rows = _sound(rows_of, "sft", dict, problems_of_turns)
    return write_verl(folder, rows)


_WRITERS: dict[Format, Callable[[Rows, Path], int]] = {
    "llamafactory": _llamafactory,
    "ms-swift": _ms_swift,
    "openai": _openai,
    "verl": _verl,
    "xtuner": _xtuner,
}


def _sound(
    rows_of: Rows, config: str, convert: Callable[[Row], Row], problems_of: Problems
) -> Iterator[Row]:
    """Converted rows without a problem; the first one with a problem ends it."""
    for row in rows_of(config):
        converted = convert(row)
        if problems := problems_of(converted):
            raise DatasetError(f"{row['id']} cannot be exported: {problems[0]}")
        yield converted


def _write(path: Path, rows: Iterable[Row]) -> int:
    written = 0
    with jsonlines.open(path, "w", dumps=_line) as file:
        for row in rows:
            file.write(row)
            written += 1
    return written


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False)
