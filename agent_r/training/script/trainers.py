"""The model, its tokenizer, and TRL's trainer."""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from agent_r.training.script.script_settings import SCHEDULES, Refusal, one_line
from agent_r.training.script.training_order import Plan


def has_gpu() -> bool:
    """Whether PyTorch has anything faster than a CPU."""
    return torch.accelerator.is_available()


def bf16_is_used(settings: argparse.Namespace) -> bool:
    """Whether products are computed in bfloat16."""
    able = has_gpu() and transformers.utils.is_torch_bf16_gpu_available()
    if settings.precision == "bf16" and not able:
        raise Refusal(
            "--precision bf16: there is no GPU here that computes in bfloat16; leave it at auto"
        )
    return able and settings.precision != "fp32"


def load_tokenizer(settings: argparse.Namespace) -> Any:
    """The tokenizer, with the chat template that rows are rendered with."""
    with one_line(f"cannot load the tokenizer of {settings.model}"):
        tokenizer = AutoTokenizer.from_pretrained(settings.model)
    if settings.chat_template:
        with one_line(f"cannot read {settings.chat_template}"):
            tokenizer.chat_template = Path(settings.chat_template).read_text(encoding="utf-8")
    if isinstance(tokenizer.chat_template, dict):
        tokenizer.chat_template = tokenizer.chat_template["default"]
    if not tokenizer.chat_template:
        raise Refusal(
            f"{settings.model} has no chat template (a base model?): name one with --chat-template"
        )
    if not tokenizer.is_fast:
        raise Refusal(f"the tokenizer of {settings.model} has no character offsets (no fast one)")
    return tokenizer


def load_model(name: str, dtype: Any, settings: argparse.Namespace) -> Any:
    """The weights of a folder or of a name on the Hub, all of which must be there."""
    with one_line(f"cannot load a model from {name}"):
        model, info = AutoModelForCausalLM.from_pretrained(
            name,
            dtype=dtype,
            attn_implementation=settings.attention or None,
            output_loading_info=True,
        )
    if missing := sorted(info["missing_keys"]):
        raise Refusal(f"{name} lacks {len(missing)} weights, {missing[0]} for one")
    return model


def base_of(name: str) -> tuple[str, str]:
    """The model under a LoRA adapter, and the adapter; of a plain model, itself and nothing."""
    described = Path(name) / "adapter_config.json"
    if not described.is_file():
        return name, ""
    with one_line(f"cannot read {described}"):
        return json.loads(described.read_text(encoding="utf-8"))["base_model_name_or_path"], name


def model_and_adapter(settings: argparse.Namespace, bf16: bool) -> tuple[Any, Any]:
    """The model to train, and the LoRA that is still to be laid on it.

    Frozen weights are held as they are computed with; those that are trained, in float32. An
    adapter that is there already is trained on.
    """
    base, adapter = base_of(settings.model)
    model = load_model(base, torch.bfloat16 if bf16 and settings.lora else torch.float32, settings)
    if adapter:
        with one_line(f"cannot load the adapter {adapter}"):
            model = PeftModel.from_pretrained(model, adapter, is_trainable=settings.lora)
        return (model, None) if settings.lora else (model.merge_and_unload(), None)
    if not settings.lora:
        return model, None
    names = settings.target_modules
    lora = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=names if names == "all-linear" else names.split(","),
        task_type="CAUSAL_LM",
    )
    return model, lora


class Preferences(DPOTrainer):  # type: ignore[misc]
    """TRL's DPO on tokens that are there already: they are masked as those of other rows."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset


def make_trainer(
    settings: argparse.Namespace, tokenizer: Any, laid: Plan, work: Path, *, bf16: bool
) -> Any:
    """TRL's trainer for the plan."""
    common = {
        "output_dir": str(work),
        "per_device_train_batch_size": laid.device_rows,
        "gradient_accumulation_steps": laid.accumulate,
        "num_train_epochs": 1,  # the plan has all of them
        "train_sampling_strategy": "sequential",
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": SCHEDULES[settings.schedule],
        "warmup_steps": round(settings.warmup * laid.steps),
        "weight_decay": 0.0,
        "adam_beta2": 0.95,
        "max_grad_norm": 1.0,
        "bf16": bf16,
        "use_cpu": not has_gpu(),
        "gradient_checkpointing": settings.gradient_checkpointing,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",  # RunClock says when
        "save_total_limit": 2,
        "seed": settings.seed,
        "report_to": "none",
        "disable_tqdm": True,
        "log_level": "error",
    }
    model, lora = model_and_adapter(settings, bf16)
    given_to = {
        "model": model,
        "processing_class": copy.deepcopy(tokenizer),  # it gets a padding token
        "train_dataset": datasets.Dataset.from_list(laid.examples).select(laid.order),
        "peft_config": lora,
    }
    if settings.rows == "preference":
        arguments = DPOConfig(**common, beta=settings.beta, max_length=None)
        before = None if settings.lora else copy.deepcopy(model)  # without the adapter, it is there
        return Preferences(**given_to, args=arguments, ref_model=before)
    arguments = SFTConfig(
        **common,
        packing=settings.packing,
        max_length=settings.max_length if settings.packing else None,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    return SFTTrainer(**given_to, args=arguments)
