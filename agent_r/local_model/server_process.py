"""Run the embedded actor's server as a process of its own, for the length of a run."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent_r.config import process_environment
from agent_r.errors import EndpointUnavailable, ExtraMissing
from agent_r.files import read_json, scratch_folder
from agent_r.local_model.model_folder import model_name

# Threads that spin while they wait starve whatever else runs: two servers on two cores were twenty
# times slower, and one alone is no faster for it.
_CHILD = {"OMP_WAIT_POLICY": "PASSIVE"}
_STARTUP_S = 120.0  # importing torch on a busy machine is most of it


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
    with scratch_folder() as scratch:
        ready, log = scratch / "ready.json", scratch / "log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "agent_r.local_model.server", str(folder)),
                *("--model", name, "--port", "0", "--threads", str(threads)),
                *("--ready-file", str(ready), "--exit-with-parent", str(os.getpid())),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=process_environment(_CHILD),
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
