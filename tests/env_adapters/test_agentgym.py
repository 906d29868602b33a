"""AgentGym's servers over HTTP: every wire format, the pool, and what never reaches a server."""

from __future__ import annotations

import asyncio
import re

import pytest

from agent_r.environment import Environment, Split, StepResult
from agent_r.errors import ConfigError, EnvironmentFault, UnknownTask
from agent_r.settings import AgentGymEnv
from env_adapters import world_of
from env_adapters.agentgym.profiles import PROFILES
from tests.support.agentgym_servers import SERVERS, LoopbackAgentGym, shown, trying, way

CLOSING = sorted(set(SERVERS) - {"webshop", "alfworld", "sqlgym"})  # the others cannot close
ODD = ("xyzzy plugh", "", " \t\n", "take " * 20_000, "get " + "9" * 5_000, "взять 鍵 🪵 \ud800\x00")


async def play(env: Environment, task: str, actions: list[str] | None = None) -> list[StepResult]:
    prompt = await env.reset(task)
    results = []
    for action in actions or way(task, prompt):
        results.append(await env.step(action))
    return results


@pytest.mark.parametrize("name", SERVERS)
async def test_an_episode_begins_earns_its_reward_and_ends(name: str) -> None:
    async with trying(name) as (server, world):
        env = world.environment()
        for index in (1, 2):
            results = await play(env, f"{name}/{index}")
            assert results[-1].reward == 1.0
            assert [result.terminated for result in results] == [False] * (len(results) - 1) + [
                True
            ]
            assert not any(result.truncated for result in results)
            assert all(isinstance(result.reward, float) for result in results)
            with pytest.raises(ValueError, match="ended"):
                await env.step("look")
        await env.close()
        await env.close()
        assert server.created == 1
    assert server.closed == ([0] if name in CLOSING else [])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("textcraft", r"Crafting commands:\n(.+\n)+\nGoal: craft .+\."),
        ("sciworld", r"Open the door\.\nA key lies here\..+"),
        ("webshop", r"WebShop \[SEP\] Instruction:.+\nAvailable actions: search\[keywords\]"),
        ("babyai", r"Your goal: open the door\nA key.+\nAvailable actions: .+"),
        ("alfworld", r"A key.+\nAvailable actions: take key, east, west, push"),
        ("searchqa", r"Question: A key lies here.+"),
        ("sqlgym", r"A key lies here.+"),
        ("webarena", r"OBSERVATION: .+\nOBJECTIVE: open door 3"),
    ],
)
async def test_the_prompt_is_all_that_the_server_says_of_a_task(name: str, expected: str) -> None:
    async with trying(name) as (_, world):
        prompt = await world.environment().reset(f"{name}/3")
        assert re.fullmatch(expected, prompt), prompt


@pytest.mark.parametrize("name", SERVERS)
async def test_any_text_is_answered(name: str) -> None:
    async with trying(name) as (server, world):
        env = world.environment()
        await env.reset(f"{name}/3")
        for action in ODD:
            result = await env.step(action)
            assert 0 < len(result.observation) <= 20_000
            assert result.observation == result.observation.encode(errors="replace").decode()
            assert not result.terminated
            assert result.reward == 0.0
        assert all(len(body.get("action", "")) < 1100 for _, body in server.asked)
        assert [r.reward for r in await play(env, f"{name}/1")][-1] == 1.0


@pytest.mark.parametrize("name", SERVERS)
async def test_a_server_that_is_there_is_known_by_its_greeting(name: str) -> None:
    async with trying(name) as (server, world):
        await world.check()
        assert server.asked == [("", {})]
        other = "sciworld" if name == "textcraft" else "textcraft"
        spec = AgentGymEnv(kind="agentgym", server=other, base_url=server.url)
        with pytest.raises(ConfigError, match=f"^{server.url}/? is not AgentGym's {other}: .*"):
            await world_of(spec).check()


async def test_where_nobody_listens_the_check_names_the_url() -> None:
    async with LoopbackAgentGym("webshop") as server:
        url = server.url
    world = world_of(AgentGymEnv(kind="agentgym", server="webshop", base_url=url))
    line = f"^AgentGym's webshop at {url}/?: no server answers .cannot connect.$"
    with pytest.raises(EnvironmentFault, match=line):
        await world.check()
    await world.aclose()


async def test_before_the_first_reset_nothing_is_asked() -> None:
    async with trying("sciworld") as (server, world):
        env = world.environment()
        assert len(env.tasks("train")) == 2784
        assert world.expert is None
        with pytest.raises(ValueError, match="ended"):
            await env.step("look around")
        for name in ("", "sciworld", "sciworld/", "sciworld/01", "sciworld/4639", "webshop/1", "1"):
            with pytest.raises(UnknownTask):
                await env.reset(name)
        await env.close()
        assert server.asked == []


@pytest.mark.parametrize("name", SERVERS)
def test_splits_are_apart_and_every_task_can_be_begun(name: str) -> None:
    world = world_of(AgentGymEnv(kind="agentgym", server=name, base_url="http://localhost:1"))
    env, seen = world.environment(), set[str]()
    splits: tuple[Split, ...] = ("warm_start", "train", "test")
    for split in splits:
        ids = [task.id for task in env.tasks(split)]
        assert len(ids) >= 50
        assert {task.split for task in env.tasks(split)} == {split}
        assert all(PROFILES[name].index(id) is not None for id in ids)
        assert len(set(ids) - seen) == len(ids)
        seen.update(ids)


@pytest.mark.parametrize("name", SERVERS)
def test_a_dataset_is_told_no_address(name: str) -> None:
    spec = AgentGymEnv(kind="agentgym", server=name, base_url="http://secret.example:36001/in")
    info = world_of(spec).environment().info
    assert info.name == f"agentgym-{name}"
    assert info.version == f"1-{name}-{PROFILES[name].version}"
    assert "secret" not in repr(info)
    assert "Thought: ...\nAction: " in info.instruction


async def test_a_base_url_may_have_a_path() -> None:
    async with trying("textcraft", path="/games/craft/") as (server, world):
        await world.environment().reset("textcraft/1")
        assert [path for path, _ in server.asked] == ["games/craft/create", "games/craft/reset"]


async def test_the_shop_grades_what_is_bought_and_only_then() -> None:
    buy = ["search[shoes]", "click[b01]", "click[dark]", "click[Buy Now]"]
    worse = ["search[shoes]", "click[b02]", "click[buy now]"]
    async with trying("webshop") as (_, world):
        env = world.environment()
        results = await play(env, "webshop/3", buy)
        assert [round(r.reward, 3) for r in results] == [0, 0, 0, 1]
        assert shown(results[0]) == ["click[back to search]", "click[b01]", "click[b02]"]
        results = await play(env, "webshop/3", worse)
        assert [round(r.reward, 3) for r in results] == [0, 0, 0]
        results = await play(env, "webshop/3", ["search[x]", "click[b01]", "click[buy now]"])
        assert [round(r.reward, 3) for r in results] == [0, 0, 0.667]
        assert results[-1].terminated
        assert "Available actions" not in results[-1].observation


async def test_a_malformed_action_never_reaches_the_shop() -> None:
    async with trying("webshop") as (server, world):
        env = world.environment()
        await env.reset("webshop/3")
        for action in ("buy it", "search", "search[]", "click[ ]", "Search shoes", "", "think[x]"):
            assert "Nothing was done" in (await env.step(action)).observation
        assert server.count("step") == 0
        await env.step("search[shoes]")
        assert server.count("step") == 1


async def test_textcraft_is_over_at_its_goal_though_the_server_steps_on() -> None:
    async with trying("textcraft") as (server, world):
        env = world.environment()
        results = await play(env, "textcraft/5")
        steps = server.count("step")
        assert results[-1].terminated
        with pytest.raises(ValueError, match="ended"):
            await env.step("inventory")
        assert server.count("step") == steps


async def test_scienceworlds_score_is_the_reward_so_far_and_below_zero_all_is_lost() -> None:
    async with trying("sciworld") as (_, world):
        env = world.environment()
        results = await play(env, "sciworld/1", ["take key", "east", "jump"])
        assert [r.reward for r in results] == [0.3, 0.3, 0.0]
        assert results[-1].terminated
        results = await play(env, "sciworld/1", ["take key", "drop key"])
        assert [r.reward for r in results] == [0.3, 0.0]


async def test_scienceworld_is_sent_its_own_word_wait() -> None:
    async with trying("sciworld") as (server, world):
        await play(world.environment(), "sciworld/1", ["wait", "wait1"])
        sent = [body["action"] for path, body in server.asked if path == "step"]
        assert sent == ["wait", "wait1"]


async def test_babyais_score_adds_up_and_is_not_the_reward() -> None:
    async with trying("babyai") as (_, world):
        actions = ["take key", "east", "drop key", "west"]
        results = await play(world.environment(), "babyai/1", actions)
        assert [r.reward for r in results] == [0.3, 0.3, 0.3, 0.3]


async def test_the_browser_gets_its_action_in_a_fence() -> None:
    async with trying("webarena") as (server, world):
        await play(world.environment(), "webarena/1", ["take key"])
        assert server.asked[-1] == ("step", {"env_idx": 0, "action": "```take key```"})


async def test_environments_are_lent_again_and_reset() -> None:
    async with trying("alfworld", environments=2) as (server, world):
        for index in range(6):
            env = world.environment()
            assert (await play(env, f"alfworld/{index}"))[-1].reward == 1.0
            await env.close()
        assert server.created == 1
        assert server.count("reset") == 6


async def test_who_finds_all_environments_lent_waits_for_one() -> None:
    async with trying("babyai", environments=1) as (server, world):
        first, second = world.environment(), world.environment()
        await first.reset("babyai/1")
        waiting = asyncio.create_task(second.reset("babyai/2"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await first.close()
        assert "2 rooms" in await waiting
        assert server.most == 1


@pytest.mark.parametrize(("name", "most"), [("sqlgym", 8), ("webarena", 1)])
async def test_no_more_are_held_than_a_server_keeps_apart(name: str, most: int) -> None:
    async with trying(name, environments=32, capacity=most, delay_s=0.002) as (server, world):
        await asyncio.gather(*(_whole(world.environment(), name, i) for i in range(12)))
        assert server.created == most
        assert server.shared == 0


@pytest.mark.parametrize("name", SERVERS)
async def test_many_episodes_share_few_environments_and_all_finish(name: str) -> None:
    async with trying(name, environments=8, delay_s=0.002) as (server, world):
        rewards = await asyncio.gather(*(_whole(world.environment(), name, i) for i in range(32)))
        assert rewards == [1.0] * 32
        assert server.most <= 8
        assert server.shared == 0
    assert sorted(server.closed) == (list(range(server.created)) if name in CLOSING else [])


async def _whole(env: Environment, name: str, index: int) -> float:
    results = await play(env, f"{name}/{index}")
    await env.close()
    return results[-1].reward
