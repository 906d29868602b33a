"""Training jobs of a tiny model, on a few conversations about nothing."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from agent_r.settings import TrainConfig
from agent_r.training.backends.train_job import Source, TrainJob
from agent_r.training.warm_start import make_model

WORDS = ["oak", "log", "plank", "stick", "bowl", "lamp", "wire", "sand"]


def conversation(rng: random.Random) -> list[dict[str, Any]]:
    messages = [{"role": "user", "content": f"Goal: {rng.choice(WORDS)}.", "train": False}]
    for _ in range(rng.randint(1, 4)):
        item = rng.choice(WORDS)
        trained = rng.random() < 0.8
        messages.append({"role": "assistant", "content": f"Action: get {item}", "train": trained})
        messages.append({"role": "user", "content": f"Got {item}", "train": False})
    messages[1]["train"] = True
    return messages


def write_rows(path: Path) -> Path:
    rng = random.Random(0)
    lines = [json.dumps({"messages": conversation(rng), "weight": 1.0}) for _ in range(300)]
    path.write_text("\n".join(lines) + "\n")
    return path


def tiny(tokenizer: Any, seed: int = 0) -> Any:
    return make_model(tokenizer, hidden=32, layers=2, heads=2, kv_heads=1, context=128, seed=seed)


def job_of(model: Path, rows: Path, out: Path, **changes: Any) -> TrainJob:
    settings: dict[str, Any] = {"epochs": 1, "batch_tokens": 512, "max_length": 128, "threads": 1}
    config = TrainConfig(**settings | changes.pop("config", {}))
    return TrainJob(
        model=model, sources=(Source(path=rows),), out=out, config=config, seed=1, **changes
    )


def long_job(model: Path, rows: Path, out: Path) -> TrainJob:
    """Long enough to be killed on the way: its first checkpoint is at its first step."""
    return job_of(model, rows, out, checkpoint_s=0, config={"epochs": 2})
