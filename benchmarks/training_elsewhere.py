"""`self-train` of two iterations where the model is trained elsewhere, killed in each job or not.

    python benchmarks/training_elsewhere.py benchmarks/results/training_elsewhere.json

The provider and the Hub are servers on loopback (tests/support). A job at the Hub is a process:
the training script itself, on this machine. Each loop is run twice: once to its end, and once with
`kill -9` of our process in the middle of each job and the same command again. What both report must
be the same, and the jobs as many.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_r.config import dotted
from tests.support.crafting_model import crafting
from tests.support.faulty_endpoint import KEY
from tests.support.fine_tuning_server import FineTuningServer
from tests.support.hub_server import WRITE, LoopbackHub

SMALL: dict[str, Any] = {
    "iterations": 2,
    "trees": 6,
    "search": {"simulations": 4, "candidates": 2, "max_depth": 8},
    "measure": {"tasks": 4, "recovery_tasks": 0, "robustness_tasks": 0, "max_steps": 4},
}


@dataclass(frozen=True)
class Place:
    """Where a loop's jobs run: its settings, its environment, and the jobs begun there by now."""

    config: dict[str, Any]
    env: dict[str, str]
    begun: Callable[[], int]
    at_work: Callable[[], bool]


@contextmanager
def provider(folder: Path) -> Iterator[Place]:
    rates = {"tiny": 0.5, "ft:ftjob-2:org:agent-r:ftjob-4": 0.0}
    states = ["validating_files", "queued", *["running"] * 7, "succeeded"]
    with FineTuningServer(states, says=crafting(lambda name: rates.get(name, 0.25))) as server:
        table = {"base_url": server.base_url, "api_key_env": "PROVIDER_KEY"}
        config = {
            "endpoint": {"kind": "openai", "base_url": server.base_url, "model": "tiny"},
            "train": {"backend": "provider", "provider": table},
        }
        yield Place(
            config,
            {"PROVIDER_KEY": KEY},
            lambda: len(server.jobs),
            lambda: any(job["status"] == "running" for job in server.jobs.values()),
        )


@contextmanager
def hub(folder: Path) -> Iterator[Place]:
    with LoopbackHub(folder / "hub", xet=True) as hub:
        table = {"repo": "acme/actor", "flavor": "cpu-basic", "endpoint": hub.url}
        trl = {"full": True, "precision": "fp32", "gradient_checkpointing": False}
        config = {
            "endpoint": {"kind": "embedded"},
            "train": {
                "backend": "hf-jobs",
                "hf_jobs": table,
                "trl": trl,
                "epochs": 1,
                "max_length": 1024,
                "batch_tokens": 3072,
                "learning_rate": 1e-4,
            },
        }
        yield Place(
            config,
            {"HF_TOKEN": WRITE, "HF_XET_CACHE": str(folder / "xet"), "NO_PROXY": "127.0.0.1"},
            lambda: len(hub.desk.jobs),
            lambda: any(job.stage == "RUNNING" for job in list(hub.desk.jobs.values())),
        )


def self_train(place: Place, folder: Path, *, kills: bool) -> dict[str, Any]:
    """Run the loop to its end; with `kills`, our process is killed once in each job."""
    dataset = {"name": "loop", "out": str(folder)}
    path = folder / "loop.toml"
    settings = dotted(SMALL | place.config | {"dataset": dataset})
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
    begun, killed, tries = place.begun(), set[int](), 0
    while True:
        tries += 1
        process = start(path, place, folder / f"output-{tries}.txt")
        while process.poll() is None:
            jobs = place.begun() - begun
            if kills and jobs and jobs not in killed and place.at_work():
                killed.add(jobs)
                time.sleep(1.0)  # well inside the job, and its handle written
                os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.05)
        if process.returncode != -signal.SIGKILL:
            break
    if process.returncode:
        raise SystemExit((folder / f"output-{tries}.txt").read_text()[-2000:])
    report = json.loads((folder / "loop" / "report.json").read_text())
    return {
        "kills": len(killed),
        "jobs": place.begun() - begun,
        "success": [report["start"]["success"]["rate"]]
        + [it["measured"]["success"]["rate"] for it in report["iterations"]],
        "iterations": [
            {
                "version": it["built"]["dataset"]["digest"],
                "rows": it["training_rows"],
                "loss": [it["loss_first"], it["loss_last"]],
                "steps": it["training"]["losses"],
                "money": it["training"]["money"],
                "served": it.get("served"),
            }
            for it in report["iterations"]
        ],
    }


def start(path: Path, place: Place, output: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "flows.cli", "self-train", "--config", str(path)]
    patient = {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180"}
    env = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"} | patient | place.env
    with output.open("wb") as file:
        return subprocess.Popen(words, env=env, stdout=file, stderr=file)


def main() -> None:
    results: dict[str, Any] = {}
    for name, where in {"provider": provider, "hf-jobs": hub}.items():
        loops = {}
        for kills in (False, True):
            folder = Path(tempfile.mkdtemp(prefix="agent-r-elsewhere-"))
            with where(folder) as place:
                loops["killed" if kills else "whole"] = self_train(place, folder, kills=kills)
            shutil.rmtree(folder)
        same = {k: v for k, v in loops["whole"].items() if k != "kills"} == {
            k: v for k, v in loops["killed"].items() if k != "kills"
        }
        results[name] = loops | {"the same": same}
        print(name, json.dumps(results[name], indent=1), flush=True)
    Path(sys.argv[1]).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
