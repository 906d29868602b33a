"""ms-swift, verl and xtuner: code of in_consumers/ keeps their tokens, and lets them use a CPU."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import yaml
from consumer_kit import Read, Row, environment, flagged, kept, preferred, run

from agent_r.dataset.formats.conversion import export_format
from agent_r.local_model.model_folder import PACKAGED
from tests.dataset.test_consumers import snippet, snippets

MS_SWIFT = "ms-swift==4.6.0"
VERL = "verl==0.9.1"
XTUNER = "xtuner==0.2.0"
OURS = Path(__file__).parent / "in_consumers"
SWIFT_RUN = {
    "model": str(PACKAGED),
    "model_type": "llama",
    "template": "chatml",
    "lazy_tokenize": False,
    "dataset_shuffle": False,
    "max_steps": 2,
    "per_device_train_batch_size": 1,
    "torch_dtype": "float32",
    "use_cpu": True,
    "save_strategy": "no",
    "report_to": "none",
    "output_dir": "out",
    "check_model": False,
    "load_from_cache_file": False,
    "external_plugins": str(OURS / "swift_tokens.py"),
}
VERL_RUN = (
    "data.train_batch_size=4 data.micro_batch_size_per_gpu=1 data.use_dynamic_bsz=False "
    "data.num_workers=0 trainer.total_training_steps=2 trainer.logger=[console] "
    "trainer.device=cpu trainer.default_local_dir=out engine.strategy=fsdp2 "
    "model.use_remove_padding=False +model.override_config.attn_implementation=sdpa"
).split()
VERL_CPU = {"VERL_PLATFORM": "cpu", "VERL_ENGINE_DEVICE": "cuda", "VERL_ENGINE_VENDOR": "nvidia"}
XTUNER_RUN = """
from mmengine.dataset import DefaultSampler
from mmengine.optim import OptimWrapper
from torch.optim import AdamW
from transformers import AutoModelForCausalLM
from xtuner.dataset.collate_fns import default_collate_fn
from xtuner.model import SupervisedFinetune

train_dataset.update(map_num_proc=1, remove_unused_columns=True, pack_to_max_length=False)
train_dataset.update(shuffle_before_pack=False)
llm = dict(type=AutoModelForCausalLM.from_pretrained, pretrained_model_name_or_path=MODEL)
model = dict(type=SupervisedFinetune, llm=llm)
train_dataloader = dict(
    batch_size=1,
    num_workers=0,
    dataset=train_dataset,
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=default_collate_fn),
)
optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=AdamW, lr=1e-5))
train_cfg = dict(by_epoch=False, max_iters=2)
launcher = "none"
"""


def ms_swift(version: Path, folder: Path, cache: Path, env: dict[str, str]) -> Iterator[Read]:
    """The conversations, with `loss` and without, and the pairs."""
    binary, name = environment(cache, MS_SWIFT) / "swift", MS_SWIFT.replace("==", " ")
    export_format(version, "ms-swift", folder / "swift-data")
    supervised, ranked = map(yaml.safe_load, snippets()["ms-swift"]["yaml"])

    def tokens(command: str, asked: Row, data: Path, where: Path) -> Path:
        config = yaml.safe_dump(asked | SWIFT_RUN | {"dataset": str(data)})
        own = {"TOKENS": str(where / "tokens.jsonl"), "MODELSCOPE_CACHE": str(where / "cache")}
        run([binary, command, "config.yaml"], where, env | own, {"config.yaml": config})
        return where / "tokens.jsonl"

    rows = folder / "swift-data" / "sft.jsonl"
    plain = folder / "swift-data" / "plain.jsonl"
    plain.write_text(re.sub(r', "loss": (true|false)', "", rows.read_text(encoding="utf-8")))
    for setting, data in (("loss", rows), ("without it", plain)):
        read = list(kept(tokens("sft", supervised, data, folder / f"swift-{data.stem}")))
        yield Read(name, "sft", setting, flagged(version), read)
    pairs = folder / "swift-data" / "preference.jsonl"
    found = tokens("rlhf", ranked, pairs, folder / "swift-pairs")
    for side in ("chosen", "rejected"):
        read = list(kept(found, f"{side}_input_ids", f"{side}_labels"))
        yield Read(name, "preference", f"{side} side", preferred(version, side), read)


def verl(version: Path, folder: Path, cache: Path, env: dict[str, str]) -> Iterator[Read]:
    """The conversations, with the class of the export and without it."""
    # Its data set imports its server, which it does not name among what it needs.
    home, name = environment(cache, VERL, with_=["uvicorn", "fastapi"]), VERL.replace("==", " ")
    export_format(version, "verl", folder / "verl-data")
    asked = [word for word in snippet("verl", "sh").split() if re.match(r"data\.\w+", word)]
    torchrun = [home / "torchrun", "--standalone", "--nproc_per_node=1", OURS / "verl_cpu.py"]
    own = [word for word in asked if "custom_cls" in word]
    for setting, words in (("MaskedSFTDataset", asked), ("without it", sorted({*asked} - {*own}))):
        where = folder / f"verl-{setting.split()[0]}"
        said = [word.replace("verl-data/", f"{folder}/verl-data/") for word in words]
        told = env | VERL_CPU | {"TOKENS": str(where / "tokens.jsonl")}
        run([*torchrun, *said, *VERL_RUN, f"model.path={PACKAGED}"], where, told, {})
        read = list(kept(where / "tokens.jsonl"))
        yield Read(name, "sft", setting, flagged(version), read)


def xtuner(version: Path, folder: Path, cache: Path, env: dict[str, str]) -> Iterator[Read]:
    """The conversations, with `loss` and without."""
    # PyPI's build of torchvision asks for CUDA's libraries; only pictures need it.
    home = environment(cache, XTUNER, without=["torchvision"])
    [packages] = home.parent.glob("lib/python*/site-packages")
    for path, code in {
        "torchvision/__init__.py": '__version__ = "0"\n',
        "torchvision/transforms/__init__.py": "",
        "torchvision/transforms/functional.py": "InterpolationMode = None\n",
    }.items():
        (packages / path).parent.mkdir(exist_ok=True)
        (packages / path).write_text(code)
    export_format(version, "xtuner", folder / "xtuner-data")
    model = folder / "older-model"  # as the release of transformers that xtuner asks for reads it
    shutil.copytree(PACKAGED, model)
    settings = json.loads((model / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    settings["additional_special_tokens"] = settings.pop("extra_special_tokens")
    (model / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    text = (folder / "xtuner-data" / "sft.jsonl").read_text(encoding="utf-8")
    plain = re.sub(r', "loss": (true|false)', "", text)
    for setting, rows in (("loss", text), ("without it", plain)):
        where = folder / f"xtuner-{setting.split()[0]}"
        config = f'MODEL = "{model}"\n{snippet("xtuner")}{XTUNER_RUN}'
        files = {"config.py": config.replace("xtuner-data/", ""), "sft.jsonl": rows}
        command = [home / "python", OURS / "xtuner_cpu.py", "config.py", "--work-dir", "out"]
        run(command, where, env | {"TOKENS": str(where / "tokens.jsonl")}, files)
        read = list(kept(where / "tokens.jsonl"))
        yield Read(XTUNER.replace("==", " "), "sft", setting, flagged(version), read)
