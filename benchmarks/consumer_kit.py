"""For benchmarks/consumers.py: an environment, a run, the tokens of it, a line of the table."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from agent_r.dataset.shards import read_rows
from agent_r.local_model.model_folder import PACKAGED

TORCH = "torch==2.13.0"  # first, so that its CPU build stays: see the README
END = "<|im_end|>"
Row = dict[str, Any]


@dataclass(frozen=True)
class Read:
    """One line of the table."""

    consumer: str
    config: str
    setting: str
    wanted: list[Row]
    read: list[Row]

    def __str__(self) -> str:
        trained = sum(row["trained_tokens"] for row in self.read)
        masked = sum(row["tokens"] for row in self.read) - trained
        right = sum(fits(w, r) for w, r in zip(self.wanted, self.read, strict=True))
        return (
            f"{self.consumer:21} | {self.config:17} | {self.setting:29} | {len(self.wanted):5} | "
            f"{len(self.read):5} | {trained:7} | {masked:7} | {right:5}"
        )


HEAD = (
    f"{'consumer':21} | {'config':17} | {'setting':29} |  rows |  read | trained |  masked | right"
)


def fits(wanted: Row, read: Row) -> bool:
    """Whether what is trained is what should be, and all messages are there in their order."""
    at = 0
    for text in wanted["texts"]:
        at = read["text"].find(text, at) + 1
        if not at:
            return False
    return [span.removesuffix("\n") for span in read["trained"]] == wanted["trained"]


def environment(
    cache: Path, package: str, *, with_: Sequence[str] = (), without: Sequence[str] = ()
) -> Path:
    """The `bin` folder of a virtual environment with a package in it; made once."""
    folder = cache / package.replace("==", "-")
    if not (folder / "ready").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip"]
        subprocess.run([*pip, "install", "--quiet", TORCH], check=True)
        subprocess.run([*pip, "install", "--quiet", TORCH, package, *with_], check=True)
        if without:
            subprocess.run([*pip, "uninstall", "--quiet", "--yes", *without], check=True)
        (folder / "ready").touch()
    return folder / "bin"


def run(
    command: Sequence[str | Path], folder: Path, env: dict[str, str], files: dict[str, str]
) -> None:
    """Run a consumer in a folder of its own, which has these files; its last words if it fails."""
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    with (folder / "log.txt").open("w") as log:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=folder,
            env=env,
            stdout=log,
            stderr=log,
            check=False,
        )
    if done.returncode:
        sys.exit((folder / "log.txt").read_text(errors="replace")[-3000:])


def call(command: list[str], folder: Path, config: Row, env: dict[str, str]) -> Path:
    """Run a consumer that a YAML tells everything; where its tokens are."""
    run([*command, "config.yaml"], folder, env, {"config.yaml": yaml.safe_dump(config)})
    return folder / "tokens"


def stored(folder: Path, ids: str = "input_ids", labels: str = "labels") -> Iterator[Row]:
    """What a consumer stored as Arrow, row by row."""
    from datasets import DatasetDict, load_from_disk

    [found] = {path.parent for path in folder.rglob("state.json")}
    rows = load_from_disk(str(found))
    assert not isinstance(rows, DatasetDict)
    return spans(rows, ids, labels)


def kept(path: Path, ids: str = "input_ids", labels: str = "labels") -> Iterator[Row]:
    """What was kept of a consumer's tokens as JSON lines (in_consumers/), row by row."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return spans(map(json.loads, lines), ids, labels)


def spans(rows: Iterable[Row], ids: str, labels: str) -> Iterator[Row]:
    """Each row's text, and the runs of tokens that are trained."""
    from transformers import AutoTokenizer

    decode = AutoTokenizer.from_pretrained(PACKAGED).decode
    for row in rows:
        found: list[list[int]] = [[]]
        for label in row[labels]:
            if label == -100:
                found.append([])
            else:
                found[-1].append(label)
        found = [span for span in found if span]
        yield {
            "text": decode(row[ids]),
            "tokens": len(row[ids]),
            "trained": [decode(span) for span in found],
            "trained_tokens": sum(map(len, found)),
        }


def wanted(messages: list[Row], trained: list[Row]) -> Row:
    return {
        "texts": [m["content"] for m in messages],
        "trained": [m["content"] + END for m in trained],
    }


def flagged(version: Path, config: str = "sft") -> list[Row]:
    """What should be read of a config whose messages say whether they are trained."""
    return [
        wanted(row["messages"], [m for m in row["messages"] if m["train"]])
        for row in read_rows(version, config)
    ]


def preferred(version: Path, side: str) -> list[Row]:
    """What should be read of one side of the pairs."""
    rows = read_rows(version, "preference")
    return [wanted(row["prompt"] + row[side], row[side]) for row in rows]
