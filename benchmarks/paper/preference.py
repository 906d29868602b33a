"""Direct preference optimisation on the pairs of an arm's versions, after its other training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent_r.algorithm.rows import Row
from agent_r.settings import TrainConfig, TrlConfig

LEARNING_RATE = 1e-5
_SIDES = ("prompt", "chosen", "rejected")


def conversations_of(pairs: Sequence[Row]) -> list[Row]:
    """Each pair as a row whose trained tokens are those of both its sides."""
    return [
        {
            "kind": "preference",
            "pair": {side: pair[side] for side in _SIDES},
            "messages": [
                *(message | {"train": False} for message in pair["prompt"]),
                *(pair[side][0] | {"train": True} for side in _SIDES[1:]),
            ],
        }
        for pair in pairs
    ]


def by_preference(config: TrainConfig) -> TrainConfig:
    """DPO of the whole model with TRL, for as many epochs as the training before it."""
    settings: dict[str, Any] = {
        "backend": "trl",
        "trl": TrlConfig(rows="preference", full=True, gradient_checkpointing=False),
        "learning_rate": LEARNING_RATE,
        "epochs": config.epochs,
        "batch_tokens": config.batch_tokens,
        "max_length": config.max_length,
        "threads": config.threads,
    }
    return TrainConfig(**settings)
