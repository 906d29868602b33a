"""A run that is killed with -9 again and again ends with the bytes of one that was not."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL
from prefect.testing.utilities import prefect_test_harness

from agent_r.dataset.manifest import read_manifest
from tests.support.waiting import PATIENCE_S, until

KILLS = 20
ROOT = Path(__file__).parents[2]
RUNNER = ROOT / "tests" / "support" / "killed_run.py"
# A fine-tuning job that takes a while, and writes its model beside before it names it.
TRAINER = """
import pathlib, sys, time
out = pathlib.Path(sys.argv[1]); out.mkdir(parents=True, exist_ok=True); time.sleep(0.2)
(out / 'config.json').write_text('{}')
"""
SETTINGS = """
iterations = 2
trees = 12
[endpoint]
kind = "scripted"
error_rate = 0.5
[search]
simulations = 4
candidates = 3
max_depth = 10
[measure]
tasks = 4
recovery_tasks = 2
max_steps = 4
[dataset]
name = "demo"
[train]
backend = "command"
command = '''COMMAND'''
"""
# A budget that leaves much over: the last iteration looks at some tasks a second time.
AMPLE = SETTINGS.replace("[search]", "[budget]\ntokens = 1_000_000_000\n[search]")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """One Prefect server for all runs: starting one takes longer than the run."""
    with prefect_test_harness(server_startup_timeout=120):
        yield str(PREFECT_API_URL.value())


def environment(server: str) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PREFECT_API_URL": server,
        "HF_HUB_OFFLINE": "1",
    }


def prepare(folder: Path, settings: str = SETTINGS) -> Path:
    folder.mkdir()
    command = shlex.join([sys.executable, "-c", TRAINER]) + " {out}"
    (folder / "my.toml").write_text(settings.replace("COMMAND", command))
    return folder


def runs(folder: Path, server: str, points: list[int]) -> list[dict[str, Any]]:
    command = [sys.executable, str(RUNNER), ",".join(map(str, points))]
    done = subprocess.run(
        [*command, "self-train", "--config", "my.toml"],
        cwd=folder,
        env=environment(server),
        capture_output=True,
        text=True,
        timeout=500,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"exit"')]
    assert len(lines) == len(points), done.stderr[-2000:]
    # 2 is a server of Prefect's that was too busy to answer: the next run goes on from there.
    ends = [line["exit"] for line in lines]
    assert set(ends) <= {0, 2, -signal.SIGKILL}, f"{ends}\n{done.stderr[-2000:]}"
    return lines


def versions(folder: Path) -> dict[str, bytes]:
    """All files of all versions: rows, manifest, card and pictures."""
    below = folder / "datasets_out/demo"
    return {
        path.relative_to(below).as_posix(): path.read_bytes()
        for version in sorted(below.glob("v*"))
        for path in sorted(version.rglob("*"))
        if path.is_file()
    }


def scheduler(at: str) -> str:
    """Which stage was about to write that."""
    names = {
        r"/journal-": "explore and critique",
        r"/trees-|/forest-": "explore",
        r"/harvest-": "critique and revise",
        r"/\.?v1\.": "build",
        r"/model|Popen": "train",
        r"/\.?measure-|/episodes-|/\.?spent-|report|curve": "measure",
    }
    return next((name for pattern, name in names.items() if re.search(pattern, at)), at)


@pytest.mark.slow
def test_twenty_kills_at_random_writes_change_no_byte(server: str, tmp_path: Path) -> None:
    whole = prepare(tmp_path / "whole", AMPLE)
    assert [run["exit"] for run in runs(whole, server, [0])] == [0]
    expected = versions(whole)
    assert json.loads(expected["v1.2/manifest.json"])["counts"]["second looks"] > 0
    assert {name.split("/")[0] for name in expected} == {"v1.1", "v1.2"}

    rng = random.Random(0)
    killed = prepare(tmp_path / "killed", AMPLE)
    # A resumed run has fewer writes to make: the later kills come sooner, so that none is missed.
    points = [rng.randint(1, 80) for _ in range(KILLS - 8)] + [rng.randint(1, 12) for _ in range(8)]
    told = runs(killed, server, points)
    assert all(run["exit"] for run in told)  # none came to its end
    assert sum(run["exit"] == -signal.SIGKILL for run in told) >= KILLS - 2
    stages = {scheduler(run["at"]) for run in told}
    assert len(stages) >= 5, told
    assert [run["exit"] for run in runs(killed, server, [0])] == [0]
    assert versions(killed) == expected
    assert not list(killed.glob("datasets_out/demo/work/journal-*"))


def digests(folder: Path) -> dict[str, str]:
    """What each version's rows are."""
    below = folder / "datasets_out/demo"
    return {v.name: read_manifest(v)["content_digest"] for v in sorted(below.glob("v*"))}


@pytest.mark.slow
def test_nights_differ_and_a_night_that_is_killed_resumes_to_the_same_bytes(
    server: str, tmp_path: Path
) -> None:
    """Two nights of one iteration are one run of two; the second is killed again and again."""
    once = prepare(tmp_path / "once")
    nightly = SETTINGS.replace("iterations = 2", "iterations = 1\ncontinual = true")
    whole, killed = prepare(tmp_path / "whole", nightly), prepare(tmp_path / "killed", nightly)
    assert [run["exit"] for run in runs(once, server, [0])] == [0]
    assert [run["exit"] for run in runs(whole, server, [0, 0])] == [0, 0]
    assert len({*digests(whole).values()}) == 2
    assert digests(whole) == digests(once)

    points = [50, 20, 12, 6, 3, 2]
    told = runs(killed, server, [0, *points, 0])
    assert [run["exit"] for run in told] == [0, *[-signal.SIGKILL] * len(points), 0]
    assert versions(killed) == versions(whole)
    assert len(list(killed.glob("datasets_out/demo/work/night-*"))) == 2


def test_an_interrupted_run_says_how_to_go_on_and_keeps_what_it_has(
    server: str, tmp_path: Path
) -> None:
    folder = prepare(tmp_path / "run")
    text = (folder / "my.toml").read_text().replace("trees = 12", "trees = 4000")
    (folder / "my.toml").write_text(text)
    run = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "collect", "--config", "my.toml"],
        cwd=folder,
        env=environment(server),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    work = folder / "datasets_out/demo/work"
    until(lambda: list(work.glob("harvest-*/*.json")))
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 130, said
    assert "the same command goes on from here" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert list(work.glob("harvest-*/*.json"))
    assert list(work.glob("journal-*/*.jsonl"))
