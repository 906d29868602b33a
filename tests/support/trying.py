"""Runs `agent-r try` as a user does: a process and a folder of its own, a my.toml in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.odd_endpoint import OddEndpoint

ROOT = Path(__file__).parents[2]
KEY = "sk-test-0123456789"


def settings(server: OddEndpoint, **more: Any) -> str:
    """A my.toml for it; episodes are three steps long."""
    lines = ["[endpoint]", "kind = 'openai'", f"base_url = '{server.base_url}'", "model = 'tiny'"]
    lines += [f"{name} = {value!r}" for name, value in more.items()]
    return "\n".join([*lines, "[search]", "max_depth = 3", ""])


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "flows.cli", "try", *words]


def surroundings(cwd: Path) -> dict[str, str]:
    known = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(cwd)}
    return known | {"OPENAI_API_KEY": KEY}


def agent_r_try(toml: str, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (cwd / "my.toml").write_text(toml, encoding="utf-8")
    done = subprocess.run(
        command("--config", "my.toml", *words),
        capture_output=True, text=True, timeout=60, cwd=cwd, env=surroundings(cwd),
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert KEY not in done.stdout + done.stderr
    return done


def squeezed(text: str) -> str:
    return " ".join(text.split())


def arrows(text: str) -> list[str]:
    """The lines of advice, each in one."""
    advice = squeezed(text).partition(" → ")[2].partition(" This actor can")[0]
    return advice.split(" → ") if advice else []
