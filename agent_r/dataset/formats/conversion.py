"""Convert a version to the files of a trainer that cannot read it as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
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

Problems = Callable[[Row], list[str]]


def export_format(version: Path, name: Format, out: Path) -> int:
    """Write a version as the files of one trainer into a new folder; the number of rows in them.

    Raises:
        DatasetError: the version is damaged, or a row cannot be said in that format.
        StoreError: the folder is there already, or cannot be written.
    """
    read_manifest(version)
    with beside(out) as staged:
        rows = _WRITERS[name](version, staged)
        keep(staged, out)
    return rows


def _openai(version: Path, folder: Path) -> int:
    rows = _sound(version, "sft", openai_row, problems_of_openai)
    return _write(folder / "sft.jsonl", rows)


def _llamafactory(version: Path, folder: Path) -> int:
    write_json(folder / "dataset_info.json", LLAMAFACTORY_INFO)
    replies = _sound(version, "prompt_completion", reply, problems_of_sharegpt)
    pairs = _sound(version, "preference", ranked_pair, problems_of_sharegpt)
    return _write(folder / "sft.jsonl", replies) + _write(folder / "preference.jsonl", pairs)


def _ms_swift(version: Path, folder: Path) -> int:
    pairs = _sound(version, "preference", loss_pair, problems_of_turns)
    return _xtuner(version, folder) + _write(folder / "preference.jsonl", pairs)


def _xtuner(version: Path, folder: Path) -> int:
    rows = _sound(version, "sft", loss_row, problems_of_turns)
    return _write(folder / "sft.jsonl", rows)


def _verl(version: Path, folder: Path) -> int:
    rows = _sound(version, "sft", dict, problems_of_turns)
    return write_verl(folder, rows)


_WRITERS: dict[Format, Callable[[Path, Path], int]] = {
    "llamafactory": _llamafactory,
    "ms-swift": _ms_swift,
    "openai": _openai,
    "verl": _verl,
    "xtuner": _xtuner,
}


def _sound(
    version: Path, config: str, convert: Callable[[Row], Row], problems_of: Problems
) -> Iterator[Row]:
    """Converted rows without a problem; the first one with a problem ends it."""
    for row in read_rows(version, config, "train"):
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
