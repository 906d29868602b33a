"""The folder of the result."""

from __future__ import annotations

import argparse
import json
import math
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import HfApi
from peft import PeftModel

from agent_r.training.script.checkpoints import RunClock
from agent_r.training.script.examples import Counts
from agent_r.training.script.script_settings import Refusal, of_the_job, one_line
from agent_r.training.script.trainers import base_of, load_model

REPORT = "done.json"


def job_name(settings: argparse.Namespace) -> str:
    """A job by what its result depends on."""
    text = json.dumps(of_the_job(settings), sort_keys=True)
    return sha256(text.encode()).hexdigest()[:16]


def finished(out: Path, settings: argparse.Namespace) -> bool:
    """Whether the result of this job is there."""
    if not out.exists():
        return False
    try:
        report = json.loads((out / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise Refusal(f"{out} is in the way: move it, or name another --out") from None
    if report["digest"] != job_name(settings):
        raise Refusal(f"{out} holds the result of another job: move it, or name another --out")
    return True


def finish(
    settings: argparse.Namespace, tokenizer: Any, work: Path, counts: Counts, clock: RunClock
) -> None:
    """Put the model, or the adapter, in its place in one rename."""
    result, out = work / "result", Path(settings.out)
    shutil.rmtree(result, ignore_errors=True)
    if settings.lora and not settings.merge:
        result.mkdir()
        for path in (work / "trained").glob("adapter_*"):
            shutil.copy(path, result)
    else:
        whole_model(settings, work / "trained").save_pretrained(result)
    tokenizer.save_pretrained(result)
    steps = [{"step": at, "loss": loss} for at, loss in enumerate(clock.losses, 1)]
    lines = "".join(json.dumps(step) + "\n" for step in steps)
    (result / "loss.jsonl").write_text(lines, encoding="utf-8")
    report = report_of(settings, counts, clock)
    (result / "README.md").write_text(card(settings, report), encoding="utf-8")
    (result / REPORT).write_text(json.dumps(report, indent=1), encoding="utf-8")
    result.rename(out)
    shutil.rmtree(work, ignore_errors=True)
    print(f"{out}: loss {report['first_loss']:.3f} → {report['last_loss']:.3f}, "
          f"{report['seconds']:.0f} s")  # fmt: skip


def report_of(settings: argparse.Namespace, counts: Counts, clock: RunClock) -> dict[str, Any]:
    """What was done, for machines."""
    tenth = math.ceil(len(clock.losses) / 10)
    adapter = {"served": "adapter", "base": base_of(settings.model)[0]}
    return {
        "digest": job_name(settings),
        "rows": counts.rows,
        "too_long": counts.too_long,
        "untrained": counts.untrained,
        "steps": len(clock.losses),
        "tokens": counts.tokens,
        "trained_tokens": counts.trained_tokens,
        "longest_reply": counts.longest_reply,
        "seconds": round(clock.seconds, 1),
        "cpu_seconds": round(clock.cpu_seconds, 1),
        "first_loss": sum(clock.losses[:tenth]) / tenth,
        "last_loss": sum(clock.losses[-tenth:]) / tenth,
        "resumed_at": clock.resumed_at,
        "model": adapter if settings.lora and not settings.merge else {"served": "folder"},
    }


def card(settings: argparse.Namespace, report: dict[str, Any]) -> str:
    """What was done, for people; the Hub shows it."""
    base, _ = base_of(settings.model)
    where = " ".join(filter(None, (settings.dataset, settings.tag, settings.digest[:12])))
    head = "" if Path(base).exists() else f"base_model: {base}\n"
    filled = ((name, value) for name, value in of_the_job(settings).items() if value != "")
    settings_of_it = "".join(f"| {name} | {value} |\n" for name, value in filled)
    return (
        f"---\nlibrary_name: {'transformers' if settings.merge else 'peft'}\n{head}---\n\n"
        f"# {Path(base).name}, fine-tuned\n\nTrained on {report['rows']:,} rows of `{where}`; "
        f"the loss went from {report['first_loss']:.3f} to {report['last_loss']:.3f}.\n\n"
        f"| setting | |\n|---|---|\n{settings_of_it}"
    )


def whole_model(settings: argparse.Namespace, trained: Path) -> Any:
    """The trained model in the precision that the one of before is stored in."""
    base, _ = base_of(settings.model)
    stored = transformers.AutoConfig.from_pretrained(base).dtype or torch.float32
    if not settings.lora:
        return load_model(str(trained), stored, settings)
    model = PeftModel.from_pretrained(load_model(base, torch.float32, settings), trained)
    return model.merge_and_unload().to(stored)


def publish(out: Path, repository: str) -> None:
    """One commit to a repository on the Hub; a new one is private."""
    if not repository:
        return
    with one_line(f"cannot publish to {repository}; the result is in {out}"):
        hub = HfApi()
        hub.create_repo(repository, private=True, exist_ok=True)
        commit = hub.upload_folder(repo_id=repository, folder_path=out, commit_message="Fine-tuned")
        print(f"published: {repository}@{commit.oid}")
