"""A fine-tuning job on the workers of another pool, whose run is killed in the middle of it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.nightly import SMALL, as_toml
from tests.support.prefect_server import Server, patiently
from tests.support.workers_at_work import Factory

# It goes on for as long as a file lies there, ten minutes at most: it outlives a test that is cut
# off. The model that it leaves is made of its rows.
JOB = """
import hashlib, os, pathlib, sys, time
held, rows, out = (pathlib.Path(word) for word in sys.argv[1:])
print('{"step": 1, "of": 2, "loss": 2.0}', flush=True)
print("job variables:", os.environ.get("OF_THE_JOB"), flush=True)
ends = time.monotonic() + 600
while held.exists() and time.monotonic() < ends:
    time.sleep(0.1)
print('{"step": 2, "of": 2, "loss": 1.0}', flush=True)
out.mkdir(exist_ok=True)
(out / 'config.json').write_text('"' + hashlib.sha256(rows.read_bytes()).hexdigest() + '"')
"""
POOL = {"deployment": "fine-tune/gpu", "job_variables": {"env": {"OF_THE_JOB": "heard"}}}


def command(held: Path) -> dict[str, Any]:
    words = shlex.join([sys.executable, "-c", JOB, str(held)])
    return {"backend": "command", "command": f"{words} {{dataset}} {{out}}"}


def at_work(log: Path) -> bool:
    return log.exists() and "step" in log.read_text()


def a_job_on_a_pool(factory: Factory) -> dict[str, Any]:
    """The loop from a terminal, twice: on a pool and killed within a job; and here, in peace."""
    server = factory.server
    held = server.folder / "pool.held"
    held.touch()
    config = SMALL | {"iterations": 2, "trees": 4, "train": command(held) | {"pool": POOL}}
    words = loop(server, "pool", config)
    how: dict[str, Any] = {"cwd": server.folder, "env": server.environment, "text": True}
    first = subprocess.Popen(words, **how, stdout=subprocess.DEVNULL)
    logs = server.folder.glob
    [log] = patiently(lambda: [p for p in logs("**/model-1-*/pool/model.log") if at_work(p)])
    first.kill()
    first.wait()
    (log.parents[1] / "handle.json").unlink()  # as if it had been killed a moment earlier
    held.unlink()
    again = subprocess.run(words, **how, capture_output=True, timeout=300)
    here = config | {"train": command(held)}
    subprocess.run(loop(server, "here", here), **how, capture_output=True, timeout=300, check=True)
    return {"again": again, "runs": server.runs("fine-tune/gpu"),
            "reports": [report(server, name) for name in ("pool", "here")]}  # fmt: skip


def loop(server: Server, name: str, config: dict[str, Any]) -> list[str]:
    settings = server.folder / f"{name}.toml"
    settings.write_text(as_toml(config | {"dataset": {"name": name}}), encoding="utf-8")
    return [sys.executable, "-m", "flows.cli", "self-train", "--config", str(settings)]


def report(server: Server, name: str) -> Any:
    return json.loads((server.folder / "datasets_out" / name / "report.json").read_text())
