"""Average a model's weights before and after fine-tuning (WiSE-FT, arXiv 2109.01903).

A short fine-tuning run on few rows moves a small model further than the rows can justify; half way
back it keeps what it could do and most of what it learnt.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def average_with(model: PreTrainedModel, before: Path, *, share: float) -> None:
    """Move `model` in place to `share` of itself and the rest of the weights in `before`."""
    if share >= 1.0:
        return
    weights = {
        k: v for path in sorted(before.glob("*.safetensors")) for k, v in load_file(path).items()
    }
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name in weights:  # a tied weight is stored once
                value.lerp_(weights[name].to(value.dtype), 1.0 - share)
