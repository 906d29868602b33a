"""The real Hub, where someone asks for it: a private repository of theirs, and a token.

`AGENT_R_SMOKE_REPO=owner/name HF_TOKEN=… make smoke` publishes a small version there, publishes it
again, and fetches it. Without the two variables nothing here runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.made import Made

REPO = os.environ.get("AGENT_R_SMOKE_REPO", "")
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not (REPO and os.environ.get("HF_TOKEN")),
    reason="opt-in: set AGENT_R_SMOKE_REPO and HF_TOKEN to publish to the real Hub",
)


def agent_r(*words: str | Path, cwd: Path) -> str:
    """Run a command to its good end; what it said."""
    over = {"PYTHONPATH": str(ROOT), "HF_HUB_DISABLE_XET": "0", "HF_HOME": str(cwd / "hf")}
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=cwd,
        env=dict(os.environ) | over,
    )
    assert done.returncode == 0, done.stderr
    assert os.environ["HF_TOKEN"] not in done.stdout + done.stderr
    return done.stdout


def test_a_version_goes_to_the_real_hub_once_and_comes_back(made: Made, tmp_path: Path) -> None:
    first = agent_r("publish", made.version, "--repo", REPO, cwd=tmp_path)
    assert agent_r("publish", made.version, "--repo", REPO, cwd=tmp_path) == first
    tag = made.version.name
    said = agent_r("pull", f"{REPO}@{tag}", "--out", "back", cwd=tmp_path)
    assert made.built.dataset.digest[:12] in said
