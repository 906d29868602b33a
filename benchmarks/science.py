"""ScienceWorld: our raw calls against the package's own `env.step`, and the machine's memory.

    python benchmarks/science.py --episodes 50 100 200 300

The same gold actions on the same tasks, one after the other, in rounds that take turns. Then many
episodes over all tasks, sixteen at once in one Java virtual machine.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from pathlib import Path

from scienceworld import ScienceWorldEnv as Package

from agent_r.settings import ScienceWorldEnv
from env_adapters.scienceworld.environment import ScienceWorlds, scienceworld

TASKS = ("find-plant/0", "find-animal/1", "use-thermometer/0", "chemistry-mix/0")
ROUNDS = 3
STEPS = 12  # of a task in a round


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--episodes", type=int, nargs="+", default=[50, 100, 200, 300])
    options = made.parse_args()
    print("# benchmarks/science.py " + " ".join(sys.argv[1:]))
    asyncio.run(measure(options.episodes))


async def measure(episodes: list[int]) -> None:
    world = scienceworld(ScienceWorldEnv(kind="scienceworld"))
    try:
        await against_the_package(world)
        await memory(world, episodes)
    finally:
        await world.aclose()


async def against_the_package(world: ScienceWorlds) -> None:
    """Steps a second of both, and their ratio, round by round."""
    package = Package("", envStepLimit=100)
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(ROUNDS):
        steps, seconds = 0, [0.0, 0.0]
        for task in TASKS:
            env = world.environment()
            gold = (await world.expert.plan(await env.reset(task), []))[:STEPS]
            began = time.perf_counter()
            for action in gold:
                if (await env.step(action)).terminated:
                    break
            seconds[0] += time.perf_counter() - began
            await env.close()
            name, _, variation = task.partition("/")
            package.load(name, int(variation), "easy")
            package.reset()
            began = time.perf_counter()
            for action in gold:
                if package.step(action)[2]:
                    break
            seconds[1] += time.perf_counter() - began
            steps += len(gold)
        ours.append(steps / seconds[0])
        theirs.append(steps / seconds[1])
    package.close()
    mine, other = statistics.median(ours), statistics.median(theirs)
    print(f"steps/s, median of {ROUNDS} rounds: ours {mine:.0f}, the package's {other:.0f}")
    print(f"ratio: {mine / other:.1f}")


async def memory(world: ScienceWorlds, episodes: list[int]) -> None:
    """Resident memory of the machine after so many episodes."""
    tasks = [task.id for task in world.environment().tasks("train")]
    done, began = 0, time.perf_counter()

    async def play(task: str) -> None:
        env = world.environment()
        await env.reset(task)
        for action in ("inventory", "open door", "go to kitchen", "look around", "wait1"):
            if (await env.step(action)).terminated:
                break
        await env.close()

    print("episodes   RSS MB   episodes/s")
    for count in episodes:
        await asyncio.gather(*(play(task) for task in tasks[done:count]))
        done = count
        machine = world.simulators.machine
        assert machine is not None
        pages = int(Path(f"/proc/{machine.pid}/statm").read_text().split()[1])
        rate = done / (time.perf_counter() - began)
        print(f"{done:8} {pages * 4096 / 1e6:8.0f} {rate:12.1f}", flush=True)


if __name__ == "__main__":
    main()
