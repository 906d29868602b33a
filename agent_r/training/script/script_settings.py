"""The settings, each an option of the command line; and how the script refuses."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError

# Each setting is an option: `--max-length 8192`, `--no-lora`. Its value here is the default.
SETTINGS: dict[str, tuple[Any, str]] = {
    # What is trained, and on what.
    "dataset": ("", "the version: its folder, its repository on the Hub, or a JSON-lines file"),
    "tag": ("", "the version's tag in a repository, such as v1.3"),
    "digest": ("", "the version's content digest: no other version is trained on"),
    "rows": ("sft", "sft; prompt_completion: one reply at a time; preference: DPO"),
    "model": ("", "a folder, or a name on the Hub; also the folder of a LoRA adapter"),
    "chat_template": ("", "a Jinja file, instead of the model's own chat template"),
    "out": ("trained", "folder of the result"),
    "push": ("", "owner/name: the result goes to this repository on the Hub, a private one"),
    # How much of the model is trained.
    "lora": (True, "train a LoRA adapter; without it, every weight"),
    "rank": (16, "of the adapter's matrices"),
    "alpha": (32, "the adapter is scaled by alpha / rank"),
    "dropout": (0.0, "of the adapter's input"),
    "target_modules": ("all-linear", "names of layers, a comma between two"),
    "merge": (True, "add the adapter to the weights in the end; without it, keep it apart"),
    # For how long, and how fast.
    "epochs": (3, "times that every row is seen"),
    "learning_rate": (2e-4, "its peak; every weight at once wants a tenth of it, or less"),
    "warmup": (0.03, "share of the steps until the peak"),
    "schedule": ("cosine", "how it falls after it, to nothing: cosine, linear; constant: not"),
    "batch_tokens": (16384, "tokens of one step, about, on all devices together"),
    "max_length": (4096, "tokens of a row; longer rows are left out"),
    "beta": (0.1, "DPO: how dear it is to leave the model of before"),
    "seed": (0, "of the order of rows and of the adapter's first weights"),
    # What fits into memory, and how fast it runs; the result hardly depends on it.
    "device_rows": (4, "rows that a device holds at once; the rest of a step is accumulated"),
    "packing": (False, "join short rows up to max_length, each blind to the others (SFT)"),
    "precision": ("auto", "bf16; fp32; auto: bf16 where there is a GPU that does it"),
    "gradient_checkpointing": (True, "compute activations again instead of keeping them"),
    "attention": ("", "sdpa, flash_attention_2, …; empty: the model's own"),
    "checkpoint_s": (60.0, "seconds between two checkpoints, at least"),
}
# What another run of the same job may change.
FREE = {"out", "push", "device_rows", "attention", "checkpoint_s", "gradient_checkpointing"}
SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}
PRECISIONS = ("auto", "bf16", "fp32")
COLUMNS = {
    "sft": ("messages",),
    "prompt_completion": ("prompt", "completion"),
    "preference": ("prompt", "chosen", "rejected"),
}


class Refusal(Exception):
    """What is wrong, and what to do, in one line."""


@contextmanager
def one_line(about: str) -> Iterator[None]:
    """Whatever libraries complain of within is a refusal that says what was being done."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, HfHubHTTPError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        words = str(error).strip().split("\n")[0] or type(error).__name__
        raise Refusal(f"{about}: {words}") from error


def read_settings(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options, each with its default."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, (default, about) in SETTINGS.items():
        option = "--" + name.replace("_", "-")
        about = f"{about} (default: {default!r})".replace("%", "%%")
        if isinstance(default, bool):
            action = argparse.BooleanOptionalAction
            parser.add_argument(option, action=action, default=default, help=about)
        else:
            parser.add_argument(option, type=type(default), default=default, help=about)
    settings = parser.parse_args(arguments)
    for needed in ("dataset", "model"):
        if not getattr(settings, needed):
            parser.error(f"--{needed} is needed")
    for name, known in (("rows", COLUMNS), ("schedule", SCHEDULES), ("precision", PRECISIONS)):
        if getattr(settings, name) not in known:
            parser.error(f"--{name} is one of: {', '.join(known)}")
    return settings


def of_the_job(settings: argparse.Namespace) -> dict[str, Any]:
    """What the result depends on."""
    return {name: getattr(settings, name) for name in SETTINGS if name not in FREE}
