"""How many trained replies say what is plainly false, in versions of TextCraft?

    python benchmarks/thoughts.py datasets_out/demo-seed-0/v1.1 ...

The embedded actor says what each step is for: `For ash stool I get ash log.` A step that is right
may be said to be for another goal, or for another thing than it gets. Counted by reply and by row.
"""

from __future__ import annotations

import sys
from pathlib import Path

from agent_r.algorithm.rows import Row
from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.shards import read_rows
from agent_r.errors import DatasetError
from env_adapters.textcraft.purposes import misstates
from env_adapters.textcraft.recipes import load_recipes


def main() -> None:
    try:
        for version in map(Path, sys.argv[1:]):
            print(counted(version))
    except DatasetError as error:
        sys.exit(f"thoughts: {error}")


def counted(version: Path) -> str:
    """One line.

    Raises:
        DatasetError: there is no such version, or it is damaged.
    """
    read_manifest(version)
    rows = [false_words(row) for row in read_rows(version, "sft")]
    replies = [reply for row in rows for reply in row]
    return (
        f"{version}: {sum(replies):,} of {len(replies):,} trained replies, "
        f"{sum(map(any, rows)):,} of {len(rows):,} rows"
    )


def false_words(row: Row) -> list[bool]:
    """For each trained reply, whether its words are false.

    >>> said = "Thought: For ash stool I get ash log.\\nAction: get 1 ash log"
    >>> reply = {"content": said, "train": True}
    >>> [false_words({"task": task, "messages": [reply]}) for task in ("ash stool", "ash door")]
    [[False], [True]]
    """
    book = load_recipes("builtin")
    return [misstates(book, row["task"], m["content"]) for m in row["messages"] if m["train"]]


if __name__ == "__main__":
    main()
