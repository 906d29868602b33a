"""The embedded actor's server as a process of its own, for the length of a run."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path

from agent_r.config import digest
from agent_r.errors import EndpointUnavailable, ExtraMissing, StoreError
from agent_r.collection.files import read_json

PACKAGED = (
    Path(__file__).parent / "checkpoint"
)  # made by `agent-r warm-start`; its log is beside it
_PARTS = (".safetensors", ".json", ".jinja", ".model", ".txt")
_REPORT = "done.json"  # of its training: it says how long that took
_STARTUP_S = 120.0  # importing torch on a busy machine is most of it


def model_name(folder: Path) -> str:
    """A name that is the weights' own: two models never share one, in a dataset or a cache.

    Raises:
        StoreError: there is no model in the folder.
    """
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise StoreError(f"{folder} holds no model: model.safetensors is missing")
    return f"agent-r-{_content(weights, weights.stat())[:8]}"


def model_digest(folder: Path) -> str:
    """All that a model's replies depend on: its weights, configuration, tokenizer and template.

    Raises:
        StoreError: there is no model in the folder.
    """
    model_name(folder)
    parts = sorted(
        path for path in folder.iterdir() if path.suffix in _PARTS and path.name != _REPORT
    )
    return digest(*(f"{path.name}:{_content(path, path.stat())}" for path in parts))


@lru_cache(maxsize=256)
def _content(path: Path, state: os.stat_result) -> str:
    """A file's digest; `state` is what changes with the file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


@asynccontextmanager
async def serving(folder: Path, *, threads: int) -> AsyncIterator[str]:
    """Serve a model folder on a loopback port of the system's choice; yields the base URL.

    Raises:
        ExtraMissing: torch is not installed.
        EndpointUnavailable: the server ended, or was not ready in two minutes.
    """
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("uvicorn") is None:
        raise ExtraMissing("the embedded actor", "local")
    name = model_name(folder)
    with tempfile.TemporaryDirectory(prefix="agent-r-serve-") as scratch:
        ready = Path(scratch) / "ready.json"
        log = Path(scratch) / "log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "agent_r.local_model.server", str(folder)),
                *("--model", name, "--port", "0", "--threads", str(threads)),
                *("--ready-file", str(ready), "--exit-with-parent"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            yield await _wait(process, ready, log)
        finally:
            await _stop(process)


async def _wait(process: asyncio.subprocess.Process, ready: Path, log: Path) -> str:
    deadline = asyncio.get_running_loop().time() + _STARTUP_S
    while asyncio.get_running_loop().time() < deadline:
        if ready.is_file():
            return str(read_json(ready)["base_url"])
        if process.returncode is not None:
            lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
            raise EndpointUnavailable(f"the embedded model's server ended: {lines[-1]}")
        await asyncio.sleep(0.05)
    raise EndpointUnavailable(f"the embedded model's server was not ready in {_STARTUP_S:.0f} s")


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), timeout=5)
    except TimeoutError:
        process.kill()
        await process.wait()
