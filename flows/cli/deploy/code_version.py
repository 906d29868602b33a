"""Which code a deployment was made from."""

from __future__ import annotations

import subprocess
from pathlib import Path

from agent_r import __version__

VERSION = "AGENT_R_VERSION"  # the variable by which prefect.yaml has it


def code_version(folder: Path) -> str:
    """What git calls the folder's commit, with `-dirty` where it is changed; else the package's.

    >>> code_version(Path("/")) == __version__
    True
    """
    describe = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--tags"]
    try:
        ran = subprocess.run(describe, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):  # no git on this machine
        return __version__
    return ran.stdout.strip() or __version__
