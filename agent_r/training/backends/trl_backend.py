"""Fine-tuning with TRL on this machine: the script that `agent-r train-script` writes is run.

It lies in the job's folder with all settings filled in, so that what was run can be run again.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from agent_r.config import process_environment
from agent_r.errors import ExtraMissing, TrainerError
from agent_r.settings import TrainConfig, TrlConfig
from agent_r.training.backends.job_backend import Handle
from agent_r.training.backends.process_backend import CHILD, ROWS, ProcessBackend
from agent_r.training.backends.train_job import (
    TrainJob,
    TrainReport,
    draw,
    job_digest,
    new_model,
    partial,
    report_in,
    trained_model,
)
from agent_r.training.train_script import train_script

NEEDED = ("torch", "transformers", "trl", "peft", "accelerate")


class TrlBackend(ProcessBackend):
    """Any causal language model that Transformers loads; a killed job goes on from a checkpoint."""

    async def submit(self, job: TrainJob) -> Handle:
        require_trl()
        return await super().submit(job)

    def command(self, job: TrainJob) -> list[str]:
        rows, script = partial(job) / ROWS, partial(job) / "train.py"
        rows.write_text("".join(draw(job)), encoding="utf-8")
        values = script_values(job.config) | {
            "dataset": str(rows.absolute()),
            "model": start_of(job.model),
            "out": str(new_model(job).absolute()),
            "seed": job.seed,
            "checkpoint_s": job.checkpoint_s,
        }
        script.write_text(train_script(values), encoding="utf-8")
        processes = _trl(job.config).processes
        launch = ["-m", "accelerate.commands.launch", "--num_processes", str(processes)]
        return [sys.executable, *(launch if processes > 1 else []), str(script.absolute())]

    def environment(self, job: TrainJob) -> dict[str, str]:
        here = {"HF_HUB_OFFLINE": "1"} if job.model.exists() else {}
        return process_environment(CHILD | here | {"OMP_NUM_THREADS": str(job.config.threads)})

    def report(self, job: TrainJob, seconds: float) -> TrainReport:
        if (report := report_in(new_model(job))) is None:
            raise TrainerError(f"the training script left no model in {new_model(job)}")
        return report.model_copy(update={"digest": job_digest(job)})


def require_trl() -> None:
    """Raise `ExtraMissing` where TRL, or what it needs, is not installed."""
    if not all(importlib.util.find_spec(name) for name in NEEDED):
        raise ExtraMissing("fine-tuning with TRL", "train")


def script_values(config: TrainConfig) -> dict[str, object]:
    """The script's settings that are those of a config; where rows and model lie is not."""
    trl = _trl(config)
    same = "rows chat_template beta packing precision gradient_checkpointing device_rows attention"
    shared = "epochs learning_rate warmup schedule batch_tokens max_length"
    return {
        **{name: getattr(trl, name) for name in same.split()},
        **{name: getattr(config, name) for name in shared.split()},
        "lora": not trl.full,
        "rank": trl.lora.rank,
        "alpha": trl.lora.alpha,
        "dropout": trl.lora.dropout,
        "target_modules": ",".join(trl.lora.target_modules) or "all-linear",
        "merge": trl.lora.merge,
    }


def start_of(model: Path) -> str:
    """What a job starts from: weights in a folder, those of a folder whose are elsewhere, a name.

    Raises:
        TrainerError: nobody can load it: a server has it, and gives no weights out.
    """
    if not model.is_dir():
        return str(model)
    before = trained_model(model)
    if before.served == "name":
        raise TrainerError(f"the weights of {before.name or model} are nowhere to be trained on")
    there = any((model / name).is_file() for name in ("config.json", "adapter_config.json"))
    return str(model.absolute()) if there or not before.repo else before.repo.partition("@")[0]


def _trl(config: TrainConfig) -> TrlConfig:
    return config.trl or TrlConfig()
