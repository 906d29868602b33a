"""`agent-r check-env` and `collect` on every kind of world: how fast, and what is made there.

    python benchmarks/worlds.py --trees 12 --seed 0

The scripted actor where a world has an expert; the embedded one in AgentGym's TextCraft; elsewhere
a server that picks one of the actions that the instruction names, and a judgement, by chance: what
is made there is no better than chance, but every revision is executed. AgentGym is our loopback
server of `tests/`, OpenEnv a real server. Steps a second are those of one episode.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web

from agent_r.algorithm.prompts import JUDGE
from agent_r.dataset.manifest import read_manifest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

LAKE = """
import gymnasium

def make():
    return gymnasium.make("FrozenLake-v1", desc=["SFF", "FHF", "FFG"], is_slippery=False)
"""
ACTORS = {
    "scripted": 'kind = "scripted"',
    "embedded": 'kind = "embedded"',
    "chance": 'kind = "openai"\nbase_url = "{chance}"\nmodel = "chance"',
}
GRADED = "\n[revision]\nalpha = 0.7\nbeta = 0.2\nprune = false\n"
WORLDS = {
    "textcraft": ("scripted", 'kind = "textcraft"'),
    "textcraft, minecraft": ("scripted", 'kind = "textcraft"\nrecipes = "minecraft"'),
    "shop": ("scripted", 'kind = "shop"' + GRADED),
    "scienceworld": (
        "scripted",
        'kind = "scienceworld"\ntasks = ["find-plant", "find-animal", "find-living-thing"]'
        + GRADED,
    ),
    "textworld-express, map": ("scripted", 'kind = "textworld-express"\ngame = "mapreader"'),
    "agentgym, textcraft": (
        "embedded",
        'kind = "agentgym"\nserver = "textcraft"\nbase_url = "{agentgym}"',
    ),
    "openenv, counting": (
        "chance",
        'kind = "openenv"\nname = "counting"\nbase_url = "{openenv}"\nsessions = 8\n'
        'instruction = "Count. Action: 1 | 2 | 3 | 4 | 5"\naction = {{ message = "{{action}}" }}\n'
        'observation = "text"\ntrain = [{{ seed = 1 }}, {{ seed = 2 }}]',
    ),
    "gymnasium, FrozenLake": (
        "chance",
        'kind = "gymnasium"\nfactory = "lake:make"\ninstruction = "Cross. Action: 0 | 1 | 2 | 3"',
    ),
    "python, the template": ("chance", 'kind = "python"\nfactory = "my_world:world"'),
    "mixture": (
        "scripted",
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
    print(f"{'world':24} {'steps/s':>8} {'actor':9} trees calls env steps revisions good seconds")
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
    head = f"trees = {options.trees}\nseed = {options.seed}\n[endpoint]\n{ACTORS[actor]}\n[env]\n"
    (folder / "my.toml").write_text((head + env).format(**urls) + "\n")
    code, checked = await agent_r(folder, "check-env", "my.toml")
    speeds = re.findall(r"([\d,.]+) steps/s", checked)
    if code or not speeds:
        print(f"{name:24} {checked.splitlines()[-1]}")
        return
    began = time.monotonic()
    code, said = await agent_r(folder, "collect", "--config", "my.toml")
    seconds = time.monotonic() - began
    if code:
        print(f"{name:24} {said.splitlines()[-1]}")
        return
    counts = read_manifest(folder / "datasets_out" / "agent-r" / "v1.1")["counts"]
    numbers = [counts.get(key, 0) for key in ("trees", "calls", "environment steps", "revisions")]
    print(
        f"{name:24} {speeds[0]:>8} {actor:9} {numbers[0]:5} {numbers[1]:5} {numbers[2]:9} "
        f"{numbers[3]:9} {counts.get('good', 0):4} {seconds:7.1f}",
        flush=True,
    )


async def agent_r(folder: Path, *words: str) -> tuple[int, str]:
    """The command in a folder: its exit code, and all that it said."""
    run = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("agent-r")),
        *words,
        cwd=folder,
        env={**os.environ, "OPENAI_API_KEY": "none"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _ = await run.communicate()
    return run.returncode or 0, said.decode() or "it said nothing"


@contextlib.asynccontextmanager
async def chance() -> AsyncIterator[str]:
    """An OpenAI-compatible server that acts and judges by chance; a request has one reply."""

    def reply(asked: dict[str, Any], place: int) -> dict[str, Any]:
        texts = [message["content"] for message in asked["messages"]]
        rng = random.Random(f"{asked.get('seed')} {place} {texts}")
        verdict = rng.choice(("Good", "Good", "Bad"))
        action = rng.choice(texts[0].rpartition("Action: ")[2].split(" | ")).strip()
        judged = texts[-1].endswith(JUDGE)
        text = f"It did not help.\nJudgement: {verdict}" if judged else f"Action: {action}"
        return {"index": place, "message": {"role": "assistant", "content": text}}

    async def complete(request: web.Request) -> web.Response:
        asked = await request.json()
        return web.json_response({"choices": [reply(asked, k) for k in range(asked.get("n") or 1)]})

    async def models(request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "chance"}]})

    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", complete), web.get("/v1/models", models)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def servers() -> AsyncIterator[dict[str, str]]:
    """AgentGym's wire format and a real OpenEnv server, on loopback."""
    from tests.support.agentgym_servers import LoopbackAgentGym

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    packages = Path(sys.prefix) / "openenv"
    counting = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "support" / "openenv_world.py"), str(port), "8"],
        env={**os.environ, "PYTHONPATH": str(packages)},
    )
    try:
        async with LoopbackAgentGym("textcraft") as gym, chance() as url:
            await asyncio.sleep(5)
            yield {"agentgym": gym.url, "openenv": f"http://127.0.0.1:{port}", "chance": url}
    finally:
        counting.terminate()
        counting.wait()


if __name__ == "__main__":
    main()
