"""AgentGym's servers when they break: what is taken again elsewhere, what is told, what is left."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable

import pytest

from agent_r.environment import Environment, StepResult
from agent_r.errors import EnvironmentFault
from tests.support.agentgym_servers import SERVERS, trying, way

Play = list[StepResult]
HOWS = ("500", "cut", "garbage", "hang", "late", "The id 0 is not valid.")


async def whole(
    env: Environment, task: str, between: Callable[[int], None] = lambda n: None
) -> Play:
    """The right way; something may happen before each step."""
    prompt, results = await env.reset(task), []
    for number, action in enumerate(way(task, prompt)):
        between(number)
        results.append(await env.step(action))
    return results


async def undisturbed(name: str, task: str) -> Play:
    async with trying(name) as (_, world):
        return await whole(world.environment(), task)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", ["textcraft", "webshop", "sciworld"])
async def test_a_step_that_failed_is_taken_again_elsewhere(name: str, how: str) -> None:
    task = f"{name}/3"
    expected = await undisturbed(name, task)
    async with trying(name, timeout_s=0.5) as (server, world):
        server.fail("step", how, after=2)
        assert await whole(world.environment(), task) == expected
        assert server.created == 2
    assert server.closed == ([] if name == "webshop" else [0, 1])


@pytest.mark.parametrize("path", ["create", "reset", "step"])
async def test_a_fault_may_come_twice_anywhere(path: str) -> None:
    async with trying("babyai") as (server, world):
        server.fail(path, "500", after=path == "step", times=2)
        assert (await whole(world.environment(), "babyai/3"))[-1].reward == 1.0


@pytest.mark.parametrize("name", SERVERS)
async def test_a_restart_in_mid_episode_changes_nothing_that_is_seen(name: str) -> None:
    task = f"{name}/3"
    expected = await undisturbed(name, task)
    async with trying(name) as (server, world):

        def restarting(number: int) -> None:
            if number == 2:
                server.restart()

        assert await whole(world.environment(), task, restarting) == expected


@pytest.mark.parametrize("name", ["textcraft", "sciworld", "webshop", "sqlgym"])
async def test_after_a_restart_no_two_episodes_share_a_number(name: str) -> None:
    """Numbers begin anew: one episode's new environment has the number of another's old one."""
    tasks = [f"{name}/{index}" for index in (2, 3, 4)]
    expected = [await undisturbed(name, task) for task in tasks]
    async with trying(name) as (server, world):
        envs = [world.environment() for _ in tasks]
        ways = [way(task, await env.reset(task)) for task, env in zip(tasks, envs, strict=True)]
        played: list[Play] = [[] for _ in tasks]
        for turn in range(max(map(len, ways))):
            if turn == 2:
                server.restart()
            for env, actions, results in reversed([*zip(envs, ways, played, strict=True)]):
                if turn < len(actions):
                    results.append(await env.step(actions[turn]))
        assert played == expected
        assert server.created == 3  # two were given out again, to those who held them before


async def test_a_full_server_is_told_and_nobodys_environment_is_taken() -> None:
    async with trying("webshop", capacity=2, environments=3) as (server, world):
        first, second, third = (world.environment() for _ in range(3))
        await first.reset("webshop/0")
        await first.step("search[shoes]")
        await second.reset("webshop/1")
        with pytest.raises(EnvironmentFault, match="gives out environments that are in use"):
            await third.reset("webshop/2")
        assert "b01" in (await first.step("click[b01]")).observation
        await second.close()
        assert "b03" not in await third.reset("webshop/2")
        assert len(server.envs) == 2
        assert server.shared == 0


async def test_a_full_server_may_give_back_what_was_lost() -> None:
    """SqlGym cannot close, and cycles through the numbers that there are."""
    tasks = [f"sqlgym/{index}" for index in (2, 3, 4)]
    async with trying("sqlgym", capacity=3, environments=3) as (server, world):
        server.fail("step", "500", after=4)
        plays = await asyncio.gather(*(whole(world.environment(), task) for task in tasks))
        assert [play[-1].reward for play in plays] == [1.0] * 3
        assert server.created == 3
        assert server.shared == 0


async def test_an_end_that_we_did_not_see_is_a_lost_environment() -> None:
    async with trying("alfworld") as (server, world):

        def ended(number: int) -> None:
            if number == 3:
                server.envs[0].done = True

        assert (await whole(world.environment(), "alfworld/3", ended))[-1].reward == 1.0
        assert server.created == 2


async def test_an_error_that_another_environment_repeats_is_the_actions() -> None:
    async with trying("textcraft") as (server, world):
        env = world.environment()
        await env.reset("textcraft/3")
        server.fail("step", "invalid literal\nfor int()", times=2)
        result = await env.step("get 1 x")
        assert result == StepResult("invalid literal for int()", 0.0, terminated=False)
        assert server.created == 2


async def test_an_error_that_another_environment_does_not_repeat_was_none() -> None:
    expected = await undisturbed("sciworld", "sciworld/3")
    async with trying("sciworld") as (server, world):
        server.fail("step", "An error of Java's", after=1)
        assert await whole(world.environment(), "sciworld/3") == expected


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("500", "HTTP 500 to /step"),
        ("cut", "the connection was cut"),
        ("hang", "no answer in time"),
        ("garbage", "step was answered with something that is not JSON"),
        ("The id 0 is not valid.", "The id 0 is not valid."),
    ],
)
async def test_what_stays_broken_is_told_in_one_line_that_names_the_url(
    fault: str, told: str
) -> None:
    async with trying("textcraft", timeout_s=0.3) as (server, world):
        env = world.environment()
        await env.reset("textcraft/1")
        server.fail("step", fault, times=99)
        with pytest.raises(EnvironmentFault) as caught:
            await env.step("inventory")
        line = f"AgentGym's textcraft at {server.url}/?: {re.escape(told)}"
        assert re.fullmatch(line, str(caught.value))
        assert server.created == 3
        await env.close()
        server.faults.clear()
        assert (await whole(env, "textcraft/2"))[-1].reward == 1.0


async def test_pauses_grow_between_tries() -> None:
    async with trying("textcraft", pauses=(0.05, 0.15)) as (server, world):
        server.fail("create", "500", times=99)
        began = time.monotonic()
        with pytest.raises(EnvironmentFault, match="HTTP 500"):
            await world.environment().reset("textcraft/1")
        assert time.monotonic() - began >= 0.2
        assert server.count("create") == 3


async def test_a_request_that_the_server_does_not_know_is_not_repeated() -> None:
    async with trying("sqlgym") as (server, world):
        server.fail("reset", "404", times=99)
        with pytest.raises(EnvironmentFault, match="HTTP 404 to /reset: is it that server"):
            await world.environment().reset("sqlgym/1")
        assert server.count("reset") == 1


@pytest.mark.parametrize("name", ["textcraft", "sciworld"])
async def test_a_replay_that_is_answered_otherwise_is_a_fault(name: str) -> None:
    """ScienceWorld's texts never repeat quite: only its scores must."""
    async with trying(name) as (server, world):
        env = world.environment()
        actions = way(f"{name}/3", await env.reset(f"{name}/3"))
        await env.step(actions[0])
        server.alters = lambda text: f"{text} It is {server.created} o'clock."
        server.restart()
        if name == "sciworld":
            assert (await env.step(actions[1])).reward == 0.3
            return
        with pytest.raises(EnvironmentFault, match="action 1 of 1 was answered otherwise"):
            await env.step(actions[1])


async def test_a_replay_with_another_reward_is_a_fault() -> None:
    async with trying("sciworld") as (server, world):
        env = world.environment()
        await env.reset("sciworld/3")
        await env.step("take key")
        server.restart()
        server.worth = 0.5
        with pytest.raises(EnvironmentFault, match="answered otherwise"):
            await env.step("east")


async def test_lines_in_another_order_are_the_same_answer() -> None:
    async with trying("textcraft") as (server, world):
        env = world.environment()
        actions = way("textcraft/3", await env.reset("textcraft/3"))
        server.alters = lambda text: f"{text}\ntwo  lines"
        await env.step(actions[0])
        server.alters = lambda text: f"two lines\n{text}"
        server.restart()
        assert not (await env.step("inventory")).terminated
