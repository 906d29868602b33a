"""What does an actor do right after one injected mistake? Counted in the experiment's episodes.

    python benchmarks/after_mistakes.py datasets_out/paper/work ours half paper good expert

Counted are held-out tasks that an arm of the first iteration finishes when it is led without a
mistake: its first own step after the mistake, and how many of those tasks it then finishes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Episode = dict[str, Any]
_DONE = ("Got", "Crafted", "Inventory")  # what TextCraft answers to a step that it does
STEPS = ("as without the mistake", "the mistake again", "another refused step", "another step")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("work", type=Path, help="the experiment's work folder")
    arguments.add_argument("arms", nargs="+")
    given = arguments.parse_args()
    for arm in given.arms:
        if not any(given.work.glob(episodes_of(arm))):
            sys.exit(f"after_mistakes: {given.work} has no episodes of {arm}: run make paper first")
    print(f"| arm | mistake | tasks | {' | '.join(STEPS)} |\n{'| --- ' * (3 + len(STEPS))}|")
    for arm in given.arms:
        for kind, found in counted(given.work, arm).items():
            cells = [f"{found[step]} ({found[step, 'finished']})" for step in STEPS]
            print(f"| {arm} | {kind} | {found['tasks']} | {' | '.join(cells)} |")


def counted(work: Path, arm: str) -> dict[str, Counter[Any]]:
    """By kind of mistake: tasks, first steps, and how many of each were finished (in brackets)."""
    by_kind: dict[str, Counter[Any]] = {"refused": Counter(), "silent": Counter()}
    for without, after in led(work, arm):
        at = after["opening"]
        mistake, first = after["steps"][at - 1 : at + 1]
        found = by_kind["refused" if is_refused(mistake) else "silent"]
        step = _first_step(without["steps"][at - 1], mistake, first)
        found["tasks"] += 1
        found[step] += 1
        found[step, "finished"] += after["reward"] == 1.0
    return by_kind


def episodes_of(arm: str) -> str:
    """Where an arm's episodes of the first iteration lie in the work folder."""
    return f"seed-*/{arm}/work/episodes-1-*"


def led(work: Path, arm: str) -> Iterator[tuple[Episode, Episode]]:
    """A finished episode that was led without a mistake, and that of the task with one."""
    for folder in sorted(work.glob(episodes_of(arm))):
        by_task: dict[str, dict[int, Episode]] = defaultdict(dict)
        for path in folder.glob("*.json"):
            episode = json.loads(path.read_text(encoding="utf-8"))
            if episode.get("opening"):
                by_task[episode["task"]][episode["opening"]] = episode
        for openings in by_task.values():
            shortest = min(openings)
            without, after = openings[shortest], openings.get(shortest + 1)
            if len(openings) != 3 or after is None or without["reward"] < 1.0:
                continue
            if len(after["steps"]) > after["opening"]:
                yield without, after


def _first_step(without: Episode, mistake: Episode, first: Episode) -> str:
    if first["action"] == without["action"]:
        return STEPS[0]
    if first["action"] == mistake["action"]:
        return STEPS[1]
    return STEPS[2] if is_refused(first) else STEPS[3]


def is_refused(step: Episode) -> bool:
    """Whether the world did not do a step.

    >>> is_refused({"observation": "Could not find ash"}), is_refused({"observation": "Got 1 ash"})
    (True, False)
    """
    return not step["observation"].startswith(_DONE)


if __name__ == "__main__":
    main()
