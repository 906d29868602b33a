"""Cancelled episodes, and a world's end, leave nothing on AgentGym's servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import pytest

from agent_r.environment import Environment
from agent_r.errors import EnvironmentFault
from tests.support.agentgym_servers import trying, way
from tests.support.waiting import soon


async def whole(env: Environment, task: str) -> None:
    for action in way(task, await env.reset(task)):
        await env.step(action)


async def cancelled(call: Awaitable[object], after_s: float = 0.05) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(after_s):
            await call


async def test_an_environment_whose_step_was_cancelled_is_closed() -> None:
    async with trying("textcraft", environments=1) as (server, world):
        env = world.environment()
        actions = way("textcraft/3", await env.reset("textcraft/3"))
        await env.step(actions[0])
        server.fail("step", "late")
        await cancelled(env.step(actions[1]))
        await soon(lambda: server.closed == [0])
        results = [await env.step(action) for action in actions[1:]]
        assert results[-1].reward == 1.0
        assert server.created == 2


@pytest.mark.parametrize("path", ["create", "reset"])
async def test_an_environment_whose_reset_was_cancelled_is_closed(path: str) -> None:
    async with trying("babyai", environments=1) as (server, world):
        env = world.environment()
        server.delay_s = 0.1
        await cancelled(env.reset("babyai/1"), 0.05 if path == "create" else 0.15)
        await soon(lambda: server.closed == [0])
        assert server.created == 1
        await env.reset("babyai/2")
        assert server.most == 1


async def test_closing_the_world_closes_what_cancelled_episodes_held() -> None:
    async with trying("sciworld", environments=4) as (server, world):
        server.delay_s = 0.02
        playing = [
            asyncio.create_task(whole(world.environment(), f"sciworld/{index}"))
            for index in range(12)
        ]
        await asyncio.sleep(0.13)
        for task in playing:
            task.cancel()
        await asyncio.gather(*playing, return_exceptions=True)
        server.delay_s = 0.0
        await world.aclose()
        assert server.envs == {}
        assert server.most <= 4
        await world.aclose()
        assert len(server.closed) == server.created


async def test_a_closed_world_begins_nothing_more() -> None:
    async with trying("textcraft") as (server, world):
        env = world.environment()
        await env.reset("textcraft/1")
        await world.aclose()
        for begin in (env.step("inventory"), world.environment().reset("textcraft/1")):
            with pytest.raises(EnvironmentFault, match="closed already"):
                await begin
        await env.close()
        assert server.envs == {}


async def test_a_close_that_fails_is_tried_again_and_then_let_be() -> None:
    async with trying("sciworld") as (server, world):
        await world.environment().reset("sciworld/1")
        server.fail("close", "500")
        await world.aclose()
        assert server.closed == [0]
    async with trying("sciworld") as (server, world):
        await world.environment().reset("sciworld/1")
        server.fail("close", "500", times=9)
        await world.aclose()
        assert server.count("close") == 2


async def test_what_a_server_has_closed_already_is_no_trouble() -> None:
    async with trying("sciworld") as (server, world):
        await world.environment().reset("sciworld/1")
        assert server.end(0)
        await world.aclose()  # its answer is 500


async def test_a_server_that_cannot_close_is_asked_once() -> None:
    async with trying("webshop") as (server, world):
        await world.environment().reset("webshop/1")
        await world.aclose()
        assert server.count("close") == 1


@pytest.mark.parametrize("how", ["hangs", "is gone"])
async def test_a_server_that_answers_no_more_holds_up_no_end(how: str) -> None:
    async with trying("textcraft", closing_s=0.3) as (server, world):
        envs = [world.environment() for _ in range(4)]
        for env in envs:
            await env.reset("textcraft/1")
        await envs[0].close()
        if how == "hangs":
            server.fail("close", "hang", times=99)
        else:
            await server.stop()
        began = time.monotonic()
        await world.aclose()
        assert time.monotonic() - began < 10  # seconds of a hanging server, were it waited for
        assert [task for task in asyncio.all_tasks() if "give_up" in repr(task)] == []
