"""A run in a terminal needs no server of Prefect's; one that had one leaves none behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import until

ROOT = Path(__file__).parents[3]
SETTINGS = 'trees = 4000\n[endpoint]\nkind = "scripted"\n'
# As a run whose parts a cluster of tasks takes: others have no server.
WITH_SERVER = """
from pathlib import Path
from agent_r.config import load
from flows.cli.prefect_defaults import quiet_prefect
from flows.cli.runner import run, show_progress
show_progress()
quiet_prefect(Path(".prefect"))
from flows.collect import collect
run(collect(load(Path("my.toml"))))
"""


def children(pid: int) -> dict[int, str]:
    """Its processes, whichever thread began them, and what they run."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    pids = [int(child) for listed in lists for child in listed.read_text().split()]
    return {child: Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ") for child in pids}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_kill_9_leaves_no_process_behind(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(SETTINGS)
    env = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-c", WITH_SERVER]
    with (tmp_path / "said").open("w") as said:
        run = subprocess.Popen(
            command, cwd=tmp_path, env=env | {"PYTHONPATH": str(ROOT)}, stdout=said, stderr=said
        )
    left: dict[int, str] = {}
    try:
        until(lambda: "trees to do" in (tmp_path / "said").read_text(), within_s=400)
        until(lambda: any("read -r" in ran for ran in children(run.pid).values()))
        left = children(run.pid)
        assert any("uvicorn" in ran for ran in left.values())
    finally:
        run.kill()
        run.wait()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left))


def test_a_run_in_a_terminal_begins_no_server(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    few = ["--set", "endpoint.kind=scripted", "--set", "trees=2"]
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "collect", *few],
        cwd=tmp_path, env=env | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "datasets_out/agent-r/v1.1").is_dir()
    assert "collect agent-r, iteration 1, scripted-0.35: " in done.stderr  # its stage is named
    assert [*tmp_path.rglob("prefect.db")] == []
