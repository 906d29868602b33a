"""Facts about weights between two models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from agent_r.training.averaging import average_with


def tiny(seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=32,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            tie_word_embeddings=True,
        )
    )


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_every_weight_lies_between_the_two(tmp_path: Path, share: float) -> None:
    before, after = tiny(0), tiny(1)
    before.save_pretrained(tmp_path)
    wanted = {
        name: share * new + (1 - share) * dict(before.named_parameters())[name]
        for name, new in after.named_parameters()
    }
    wanted = {name: value.detach().clone() for name, value in wanted.items()}
    average_with(after, tmp_path, share=share)
    for name, value in after.named_parameters():
        torch.testing.assert_close(value, wanted[name])
