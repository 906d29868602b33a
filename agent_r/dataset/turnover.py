"""Count which rows came and which went between two versions, by their ids."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agent_r.algorithm.schema import SCHEMAS
from agent_r.dataset.dedup import DedupSet
from agent_r.dataset.shards import read_footer, read_ids

Turnover = dict[str, dict[str, int]]  # of a config: how many rows were added, how many removed


def turnover(
    before: Path, after: Path, files_before: Mapping[str, str], files_after: Mapping[str, str]
) -> Turnover:
    """Added and removed rows of every config; files of the same content are not read.

    Args:
        files_before: the older version's files, each with its SHA-256; likewise `files_after`.
    """
    both = {*files_before.values()} & {*files_after.values()}
    return {
        config: _of_config(
            _own(before, files_before, config, both), _own(after, files_after, config, both)
        )
        for config in SCHEMAS
    }


def _own(version: Path, files: Mapping[str, str], config: str, both: set[str]) -> list[Path]:
    mine = (name for name in files if name.startswith(f"data/{config}/"))
    return [version / name for name in mine if files[name] not in both]


def _of_config(before: list[Path], after: list[Path]) -> dict[str, int]:
    old, new = (sum(read_footer(path)[1] for path in paths) for paths in (before, after))
    kept = 0
    if old and new:
        with DedupSet() as ids:
            for path in before:
                for name in read_ids(path):
                    ids.add(name)
            kept = sum(not ids.add(name) for path in after for name in read_ids(path))
    return {"added": new - kept, "removed": old - kept}
