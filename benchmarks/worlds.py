"""`agent-r collect` on every kind of world, one run each: what it makes, and how fast.

    python benchmarks/worlds.py --trees 12 --seed 0

The scripted actor where a world has an expert, the embedded one elsewhere (it was trained on
TextCraft: in a game that it does not know it finds nothing, and that is no fault of the game).
AgentGym is our loopback server of `tests/`, OpenEnv a real server.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from agent_r.services.manifest import read_manifest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

LAKE = 'import gymnasium\n\n\ndef make():\n    return gymnasium.make("FrozenLake-v1")\n'
SCRIPTED, EMBEDDED = "scripted", "embedded"
GRADED = "\n[revision]\nalpha = 0.7\nbeta = 0.2\nprune = false\n"
WORLDS = {
    "textcraft": (SCRIPTED, 'kind = "textcraft"'),
    "textcraft, minecraft": (SCRIPTED, 'kind = "textcraft"\nrecipes = "minecraft"'),
    "shop": (SCRIPTED, 'kind = "shop"' + GRADED),
    "scienceworld": (
        SCRIPTED,
        'kind = "scienceworld"\ntasks = ["find-plant", "find-animal", "find-living-thing"]'
        + GRADED,
    ),
    "textworld-express, coin": (SCRIPTED, 'kind = "textworld-express"\ngame = "coin"'),
    "agentgym, textcraft": (
        EMBEDDED,
        'kind = "agentgym"\nserver = "textcraft"\nbase_url = "{agentgym}"',
    ),
    "openenv, counting": (
        EMBEDDED,
        'kind = "openenv"\nname = "counting"\nbase_url = "{openenv}"\nsessions = 8\n'
        'instruction = "Count. Action: a number"\naction = {{ message = "{{action}}" }}\n'
        'observation = "text"\ntrain = [{{ seed = 1 }}, {{ seed = 2 }}]',
    ),
    "gymnasium, FrozenLake": (
        EMBEDDED,
        'kind = "gymnasium"\nfactory = "lake:make"\ninstruction = "Cross. Action: 0, 1, 2 or 3"',
    ),
    "python, the template": (EMBEDDED, 'kind = "python"\nfactory = "my_world:world"'),
    "mixture": (
        SCRIPTED,
        'kind = "mixture"\n[[env.worlds]]\nkind = "textcraft"\nweight = 2\n[[env.worlds]]\n'
        'kind = "shop"' + GRADED,
    ),
}


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--trees", type=int, default=12)
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    options = made.parse_args()
    print("# benchmarks/worlds.py " + " ".join(sys.argv[1:]))
    asyncio.run(measure(options))


async def measure(options: argparse.Namespace) -> None:
    print(f"{'world':24} {'actor':9} trees calls env steps revisions good seconds")
    async with servers() as urls:
        for name in options.worlds:
            with tempfile.TemporaryDirectory() as folder:
                await collect(name, Path(folder), urls, options)


async def collect(
    name: str, folder: Path, urls: dict[str, str], options: argparse.Namespace
) -> None:
    """One run in a folder of its own, and its row."""
    actor, env = WORLDS[name]
    (folder / "lake.py").write_text(LAKE)
    shutil.copy(ROOT / "docs" / "template_world.py", folder / "my_world.py")
    head = f'trees = {options.trees}\nseed = {options.seed}\n[endpoint]\nkind = "{actor}"\n[env]\n'
    (folder / "my.toml").write_text(head + env.format(**urls) + "\n")
    began = time.monotonic()
    command = [str(Path(sys.executable).with_name("agent-r")), "collect", "--config", "my.toml"]
    run = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await run.communicate()
    if run.returncode:
        print(f"{name:24} {said.decode().splitlines()[-1]}")
        return
    counts = read_manifest(folder / "datasets_out" / "agent-r" / "v1.1")["counts"]
    numbers = [counts.get(key, 0) for key in ("trees", "calls", "environment steps", "revisions")]
    print(f"{name:24} {actor:9} {numbers[0]:5} {numbers[1]:5} {numbers[2]:9} {numbers[3]:9} "
          f"{counts.get('good', 0):4} {time.monotonic() - began:7.1f}", flush=True)  # fmt: skip


@contextlib.asynccontextmanager
async def servers() -> AsyncIterator[dict[str, str]]:
    """AgentGym's wire format and a real OpenEnv server, on loopback."""
    from agentgym_servers import LoopbackAgentGym

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    packages = Path(sys.prefix) / "openenv"
    counting = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "openenv_world.py"), str(port), "8"],
        env={**os.environ, "PYTHONPATH": str(packages)},
    )
    try:
        async with LoopbackAgentGym("textcraft") as gym:
            await asyncio.sleep(5)
            yield {"agentgym": gym.url, "openenv": f"http://127.0.0.1:{port}"}
    finally:
        counting.terminate()
        counting.wait()


if __name__ == "__main__":
    main()
