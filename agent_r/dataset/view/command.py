"""The `agent-r view` command for a run's trees, shown in its last lines and in Prefect."""

from __future__ import annotations

import shlex
from pathlib import Path


def command(path: str | Path) -> str:
    """What shows the trees at a path, as a shell takes it."""
    return f"agent-r view {shlex.quote(str(path))}"


def hint(path: str | Path) -> str:
    """The line that tells of it at the end of a run."""
    return f"look at it: {command(path)}"
