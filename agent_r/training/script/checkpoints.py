"""A run of the trainer: what it says, what it keeps, and where it goes on from."""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback

from agent_r.training.script.examples import length
from agent_r.training.script.script_settings import Refusal, one_line
from agent_r.training.script.trainers import make_trainer
from agent_r.training.script.training_order import Plan

WHOLE = "whole.json"  # in a checkpoint that was written to its end
COST = 0.03  # of the time, at most, is spent on checkpoints


@dataclass
class RunClock(TrainerCallback):  # type: ignore[misc]
    """Says how far a run is, and when its state is to be kept; adds up its interruptions."""

    laid: Plan
    every: float  # seconds between checkpoints
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    resumed_at: int = 0
    began: bool = False
    losses: list[float] = field(default_factory=list)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.losses = [x["loss"] for x in state.log_history if "loss" in x]
        self.resumed_at = state.global_step
        self.tokens = list(accumulate(length(self.laid.examples[at]) for at in self.laid.order))
        self.began = True
        self.wall, self.cpu = time.monotonic(), time.process_time()
        self.spoken = self.saved = self.wall

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if "loss" not in (logs or {}):
            return
        self.losses.append(logs["loss"])
        if not math.isfinite(logs["loss"]):
            raise Refusal(
                f"the loss is {logs['loss']} at step {state.global_step}: lower --learning-rate"
            )
        now = time.monotonic()
        self.seconds += now - self.wall
        self.cpu_seconds += time.process_time() - self.cpu
        self.wall, self.cpu = now, time.process_time()
        if state.is_world_process_zero and (
            now - self.spoken >= 1.0 or state.global_step == self.laid.steps
        ):
            self.spoken = now
            seen = min(state.global_step * self.laid.step_rows, len(self.tokens))
            recent, tokens = self.losses[-20:], self.tokens[seen - 1]
            line = {
                "step": state.global_step,
                "of": self.laid.steps,
                "loss": sum(recent) / len(recent),
                "tokens": tokens,
                "tokens_per_s": tokens / max(self.seconds, 1e-9),
            }
            print(json.dumps(line), flush=True)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        due = [time.monotonic() - self.saved >= self.every and state.global_step < self.laid.steps]
        if args.world_size > 1:
            broadcast_object_list(due)  # all of them save, or none
        control.should_save, self.saving = due[0], time.monotonic()

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A checkpoint is whole once this mark is in it."""
        self.saved = time.monotonic()
        self.every = max(self.every, (self.saved - self.saving) / COST)
        if state.is_world_process_zero:
            spent = {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds}
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            (folder / "mark").write_text(json.dumps(spent), encoding="utf-8")
            (folder / "mark").rename(folder / WHOLE)


def last_checkpoint(work: Path) -> Path | None:
    """The newest one that was written to its end."""
    found = [path.parent for path in work.glob(f"checkpoint-*/{WHOLE}")]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def fit(settings: argparse.Namespace, tokenizer: Any, laid: Plan, work: Path, *, bf16: bool) -> Any:
    """Run the steps that are left, from the last checkpoint on; what was trained is in `work`."""
    with one_line("cannot begin"):
        trainer = make_trainer(settings, tokenizer, laid, work, bf16=bf16)
    clock = RunClock(laid, settings.checkpoint_s)
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.add_callback(clock)
    checkpoint = last_checkpoint(work)
    if checkpoint:
        spent = json.loads((checkpoint / WHOLE).read_text(encoding="utf-8"))
        clock.seconds, clock.cpu_seconds = spent["seconds"], spent["cpu_seconds"]
        if trainer.is_world_process_zero():
            print(f"going on from {checkpoint}", flush=True)
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except torch.OutOfMemoryError:
        raise Refusal(
            "out of memory: lower --device-rows (the result stays the same) or --max-length; "
            "--gradient-checkpointing and --lora need less"
        ) from None
    except Exception as error:
        if clock.began or not checkpoint:
            raise
        raise Refusal(
            f"cannot go on from {checkpoint}: delete it, and the run goes on from the one before"
        ) from error
    trainer.save_model(str(work / "trained"))
    return clock
