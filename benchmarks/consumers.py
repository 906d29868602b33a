"""What axolotl and LLaMA-Factory read of a published version, told by their own loaders.

Each gets a virtual environment of its own (2 to 4 GB), its pinned release with the dependencies
that this names, and the YAML of docs/datasets.md with what a run needs besides: a model, a folder.
Both train two steps on the CPU and store the tokens with their labels, which are compared with the
rows: a row is right when what is trained in it is exactly the replies that should be, each to its
end-of-turn token, and when all of its messages are there.
The version is published to a Hub on loopback first and read from there, at its tag. Two rows of
the table leave out the setting that masks: they show what it is for.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from agent_r.dataset.formats import export_format
from agent_r.dataset.shards import read_rows
from agent_r.local_model.model_folder import PACKAGED

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.dataset.test_consumers import PUBLISH, REPO, snippets  # noqa: E402
from tests.support.hub_server import LoopbackHub  # noqa: E402

TORCH = "torch==2.13.0"  # first, so that its CPU build stays: see the README
AXOLOTL = "axolotl==0.19.0"
LLAMAFACTORY = "llamafactory==0.9.5"
END = "<|im_end|>"
AXOLOTL_RUN = {
    "base_model": str(PACKAGED),
    "micro_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "max_steps": 2,
    "optimizer": "adamw_torch",
    "bf16": False,
    "learning_rate": 1e-5,
    "output_dir": "out",
    "dataset_prepared_path": "tokens",
    "shuffle_merged_datasets": False,
}
LLAMAFACTORY_RUN = {
    "model_name_or_path": str(PACKAGED),
    "template": "chatml",
    "do_train": True,
    "finetuning_type": "full",
    "max_steps": 2,
    "report_to": "none",
    "output_dir": "out",
    "tokenized_path": "tokens",
}
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


def environment(cache: Path, package: str, *, without: Sequence[str] = ()) -> Path:
    """The `bin` folder of a virtual environment with a package in it; made once."""
    folder = cache / package.replace("==", "-")
    if not (folder / "ready").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip"]
        subprocess.run([*pip, "install", "--quiet", TORCH], check=True)
        subprocess.run([*pip, "install", "--quiet", TORCH, package], check=True)
        if without:
            subprocess.run([*pip, "uninstall", "--quiet", "--yes", *without], check=True)
        (folder / "ready").touch()
    return folder / "bin"


def call(command: list[str], folder: Path, config: Row, env: dict[str, str]) -> Path:
    """Run a consumer on a config in a folder of its own; where its tokens are."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with (folder / "log.txt").open("w") as log:
        done = subprocess.run(
            [*command, "config.yaml"],
            cwd=folder,
            env=env,
            stdout=log,
            stderr=log,
            check=False,
        )
    if done.returncode:
        sys.exit((folder / "log.txt").read_text(errors="replace")[-3000:])
    return folder / "tokens"


def tokens(folder: Path, ids: str = "input_ids", labels: str = "labels") -> Iterator[Row]:
    """What a consumer stored, row by row: its text, and the runs of tokens that are trained."""
    from datasets import DatasetDict, load_from_disk
    from transformers import AutoTokenizer

    decode = AutoTokenizer.from_pretrained(PACKAGED).decode
    [found] = {path.parent for path in folder.rglob("state.json")}
    rows = load_from_disk(str(found))
    assert not isinstance(rows, DatasetDict)
    for row in rows:
        spans: list[list[int]] = [[]]
        for label in row[labels]:
            if label == -100:
                spans.append([])
            else:
                spans[-1].append(label)
        spans = [span for span in spans if span]
        yield {
            "text": decode(row[ids]),
            "tokens": len(row[ids]),
            "trained": [decode(span) for span in spans],
            "trained_tokens": sum(map(len, spans)),
        }


def wanted(messages: list[Row], trained: list[Row]) -> Row:
    return {
        "texts": [m["content"] for m in messages],
        "trained": [m["content"] + END for m in trained],
    }


def axolotl(version: Path, folder: Path, cache: Path, env: dict[str, str]) -> Iterator[Read]:
    """The flagged configs from the Hub at the tag, with the flag and without."""
    binary = environment(cache, AXOLOTL) / "axolotl"
    name, flag = AXOLOTL.replace("==", " "), "message_field_training: train"
    for config, setting in (("sft", flag), ("sft", "without it"), ("critique", flag)):
        asked = yaml.safe_load(snippets()["axolotl"]["yaml"][0]) | AXOLOTL_RUN
        asked["datasets"][0] |= {"path": REPO, "revision": version.name, "name": config}
        if setting != flag:
            del asked["datasets"][0]["message_field_training"]
        where = folder / f"axolotl-{config}-{setting == flag}"
        stored = call([str(binary), "train", "--launcher=python"], where, asked, env)
        rows = [
            wanted(row["messages"], [m for m in row["messages"] if m["train"]])
            for row in read_rows(version, config)
        ]
        yield Read(name, config, setting, rows, list(tokens(stored)))


def llamafactory(version: Path, folder: Path, cache: Path, env: dict[str, str]) -> Iterator[Read]:
    """What `agent-r export` writes for it: replies, with and without the mask, and pairs."""
    # PyPI's builds of these two ask for CUDA's libraries; only pictures and sound need them.
    home = environment(cache, LLAMAFACTORY, without=["torchvision", "torchaudio"])
    [packages] = home.parent.glob("lib/python*/site-packages")
    (packages / "torchaudio.py").write_text('"""Empty: it is imported, and not used for text."""\n')
    export_format(version, "llamafactory", folder / "lf")
    name = LLAMAFACTORY.replace("==", " ")
    command = [str(home / "llamafactory-cli"), "train"]
    supervised, preferred = map(yaml.safe_load, snippets()["LLaMA-Factory"]["yaml"])
    run = LLAMAFACTORY_RUN | {"dataset_dir": str(folder / "lf")}
    replies = [
        wanted(row["prompt"] + row["completion"], row["completion"])
        for row in read_rows(version, "prompt_completion")
    ]
    for setting, mask in (("mask_history: true", True), ("without it", False)):
        config = supervised | run | {"mask_history": mask}
        stored = call(command, folder / f"lf-{mask}", config, env)
        yield Read(name, "prompt_completion", setting, replies, list(tokens(stored)))
    stored = call(command, folder / "lf-pairs", preferred | run, env)
    for side in ("chosen", "rejected"):
        rows = read_rows(version, "preference")
        pairs = [wanted(row["prompt"] + row[side], row[side]) for row in rows]
        read = list(tokens(stored, f"{side}_input_ids", f"{side}_labels"))
        yield Read(name, "preference", f"{side} side", pairs, read)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", type=Path, help="folder of a dataset version")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the environments")
    arguments = parser.parse_args()
    version = arguments.version.resolve()
    own = {"OMP_NUM_THREADS": "1", "AXOLOTL_DO_NOT_TRACK": "1", "DO_NOT_TRACK": "1"}
    rows = json.loads((version / "manifest.json").read_text(encoding="utf-8"))["rows"]
    print(f"{version.name}: {rows}\n{HEAD}", flush=True)
    with tempfile.TemporaryDirectory() as scratch, LoopbackHub(Path(scratch) / "hub") as hub:
        folder = Path(scratch)
        env = hub.client_env(folder / "home") | own
        publish = [sys.executable, "-c", PUBLISH, str(version), REPO, hub.url, env["HF_TOKEN"]]
        subprocess.run(publish, env=env, cwd=ROOT, check=True)
        for consumer in (axolotl, llamafactory):
            for line in consumer(version, folder, arguments.cache.resolve(), env):
                print(line, flush=True)
    print(
        "right: rows in which exactly the replies that should be are trained, and all that comes "
        "before is there"
    )


if __name__ == "__main__":
    main()
