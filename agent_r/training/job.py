"""The training job: `python -m agent_r.training.job JOB.json`.

One plain loop for the warm start and for fine-tuning. Batches hold a budget of tokens, cut from
rows of like length; the loss is the mean over the trained tokens of a batch. Everything follows
from the job's seed, and a job that was killed goes on from its checkpoint as if it had not been.
Standard output is JSON lines of progress; the last line of standard error says what went wrong.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as transformers_logging

from agent_r.errors import AgentRError, TrainerError
from agent_r.files import write_jsonl
from agent_r.training.averaging import average_with
from agent_r.training.backends import train_job
from agent_r.training.backends.train_job import TrainingProgress, TrainJob, TrainReport
from agent_r.training.encoding import IGNORED, Encoded, encode_rows, plan_batches

_ADAM_SHARE = 0.8  # AdamW's rate beside Muon's, for what is no hidden matrix
_CHECKPOINT_COST = 0.03  # of the time, at most, is spent on checkpoints
_PROGRESS_S = 1.0


@dataclass(slots=True)
class Run:
    """What changes while a job runs; all of it is in the checkpoint."""

    model: PreTrainedModel
    optimizers: list[torch.optim.Optimizer]
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    losses: list[float] = field(default_factory=list)

    def save(self, path: Path) -> None:
        counters = {n: getattr(self, n) for n in self.__slots__ if n not in ("model", "optimizers")}
        state = {
            "counters": counters,
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "rng": torch.get_rng_state(),
        }
        fresh = path.with_suffix(".new")
        torch.save(state, fresh)
        fresh.rename(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        torch.set_rng_state(state["rng"])
        for name, value in state["counters"].items():
            setattr(self, name, value)


def run(job: TrainJob) -> TrainReport:
    """Train, and leave the model and its report at `new_model`."""
    done = train_job.report_in(train_job.new_model(job))
    if done is not None:
        return done
    name, lines = train_job.job_digest(job), train_job.draw(job)
    torch.manual_seed(job.seed)
    model, tokenizer = load_model(job.model)
    encoded = encode_rows(tokenizer, _conversations(lines), job.config.max_length)
    if not encoded.rows:
        raise TrainerError(
            f"no row can be trained on: {encoded.untrained} have no trained token, "
            f"{encoded.too_long} are longer than {job.config.max_length} tokens"
        )
    here = Run(model, make_optimizers(model, job.config.optimizer, job.config.learning_rate))
    checkpoint = train_job.partial(job) / "checkpoint.pt"
    if checkpoint.exists():
        here.load(checkpoint)
    resumed_at = here.step
    train(here, encoded.rows, job, checkpoint)
    average_with(model, job.model, share=job.config.average)
    save_model(model, tokenizer, train_job.new_model(job))
    first, last = train_job.ends_of(here.losses)
    losses = [{"step": i, "loss": x} for i, x in enumerate(here.losses, 1)]
    write_jsonl(train_job.new_model(job) / train_job.LOSSES, losses)
    report = TrainReport(
        digest=name,
        rows=len(lines),
        too_long=encoded.too_long,
        untrained=encoded.untrained,
        steps=here.step,
        tokens=here.tokens,
        trained_tokens=job.config.epochs * sum(row.trained for row in encoded.rows),
        longest_reply=max(row.longest_reply for row in encoded.rows),
        seconds=round(here.seconds, 1),
        cpu_seconds=round(here.cpu_seconds, 1),
        first_loss=first,
        last_loss=last,
        resumed_at=resumed_at,
    )
    return train_job.leave(job, report)


def _conversations(lines: list[str]) -> list[list[dict[str, Any]]]:
    try:
        return [json.loads(line)["messages"] for line in lines]
    except (ValueError, KeyError, TypeError) as error:
        raise TrainerError(f"a training row is no JSON object with messages: {error!r}") from error


def load_model(folder: Path) -> tuple[PreTrainedModel, Any]:
    """A model in float32, and its tokenizer; weights that are missing are not made up."""
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        problem = str(error).strip().split("\n")[0]
        raise TrainerError(f"cannot load a model from {folder}: {problem}") from error
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise TrainerError(f"{folder} lacks {len(missing)} weights, {missing[0]} for one")
    if not tokenizer.chat_template:
        raise TrainerError(f"the tokenizer in {folder} has no chat template")
    return model, tokenizer


def save_model(model: PreTrainedModel, tokenizer: Any, folder: Path) -> None:
    """Weights in bfloat16: half the size, and a loss that differs in the fourth digit."""
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_optimizers(
    model: PreTrainedModel, name: str, learning_rate: float
) -> list[torch.optim.Optimizer]:
    """AdamW for all, or Muon for the hidden matrices and AdamW for the rest.

    Muon orthogonalises a matrix's update; embeddings, the output head and vectors are not for it.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    if name == "adamw":
        return [torch.optim.AdamW(trained, lr=learning_rate, betas=(0.9, 0.95))]
    ends = [model.get_input_embeddings(), model.get_output_embeddings()]
    excluded = {p for end in ends for p in end.parameters()}
    hidden = [p for p in trained if p.ndim == 2 and p not in excluded]
    others = [p for p in trained if p.ndim != 2 or p in excluded]
    return [
        torch.optim.Muon(hidden, lr=learning_rate, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=_ADAM_SHARE * learning_rate, betas=(0.9, 0.95)),
    ]


def batch_loss(model: PreTrainedModel, rows: Sequence[Encoded], masked_weight: float) -> Tensor:
    """Mean cross entropy of a batch's trained tokens; context counts with `masked_weight`.

    Rows are padded on the right and no attention mask is made: what a causal model sees at a
    token lies before it. Logits are computed only where a loss is.
    """
    width = max(len(row.input_ids) for row in rows)
    ids = torch.tensor([row.input_ids + [0] * (width - len(row.input_ids)) for row in rows])
    weights = torch.tensor([_weights(row, width, masked_weight) for row in rows])[:, 1:]
    kept = torch.nn.functional.pad(weights > 0, (0, 1))
    targets, weights = ids[:, 1:][weights > 0], weights[weights > 0]
    head = model.get_output_embeddings().register_forward_pre_hook(lambda _, args: (args[0][kept],))
    try:
        logits = model(input_ids=ids, use_cache=False).logits
    finally:
        head.remove()
    losses = cross_entropy(logits.float(), targets, reduction="none")
    return (losses * weights).sum() / weights.sum()


def _weights(row: Encoded, width: int, masked: float) -> list[float]:
    weights = [masked if label == IGNORED else 1.0 for label in row.labels]
    return weights + [0.0] * (width - len(weights))


def schedule(step: int, of: int, warmup: float, shape: str = "cosine") -> float:
    """The share of the learning rate at a step, from 0: a linear rise, then the shape's fall."""
    rising = max(1, round(warmup * of))
    if step < rising:
        return (step + 1) / rising
    gone = (step - rising) / max(1, of - rising)
    falls = {"cosine": 0.5 * (1 + math.cos(math.pi * gone)), "linear": 1 - gone, "constant": 1.0}
    return falls[shape]


def train(here: Run, rows: list[Encoded], job: TrainJob, checkpoint: Path) -> None:
    """Run the steps that are left, with a checkpoint now and then."""
    config = job.config
    lengths = [len(row.input_ids) for row in rows]
    plan = plan_batches(lengths, tokens=config.batch_tokens, epochs=config.epochs, seed=job.seed)
    here.model.train()
    clock = Clock(here, checkpoint_s=job.checkpoint_s)
    for batch in plan[here.step :]:
        scale = schedule(here.step, len(plan), config.warmup, config.schedule)
        loss = batch_loss(here.model, [rows[i] for i in batch], job.masked_weight)
        update(here, loss, scale)
        here.tokens += sum(lengths[i] for i in batch)
        clock.tick(len(plan))
        if clock.checkpoint_is_due():
            clock.spend(lambda: here.save(checkpoint))


def update(here: Run, loss: Tensor, scale: float) -> None:
    """One step of the optimizers, its gradient clipped to length 1."""
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(here.model.parameters(), 1.0)
    for optimizer in here.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = scale * group.setdefault("initial_lr", group["lr"])
        optimizer.step()
        optimizer.zero_grad()
    here.step += 1
    here.losses.append(round(loss.item(), 5))
    if not math.isfinite(here.losses[-1]):
        raise TrainerError(
            f"the loss is {loss.item()} at step {here.step}: lower the learning rate"
        )


class Clock:
    """Adds up a run's time over its interruptions; says when to speak and when to save."""

    def __init__(self, here: Run, *, checkpoint_s: float) -> None:
        self.here = here
        self._wall, self._cpu = time.monotonic(), time.process_time()
        self._printed, self._saved = self._wall, self._wall
        self._least = self._every = checkpoint_s

    def tick(self, of: int) -> None:
        """Account for the time since the last tick; print a line of progress if it is time."""
        here, wall, cpu = self.here, time.monotonic(), time.process_time()
        here.seconds += wall - self._wall
        here.cpu_seconds += cpu - self._cpu
        self._wall, self._cpu = wall, cpu
        if wall - self._printed < _PROGRESS_S and here.step < of:
            return
        self._printed = wall
        recent = here.losses[-20:]
        loss, rate = sum(recent) / len(recent), here.tokens / here.seconds
        progress = TrainingProgress(
            step=here.step, of=of, loss=loss, tokens=here.tokens, tokens_per_s=rate
        )
        sys.stdout.write(progress.model_dump_json() + "\n")
        sys.stdout.flush()

    def checkpoint_is_due(self) -> bool:
        return time.monotonic() - self._saved >= self._every

    def spend(self, save: Callable[[], None]) -> None:
        """Save; what was slow to save is saved less often."""
        begun = time.monotonic()
        save()
        self._saved = time.monotonic()
        self._every = max(self._least, (self._saved - begun) / _CHECKPOINT_COST)


def main(arguments: Sequence[str]) -> int:
    """Run the job of a file."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        run(TrainJob.model_validate_json(Path(arguments[0]).read_bytes()))
    except AgentRError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
