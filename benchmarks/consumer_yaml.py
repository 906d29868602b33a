"""axolotl and LLaMA-Factory, which a YAML tells everything and which store their tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml
from consumer_kit import Read, call, environment, flagged, preferred, stored, wanted

from agent_r.dataset.formats.conversion import export_format
from agent_r.dataset.shards import read_rows
from agent_r.local_model.model_folder import PACKAGED
from tests.dataset.test_consumers import REPO, snippets

AXOLOTL = "axolotl==0.19.0"
LLAMAFACTORY = "llamafactory==0.9.5"
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
        folder_of_tokens = call([str(binary), "train", "--launcher=python"], where, asked, env)
        yield Read(name, config, setting, flagged(version, config), list(stored(folder_of_tokens)))


def llamafactory(version: Path, folder: Path, cache: Path, env: dict[str, str]) -> Iterator[Read]:
    """What `agent-r export` writes for it: replies, with and without the mask, and pairs."""
    # PyPI's builds of these two ask for CUDA's libraries; only pictures and sound need them.
    home = environment(cache, LLAMAFACTORY, without=["torchvision", "torchaudio"])
    [packages] = home.parent.glob("lib/python*/site-packages")
    (packages / "torchaudio.py").write_text('"""Empty: it is imported, and not used for text."""\n')
    export_format(version, "llamafactory", folder / "lf")
    name = LLAMAFACTORY.replace("==", " ")
    command = [str(home / "llamafactory-cli"), "train"]
    supervised, ranked = map(yaml.safe_load, snippets()["LLaMA-Factory"]["yaml"])
    run = LLAMAFACTORY_RUN | {"dataset_dir": str(folder / "lf")}
    replies = [
        wanted(row["prompt"] + row["completion"], row["completion"])
        for row in read_rows(version, "prompt_completion")
    ]
    for setting, mask in (("mask_history: true", True), ("without it", False)):
        config = supervised | run | {"mask_history": mask}
        found = stored(call(command, folder / f"lf-{mask}", config, env))
        yield Read(name, "prompt_completion", setting, replies, list(found))
    pairs = call(command, folder / "lf-pairs", ranked | run, env)
    for side in ("chosen", "rejected"):
        read = list(stored(pairs, f"{side}_input_ids", f"{side}_labels"))
        yield Read(name, "preference", f"{side} side", preferred(version, side), read)
