"""Compute a Llama's forward pass in float32; the caller supplies the attention.

Small models spend their time in dispatching operations, so the weights are rewritten once, at
loading: the norms' scales are folded into the matrices that follow them, query/key/value and
gate/up are one matrix each, and the two halves of a rotary pair lie side by side, so that the
rotation is one complex multiplication.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

Attend = Callable[[int, Tensor, Tensor], Tensor]
"""(layer, queries [tokens, kv_heads, group, head], new keys and values) -> [tokens, hidden]."""


class UnsupportedModel(ValueError):
    """The folder holds no model that this engine can run."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a Llama, under the names of its config.json."""

    vocab: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    context: int
    eps: float
    rope_theta: float
    tied: bool

    @property
    def group(self) -> int:
        """Query heads that share one key and value."""
        return self.heads // self.kv_heads

    @property
    def kv_width(self) -> int:
        """Floats that one token keeps in one layer: [key, value] of each head in turn."""
        return self.kv_heads * 2 * self.head_dim


@dataclass(frozen=True, slots=True)
class Layer:
    """One block's matrices, laid out [in, out]."""

    qkv: Tensor
    out: Tensor
    gate_up: Tensor
    down: Tensor


@dataclass(frozen=True, slots=True)
class Llama:
    """A loaded model: its shape and its weights, rewritten for the forward pass."""

    shape: Shape
    embed: Tensor  # [vocab, hidden]
    layers: tuple[Layer, ...]
    head: Tensor  # [hidden, vocab], the last norm folded in
    rotation: Tensor  # complex [context, heads + 2 * kv_heads, head_dim / 2]


def read_shape(folder: Path) -> Shape:
    """Read config.json, and refuse in one line a model that the forward cannot compute."""
    path = folder / "config.json"
    if not path.is_file():
        raise UnsupportedModel(f"{folder} is not a model folder: it has no config.json")
    config: dict[str, Any] = json.loads(path.read_text())
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    expected = {
        "model_type": (config.get("model_type"), "llama"),
        "hidden_act": (config.get("hidden_act", "silu"), "silu"),
        "rope_type": (rope.get("rope_type", rope.get("type", "default")), "default"),
        "attention_bias": (config.get("attention_bias") or False, False),
        "mlp_bias": (config.get("mlp_bias") or False, False),
    }
    for name, (found, wanted) in expected.items():
        if found != wanted:
            raise UnsupportedModel(
                f"{path}: {name} is {found!r}; only Llama models with {name} {wanted!r} are served"
            )
    heads = int(config["num_attention_heads"])
    return Shape(
        vocab=int(config["vocab_size"]),
        hidden=int(config["hidden_size"]),
        layers=int(config["num_hidden_layers"]),
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=int(config.get("head_dim") or config["hidden_size"] // heads),
        context=int(config.get("max_position_embeddings", 2048)),
        eps=float(config.get("rms_norm_eps", 1e-6)),
        rope_theta=float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0),
        tied=bool(config.get("tie_word_embeddings", False)),
    )


def load(folder: Path) -> Llama:
    """Load a Hugging Face-format Llama of any float type into fp32 matrices."""
    shape = read_shape(folder)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UnsupportedModel(f"{folder} has no .safetensors file")
    stored: dict[str, Tensor] = {}
    for file in files:
        stored |= {name: tensor.float() for name, tensor in load_file(file).items()}
    try:
        embed = stored["model.embed_tokens.weight"]
        head = embed if shape.tied else stored["lm_head.weight"]
        return Llama(
            shape=shape,
            embed=embed.contiguous(),
            layers=tuple(_layer(stored, shape, index) for index in range(shape.layers)),
            head=(head * stored["model.norm.weight"]).t().contiguous(),
            rotation=_rotation(shape),
        )
    except KeyError as missing:
        raise UnsupportedModel(f"{folder} lacks the tensor {missing}") from None


def _layer(stored: dict[str, Tensor], shape: Shape, index: int) -> Layer:
    def weight(name: str) -> Tensor:
        return stored[f"model.layers.{index}.{name}.weight"]

    def heads(name: str, count: int) -> Tensor:
        return weight(f"self_attn.{name}_proj").view(count, shape.head_dim, shape.hidden)

    key, value = heads("k", shape.kv_heads), heads("v", shape.kv_heads)
    kv = torch.stack([_paired(key), value], dim=1).reshape(-1, shape.hidden)
    query = _paired(heads("q", shape.heads)).reshape(-1, shape.hidden)
    gate_up = torch.cat([weight("mlp.gate_proj"), weight("mlp.up_proj")])
    return Layer(
        qkv=(torch.cat([query, kv]) * weight("input_layernorm")).t().contiguous(),
        out=weight("self_attn.o_proj").t().contiguous(),
        gate_up=(gate_up * weight("post_attention_layernorm")).t().contiguous(),
        down=weight("mlp.down_proj").t().contiguous(),
    )


def _paired(heads: Tensor) -> Tensor:
    """Reorder each head from [all first halves, all second halves] to pairs."""
    count, width, hidden = heads.shape
    return heads.view(count, 2, width // 2, hidden).transpose(1, 2).reshape(heads.shape)


def _rotation(shape: Shape) -> Tensor:
    """The rotary angles as complex numbers; the values' entries are 1, so one product does all."""
    half = torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim
    angles = torch.outer(torch.arange(shape.context).float(), 1.0 / shape.rope_theta**half)
    turn = torch.polar(torch.ones_like(angles), angles).unsqueeze(1)
    query = turn.expand(-1, shape.heads, -1)
    pair = torch.stack([turn, torch.ones_like(turn)], dim=2)
    kv = pair.expand(-1, shape.kv_heads, -1, -1).flatten(1, 2)
    return torch.cat([query, kv], dim=1).contiguous()


def hidden_states(
    model: Llama, tokens: Tensor, positions: Tensor, attend: Attend, *, keep: Tensor | None = None
) -> Tensor:
    """Run flat `tokens` through every layer.

    `keep` names the tokens whose states are wanted: the last layer then skips the others after
    its attention.
    """
    shape = model.shape
    query_width = shape.heads * shape.head_dim
    states = model.embed[tokens]
    turn = model.rotation[positions]
    for index, layer in enumerate(model.layers):
        qkv = F.rms_norm(states, (shape.hidden,), eps=shape.eps) @ layer.qkv
        pairs = torch.view_as_complex(qkv.view(*turn.shape, 2))
        qkv = torch.view_as_real(pairs * turn).view(len(tokens), -1)
        query = qkv[:, :query_width].view(-1, shape.kv_heads, shape.group, shape.head_dim)
        attended = attend(index, query, qkv[:, query_width:])
        if keep is not None and index == shape.layers - 1:
            states, attended = states[keep], attended[keep]
        states = torch.addmm(states, attended, layer.out)
        gate, up = (F.rms_norm(states, (shape.hidden,), eps=shape.eps) @ layer.gate_up).chunk(2, 1)
        states = torch.addmm(states, F.silu(gate) * up, layer.down)
    return states


def logits(model: Llama, states: Tensor) -> Tensor:
    """Scores of the next token, [states, vocab]."""
    return F.rms_norm(states, (model.shape.hidden,), eps=model.shape.eps) @ model.head


def causal_attention(query: Tensor, kv: Tensor, mask: Tensor) -> Tensor:
    """Attention of one sequence's newest tokens over all of it.

    Args:
        query: [new, kv_heads, group, head]
        kv: [columns, kv_heads, 2, head], the new tokens among them
        mask: [new, columns], added to the scores
    """
    key, value = kv.transpose(0, 1).unbind(2)
    group = (-1, query.shape[2], -1, -1)
    # The key heads are expanded as a view: a group of queries reads one copy.
    attended = F.scaled_dot_product_attention(
        query.permute(1, 2, 0, 3),
        key.unsqueeze(1).expand(group),
        value.unsqueeze(1).expand(group),
        attn_mask=mask,
    )
    return attended.permute(2, 0, 1, 3).flatten(1)


def causal_mask(start: int, new: int, columns: int) -> Tensor:
    """0 where each of `new` tokens from position `start` on may look, -inf after it."""
    return torch.full((new, columns), -torch.inf).triu(start + 1)
