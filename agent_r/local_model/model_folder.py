"""A model folder's name and identity, and the folder that comes with the package."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from math import prod
from pathlib import Path

from agent_r.config import digest
from agent_r.errors import StoreError
from agent_r.files import sha256

PACKAGED = (
    Path(__file__).parent / "checkpoint"
)  # made by `agent-r warm-start`; its log is beside it
_PARTS = (".safetensors", ".json", ".jinja", ".model", ".txt")
_REPORT = "done.json"  # of its training: it says how long that took


def model_name(folder: Path) -> str:
    """Name a model by the digest of its weights: two models never share a name.

    Raises:
        StoreError: there is no model in the folder.
    """
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise StoreError(f"{folder} holds no model: model.safetensors is missing")
    return f"agent-r-{_content(weights, weights.stat())[:8]}"


def model_digest(folder: Path) -> str:
    """Digest all that a model's replies depend on: weights, configuration, tokenizer, template.

    Raises:
        StoreError: there is no model in the folder.
    """
    model_name(folder)
    parts = sorted(
        path for path in folder.iterdir() if path.suffix in _PARTS and path.name != _REPORT
    )
    return digest(*(f"{path.name}:{_content(path, path.stat())}" for path in parts))


def parameters(folder: Path) -> int:
    """How many numbers a model's weights are, as the head of their file says."""
    with (folder / "model.safetensors").open("rb") as file:
        head = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(prod(tensor["shape"]) for name, tensor in head.items() if name != "__metadata__")


@lru_cache(maxsize=256)
def _content(path: Path, state: os.stat_result) -> str:
    """A file's digest; `state` is what changes with the file."""
    return sha256(path)
