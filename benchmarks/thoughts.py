"""How many trained thoughts name another goal than their task's, in versions of TextCraft?

    python benchmarks/thoughts.py datasets_out/demo-seed-0/v1.1 ...

The embedded actor says what each step is for: `For ash stool I get ash log.` A search samples at
temperature 1, and a step that is right may be said to be for something else. What is trained is
counted, by reply and by row.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from agent_r.algorithm.rows import Row
from agent_r.dataset.shards import read_rows

_PURPOSE = re.compile(r"Thought: For (.+?) I ")


def main() -> None:
    for version in map(Path, sys.argv[1:]):
        rows = [strayed(row) for row in read_rows(version, "sft")]
        replies = [reply for row in rows for reply in row]
        print(
            f"{version}: {sum(replies):,} of {len(replies):,} trained replies, "
            f"{sum(map(any, rows)):,} of {len(rows):,} rows"
        )


def strayed(row: Row) -> list[bool]:
    """For each trained reply, whether its thought is not for the row's own goal.

    >>> reply = {"content": "Thought: For ash stool I get ash log.", "train": True}
    >>> [strayed({"task": task, "messages": [reply]}) for task in ("ash stool", "ash door")]
    [[False], [True]]
    """
    found = [_PURPOSE.match(m["content"]) for m in row["messages"] if m["train"]]
    return [purpose is None or purpose[1] != row["task"] for purpose in found]


if __name__ == "__main__":
    main()
