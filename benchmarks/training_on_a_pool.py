"""Two iterations of self-train, its run killed by -9 in the middle of each fine-tuning job.

    python -m benchmarks.training_on_a_pool > benchmarks/results/training_on_a_pool.txt

Three times, with the embedded actor: with the jobs on a Prefect pool of their own (a real server,
a worker of the pool `gpu`) and killed twice; with local jobs and killed twice; and in peace. All
are to end with the same rows, curves, weights and measurements, and with one run a job on the pool.
Some five minutes on two idle cores.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from agent_r.digests import sha256_of
from tests.support.nightly import as_toml
from tests.support.prefect_server import Server, started

SERVER = "prefect server start --host 127.0.0.1 --port 4200"
GPU = {"name": "gpu", "entrypoint": "flows.fine_tune.fine_tune", "work_pool": {"name": "gpu"}}
TRAIN: dict[str, Any] = {"epochs": 1, "batch_tokens": 1024, "learning_rate": 1e-3, "threads": 1,
                         "general": "demonstrations", "general_rows": 300}  # fmt: skip
CONFIG: dict[str, Any] = {
    "seed": 0,
    "iterations": 2,
    "trees": 16,
    "search": {"simulations": 6, "max_depth": 10},
    "measure": {"tasks": 10, "recovery_tasks": 5, "robustness_tasks": 0, "max_steps": 10},
}
PLACES: dict[str, dict[str, Any]] = {
    "pool": {"pool": {"deployment": "fine-tune/gpu"}},
    "local": {},
    "peace": {},
}


class Loop:
    """Self-train from a terminal, in a folder of its own."""

    def __init__(self, server: Server, name: str) -> None:
        self.name, self.work = name, server.folder / "datasets_out" / name / "work"
        self._server = server
        self._settings = server.folder / f"{name}.toml"
        config = CONFIG | {"dataset": {"name": name}, "train": TRAIN | PLACES[name]}
        self._settings.write_text(as_toml(config), encoding="utf-8")

    def begin(self) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "flows.cli", "self-train", "--config", str(self._settings)]
        environment = self._server.environment | {"OMP_WAIT_POLICY": "PASSIVE"}
        with (self._settings.with_suffix(".err")).open("ab") as errors:
            return subprocess.Popen(words, cwd=self._server.folder, env=environment,
                                    stdout=subprocess.DEVNULL, stderr=errors)  # fmt: skip

    def killed(self, iteration: int) -> str:
        """Kill it once the job of an iteration has made a step; the last that the job said."""
        run, line = self.begin(), ""
        while not line:
            assert run.poll() is None, f"{self.name} ended before it could be killed"
            time.sleep(0.1)
            line = self._progress(iteration)
        run.kill()
        run.wait()
        return line

    def _progress(self, iteration: int) -> str:
        for name in ("output.txt", "model.log"):
            for log in self.work.glob(f"model-{iteration}-*.partial/**/{name}"):
                with contextlib.suppress(OSError):
                    lines = log.read_text(encoding="utf-8").splitlines()
                    if steps := [line for line in lines if '"step"' in line]:
                        return steps[-1]
        return ""

    def facts(self) -> dict[str, Any]:
        """What it came to, whenever and wherever that was."""
        report = json.loads((self.work.parent / "report.json").read_text(encoding="utf-8"))
        return {
            "measured": [report["start"]["rewards"]]
            + [it["measured"]["rewards"] for it in report["iterations"]],
            "jobs": [
                {
                    "rows": it["training_rows"],
                    "version": it["built"]["dataset"]["digest"][:12],
                    "steps": it["training"]["steps"],
                    "loss": [round(it[end], 4) for end in ("loss_first", "loss_last")],
                    "curve": sha256_of(json.dumps(it["training"]["losses"]), 12),
                    "weights": sha256_of(weights(self.work, it["iteration"]), 12),
                }
                for it in report["iterations"]
            ],
        }


def weights(work: Path, iteration: int) -> bytes:
    [file] = work.glob(f"model-{iteration}-*/model.safetensors")
    return file.read_bytes()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        project.mkdir()
        (project / "prefect.yaml").write_text(yaml.safe_dump({"deployments": [GPU]}))
        with started(project, SERVER) as server:
            server.post("/work_pools/", {"name": "gpu", "type": "process"})
            server.do("prefect --no-prompt deploy --all")
            server.start("prefect worker start --pool gpu", home="gpu-box")
            loops = [Loop(server, name) for name in PLACES]
            for loop in loops:
                for iteration in (1, 2) if loop.name != "peace" else ():
                    print(f"{loop.name}: killed at {loop.killed(iteration)}", flush=True)
                assert loop.begin().wait() == 0, f"{loop.name} failed"
            runs = [run["state"]["name"] for run in server.runs("fine-tune/gpu")]
            print(f"runs on the pool: {', '.join(runs)}")
            facts = {loop.name: loop.facts() for loop in loops}
    for name, came_to in facts.items():
        same = "as in peace" if came_to == facts["peace"] else "NOT as in peace"
        print(f"{name}: {same}")
        for job in came_to["jobs"]:
            print(f"  {json.dumps(job)}")


if __name__ == "__main__":
    main()
