"""ScienceWorld in process: its tasks, its scores, its menus, and the machine that it lives in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from agent_r.algorithm.replay import replay
from agent_r.config import parse
from agent_r.environment import Environment
from agent_r.errors import ConfigError, EnvironmentFault, ExtraMissing, UnknownTask
from agent_r.settings import ScienceWorldEnv
from env_adapters import world_of
from env_adapters.jvm.machine import Machine
from env_adapters.scienceworld.environment import ScienceWorlds, scienceworld
from env_adapters.scienceworld.tasks import VARIATIONS, all_tasks
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(
    find_spec("scienceworld") is None or shutil.which("java") is None,
    reason="needs the extra `scienceworld` and a Java runtime",
)
ODD = ("", "   ", "x" * 100_000, "é☃", "a\ud800b", "look\naround", "0", "\x00\x07", "{{}}")


def threads() -> set[str]:
    """The names of all that run, but for the event loop's own helpers."""
    return {t.name for t in threading.enumerate() if not t.name.startswith("asyncio_")}


def spec(**over: Any) -> ScienceWorldEnv:
    return ScienceWorldEnv(kind="scienceworld", **over)


@contextlib.asynccontextmanager
async def opened(**over: Any) -> AsyncIterator[tuple[ScienceWorlds, Environment]]:
    world = scienceworld(spec(**over))
    env = world.environment()
    try:
        yield world, env
    finally:
        await env.close()
        await world.aclose()


async def test_the_table_of_tasks_is_the_machines_own() -> None:
    async with opened() as (world, _):
        simulator = await world.simulators.extra()

        def asked() -> dict[str, tuple[int, int, int]]:
            server, found = simulator.server, {}
            for name in map(str, server.getTaskNames()):
                server.load(name, 0, "easy", False)
                train, dev, test = (
                    [int(n) for n in numbers]
                    for numbers in (
                        server.getVariationsTrain(),
                        server.getVariationsDev(),
                        server.getVariationsTest(),
                    )
                )
                count = int(server.getTaskMaxVariations(name))
                assert train + dev + test == list(range(count))
                found[name] = count, len(train), len(dev)
            return found

        assert await world.simulators.call(asked) == VARIATIONS


def test_splits_are_disjoint_and_their_first_tasks_are_of_all_kinds() -> None:
    splits = [{t.id for t in all_tasks(split, ())} for split in ("train", "warm_start", "test")]  # type: ignore[arg-type]
    assert [len(split) for split in splits] == [3592, 1796, 1819]
    assert len(set.union(*splits)) == 7207
    assert len({t.id.split("/")[0] for t in all_tasks("train", ())[:30]}) == 30
    assert {t.id.split("/")[0] for t in all_tasks("test", ("boil",))} == {"boil"}


async def test_the_gold_actions_win_and_the_same_from_a_fresh_start() -> None:
    async with opened() as (world, env):
        for task in ("find-plant/0", "find-animal/299", "lifespan-longest-lived/3", "freeze/2"):
            gold = await world.expert.plan(await env.reset(task), [])
            first, again = [await replay(env, task, [f"Action: {a}" for a in gold]) for _ in "12"]
            assert first == again
            assert first[1] == 1.0


async def test_the_goal_is_as_far_as_the_gold_actions_left_and_off_their_way_unknown() -> None:
    async with opened() as (world, env):
        prompt = await env.reset("find-plant/0")
        gold = list(await world.expert.plan(prompt, []))
        ways = (), gold[:2], gold, ["inventory"], [*gold[:2], "inventory"]
        found = [await world.expert.distance(prompt, way) for way in ways]
        assert found == [len(gold), len(gold) - 2, 0, None, None]


def walk(task: str) -> list[str]:
    """A seeded walk about the house: doors, menus, bees, cups, thermometers, time."""
    actions = (
        "open door|0|1|go to kitchen|go to hallway|go to outside|go to greenhouse|look around|"
        "teleport to workshop|teleport to outside|pick up cup|pick up thermometer|move cup to sink|"
        "use thermometer on air|inventory|examine agent|open cupboard|mix cup|wait1|wait|look in "
        "table|activate sink|dunk cup into sink|pour cup into sink|xyzzy"
    ).split("|")
    return random.Random(task).choices(actions, k=12)


async def told(env: Environment, task: str, beside: Environment | None = None) -> list[object]:
    """All that a walk is answered; another episode may take steps of its own in between."""
    seen: list[object] = [await env.reset(task)]
    for number, action in enumerate(walk(task)):
        if beside is not None and number % 6 == 0:
            await beside.reset(f"melt/{number}")
        if beside is not None:
            await beside.step(random.Random(number).choice(walk("melt")))
        seen.append(await env.step(action))
        if getattr(seen[-1], "terminated", False):
            break
    return seen


async def test_the_same_actions_are_answered_to_the_letter_in_any_company() -> None:
    """In another simulator of another machine, and beside another episode."""
    chosen = all_tasks("test", ())[:30]
    async with opened() as (_, env):
        alone = {task.id: await told(env, task.id) for task in chosen}
    assert sum("Ambiguous" in str(seen) for seen in alone.values()) > 4
    async with opened() as (world, env):
        beside = world.environment()
        await beside.reset("melt/1")
        for task in reversed(chosen):
            assert await told(env, task.id, beside) == alone[task.id]
        await beside.close()


async def test_a_wrong_focus_ends_the_episode_with_nothing() -> None:
    async with opened() as (_, env):
        await env.reset("find-plant/0")
        await env.step("look around")
        result = await env.step("focus on air")
        assert (result.reward, result.terminated) == (0.0, True)
        with pytest.raises(ValueError, match="ended"):
            await env.step("look around")


async def test_a_number_picks_from_a_menu_and_the_same_in_every_replay() -> None:
    responses = [f"Action: {a}" for a in ("teleport to hallway", "close door", "1", "look around")]
    async with opened(simulators=1) as (_, env):
        taken = [(await replay(env, "boil/0", responses))[0][-1].observation for _ in range(3)]
        menu, pick = (await replay(env, "boil/0", responses))[0][1:3]
        assert "Ambiguous" in menu.observation
        assert "now closed" in pick.observation
        assert taken[0].count("closed") == 1
        assert len(set(taken)) == 1


async def test_our_own_limit_truncates_also_what_costs_no_move() -> None:
    async with opened(step_limit=3) as (_, env):
        await env.reset("boil/0")
        ends = [(await env.step("inventory")).truncated for _ in range(3)]
        assert ends == [False, False, True]


async def test_any_action_is_answered() -> None:
    async with opened() as (_, env):
        await env.reset("boil/0")
        for action in ODD:
            result = await env.step(action)
            assert isinstance(result.observation, str)
            assert result.reward == 0.0
            assert not result.terminated


async def test_a_machine_that_dies_is_one_line_and_the_next_episode_has_another() -> None:
    async with opened() as (world, env):
        await env.reset("boil/0")
        machine = world.simulators.machine
        assert machine is not None
        os.kill(machine.pid, signal.SIGKILL)
        with pytest.raises(EnvironmentFault, match=r"^[^\n]*virtual machine has ended$"):
            await env.step("look around")
        with pytest.raises(ValueError, match="reset first"):
            await env.step("look around")
        assert "Your task" in await env.reset("boil/0")
        assert world.simulators.machine is not machine


async def test_an_episode_of_a_machine_that_died_does_no_harm_to_the_next_machine() -> None:
    async with opened() as (world, env):
        old = world.environment()
        for one in (env, old):
            await one.reset("boil/0")
        assert world.simulators.machine is not None
        os.kill(world.simulators.machine.pid, signal.SIGKILL)
        await asyncio.sleep(0.3)
        await env.reset("boil/0")
        machine = world.simulators.machine
        with pytest.raises(EnvironmentFault, match="has ended"):
            await old.step("look around")
        assert world.simulators.machine is machine
        assert (await env.step("look around")).observation
        await old.close()


async def test_a_machine_that_cannot_start_says_why_in_one_line() -> None:
    async with opened() as (world, _):
        program = replace(world.simulators.program, options=("-Xms9g", "-Xmx1g"))
        with pytest.raises(EnvironmentFault, match=r"^ScienceWorld: .* did not start: [^\n]*heap"):
            Machine.start(program)


def test_a_machine_ends_with_a_process_that_is_killed() -> None:
    code = (
        "import asyncio, time\n"
        "from agent_r.settings import ScienceWorldEnv\n"
        "from env_adapters.scienceworld.environment import scienceworld\n"
        "async def main():\n"
        "    world = scienceworld(ScienceWorldEnv(kind='scienceworld'))\n"
        "    await world.environment().reset('boil/0')\n"
        "    print(world.simulators.machine.pid, flush=True)\n"
        "    time.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root) as ours:
        assert ours.stdout is not None
        machine = Path(f"/proc/{int(ours.stdout.readline())}")
        assert machine.exists()
        ours.kill()
    until(lambda: not machine.exists())


async def test_nothing_is_left_after_the_world_is_closed() -> None:
    before = threads()
    async with opened() as (world, env):
        await env.reset("boil/0")
        machine = world.simulators.machine
        assert machine is not None
    assert not Path(f"/proc/{machine.pid}").exists()
    assert threads() <= before
    await world.aclose()


async def test_a_start_that_nobody_waits_for_is_ended_too() -> None:
    world = scienceworld(spec())
    begun = asyncio.create_task(world.environment().reset("boil/0"))
    await asyncio.sleep(0.2)
    begun.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await begun
    await world.aclose()
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    names = [Path(f"/proc/{child}/comm").read_text().strip() for child in children]
    assert "java" not in names


async def test_a_cancelled_step_does_not_disturb_the_next_episode() -> None:
    async with opened(simulators=1) as (_, env):
        opening = (await env.reset("find-plant/0")).splitlines()[0]
        step = asyncio.create_task(env.step("wait"))
        await asyncio.sleep(0)
        step.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await step
        assert (await env.reset("find-plant/0")).splitlines()[0] == opening


async def test_more_episodes_than_simulators_wait_and_all_end() -> None:
    async with opened(simulators=2) as (world, _):
        most = 0

        async def play(number: int) -> None:
            nonlocal most
            env = world.environment()
            await env.reset(f"find-plant/{number}")
            most = max(most, world.simulators.held)
            await env.step("look around")
            await env.close()

        await asyncio.gather(*(play(number) for number in range(6)))
        assert most <= 2


async def test_what_does_not_exist_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with opened() as (world, env):
        for task in ("boil", "boil/999", "boil/01", "dance/1", "boil/-1"):
            with pytest.raises(UnknownTask):
                await env.reset(task)
        for over in ({"tasks": ("dance",)}, {"simplifications": "hard"}):
            env_settings = {"kind": "scienceworld", **over}
            with pytest.raises(ConfigError, match=r"^ScienceWorld has no [^\n]+$"):
                world_of(parse({"env": env_settings}, source="test").env)  # type: ignore[arg-type]
        with monkeypatch.context() as without:
            without.setitem(sys.modules, "scienceworld", None)
            with pytest.raises(ExtraMissing, match=r"pip install 'agent-r\[scienceworld\]'"):
                scienceworld(spec())
            with pytest.raises(ExtraMissing):
                await world.check()
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ConfigError, match="install one"):
            await world.check()
