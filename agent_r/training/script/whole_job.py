"""The whole job, from the rows to the folder of the result."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from accelerate import PartialState
from filelock import FileLock, Timeout

from agent_r.training.script.checkpoints import fit
from agent_r.training.script.examples import Counts, examples_of
from agent_r.training.script.outcome import finish, finished, publish
from agent_r.training.script.rendering import Rendering, rendering_for
from agent_r.training.script.script_settings import Refusal, of_the_job, one_line, read_settings
from agent_r.training.script.trainers import bf16_is_used, has_gpu, load_tokenizer
from agent_r.training.script.training_order import Plan, plan
from agent_r.training.script.version_rows import conversations, read_rows

FEW_STEPS = 20  # a model hardly moves in fewer


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; what goes wrong is one line on standard error."""
    settings = read_settings(arguments)
    try:
        train(settings)
    except Refusal as refusal:
        print(f"train: {refusal}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("train: stopped; the same command goes on", file=sys.stderr)
        return 130
    return 0


def train(settings: argparse.Namespace) -> None:
    """The whole job, from the rows to the folder of the result."""
    out = Path(settings.out)
    work = out.with_name(out.name + ".partial")
    if finished(out, settings):
        print(f"{out} is there already: nothing is left to train")
        return publish(out, settings.push)
    quieten()
    bf16 = bf16_is_used(settings)
    process = PartialState(cpu=not has_gpu())
    refuse_one_process_on_many_gpus(process)
    tokenizer = load_tokenizer(settings)
    rows = [conversations(row, settings.rows) for row in read_rows(settings)]
    rendering = rendering_for(tokenizer, [one for row in rows for one in row])
    examples, counts = examples_of(rendering, rows, settings)
    laid = plan(examples, settings, process.num_processes)
    with alone(work, process):
        if process.is_main_process:
            begin(work, settings, laid)
            tell(settings, rendering, counts, laid, process, bf16=bf16)
        process.wait_for_everyone()
        clock = fit(settings, tokenizer, laid, work, bf16=bf16)
        if process.is_main_process:
            finish(settings, tokenizer, work, counts, clock)
            publish(out, settings.push)


@contextmanager
def alone(work: Path, process: Any) -> Iterator[None]:
    """No other run works in the folder meanwhile."""
    if not process.is_main_process:
        yield
        return
    with one_line(f"cannot write to {work}"):
        work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / "lock", timeout=0):
            yield
    except Timeout:
        raise Refusal(f"another run is training in {work}: wait for it, or end it") from None


def begin(work: Path, settings: argparse.Namespace, laid: Plan) -> None:
    """Another job's checkpoints are not gone on from."""
    written, job = work / "job.json", of_the_job(settings) | {"step_rows": laid.step_rows}
    with one_line(f"cannot write to {work}"):
        if written.exists() and json.loads(written.read_text(encoding="utf-8")) != job:
            raise Refusal(f"{work} holds a job of other settings: delete it, or name another --out")
        written.write_text(json.dumps(job, indent=1), encoding="utf-8")


def tell(
    settings: argparse.Namespace,
    rendering: Rendering,
    counts: Counts,
    laid: Plan,
    process: Any,
    *,
    bf16: bool,
) -> None:
    """What is going to be done, for people."""
    whose = "TRL's for training" if rendering.source else "the model's own"
    more = ", the instruction in the first user turn" if rendering.fold else ""
    if not rendering.whole:
        more += "; it renders earlier turns differently when later ones follow, so each trained "
        more += "reply is a row of its own, with the prompt that the model will really see"
    left_out = counts.too_long + counts.untrained
    share = counts.trained_tokens / counts.tokens
    print(f"rows      {counts.rows:,} of {settings.rows}; left out: {left_out:,} "
          f"({counts.too_long:,} longer than {settings.max_length:,} tokens, "
          f"{counts.untrained:,} without a trained token)")  # fmt: skip
    print(f"template  {whose}{more}")
    print(f"training  {counts.examples:,} examples × {settings.epochs}: {counts.tokens:,} tokens, "
          f"{share:.0%} of them trained")  # fmt: skip
    print(f"steps     {laid.steps:,}, of {laid.step_rows} rows each")
    if laid.steps < FEW_STEPS:
        print(f"          these are few steps: lower --batch-tokens ({settings.batch_tokens:,})")
    print(f"machine   {process.num_processes} × {process.device.type}, "
          f"{'bf16' if bf16 else 'fp32'}, {'LoRA' if settings.lora else 'all weights'}",
          flush=True)  # fmt: skip


def refuse_one_process_on_many_gpus(process: Any) -> None:
    """Several GPUs want a process each."""
    seen = torch.accelerator.device_count() if has_gpu() else 1
    if process.num_processes == 1 and seen > 1:
        raise Refusal(
            f"{seen} GPUs are to be seen: start it with `accelerate launch --num_processes {seen} "
            f"{Path(sys.argv[0]).name}`, or show one alone (CUDA_VISIBLE_DEVICES=0)"
        )


def quieten() -> None:
    """No progress bars and no warnings of libraries among the lines of progress."""
    warnings.simplefilter("ignore", FutureWarning)  # of one library to another
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()


if __name__ == "__main__":
    sys.exit(main())
