"""OpenEnv's wire, against a loopback server that misbehaves and a real one from the index."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent_r.config import parse
from agent_r.env_check import Limits, check
from agent_r.env_check.checks import ODD
from agent_r.env_check.resources import Resources
from agent_r.errors import AgentRError, ConfigError, EnvironmentFault, UnknownTask
from agent_r.settings import OpenEnvEnv
from env_adapters import world_of
from env_adapters.openenv import wire as openenv_wire
from env_adapters.openenv.environment import OpenEnvWorld, openenv
from tests.support.openenv_server import BASE, SCHEMA, LoopbackOpenEnv
from tests.support.ports import free_port
from tests.support.waiting import all_given_back, soon, until


def spec(url: str, **settings: Any) -> OpenEnvEnv:
    return OpenEnvEnv.model_validate({**BASE, "base_url": url, **settings})


@contextlib.asynccontextmanager
async def world_at(url: str, **settings: Any) -> AsyncIterator[OpenEnvWorld]:
    world = openenv(spec(url, **settings))
    try:
        yield world
    finally:
        await world.aclose()


def first(world: OpenEnvWorld) -> str:
    return world.environment().tasks("train")[0].id


async def test_an_episode_is_played_over_the_wire() -> None:
    async with LoopbackOpenEnv() as server, world_at(server.url) as world:
        env = world.environment()
        assert await env.reset(first(world)) == "Count to 3."
        results = [await env.step(word) for word in ("1", "2", "three", "3")]
        assert results[0].observation == "You said 1, and are at 1."
        assert [r.reward for r in results] == [1.0, 1.0, 0.0, 1.0]
        assert [r.terminated for r in results] == [False, False, False, True]
        with pytest.raises(ValueError, match="reset first"):
            await env.step("4")
        assert server.asked == ["state", "reset", "step 1", "step 2", "step three", "step 3"]


@pytest.mark.parametrize(
    ("reward", "low_high", "words", "expected"),
    [
        ("last", (0, 1), "1 x nothing 2", [1.0, 0.0, 0.0, 1.0]),
        ("sum", (0, 2), "1 x nothing 2", [0.5, 0.5, 0.5, 1.0]),
        ("sum", (-2, 2), "x 1 2", [0.5, 0.75, 1.0]),
        ("sum", (0, 1), "1 2", [1.0, 1.0]),
        ("last", (-1, 1), "nothing x", [0.0, 0.5]),
    ],
)
async def test_rewards_become_the_fraction_so_far(
    reward: str, low_high: tuple[float, float], words: str, expected: list[float]
) -> None:
    async with (
        LoopbackOpenEnv() as server,
        world_at(server.url, reward=reward, reward_range=low_high) as world,
    ):
        env = world.environment()
        await env.reset(first(world))
        assert [(await env.step(word)).reward for word in words.split()] == expected


@pytest.mark.parametrize("trouble", ["die", "hang"])
async def test_a_lost_session_is_replaced_and_the_actor_never_learns_of_it(trouble: str) -> None:
    async with (
        LoopbackOpenEnv(troubles=1) as server,
        world_at(server.url, timeout_s=0.6) as world,
    ):
        env = world.environment()
        await env.reset(first(world))
        await env.step("1")
        result = await env.step(trouble)
        assert result.observation == f"You said {trouble}, and are at 1."
        assert (await env.step("2")).observation == "You said 2, and are at 2."
        assert server.asked[4:8] == ["state", "reset", "step 1", f"step {trouble}"]
        assert world.sessions.held == 1


async def test_what_the_server_refused_is_played_again_too() -> None:
    async with LoopbackOpenEnv(troubles=2) as server, world_at(server.url) as world:
        env = world.environment()
        await env.reset(first(world))
        await env.step("fail")
        server.troubles = 1
        with pytest.raises(EnvironmentFault, match="the same actions give other answers"):
            await env.step("die")
        assert server.asked[-3:] == ["reset", "step fail", "close"]


async def test_a_server_that_answers_otherwise_the_second_time_is_at_fault() -> None:
    async with LoopbackOpenEnv(drifts=True) as server, world_at(server.url) as world:
        env = world.environment()
        await env.reset(first(world))
        await env.step("1")
        server.troubles = 1
        with pytest.raises(EnvironmentFault, match="other answers in a new one"):
            await env.step("die")
        assert world.sessions.held == 0


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("die", r"the connection was closed \(3 tries\)"),
        ("hang", r"no answer to 'step' in 0\.6 s \(3 tries\)"),
        ("babble", "answered not OpenEnv, but '<html>502"),
        ("swell", "answered an answer of more than 4,194,304 bytes"),
        ("nan", "answered a reward of 'nan'"),
        ("words", "answered a reward of 'much'"),
    ],
)
async def test_a_server_that_is_broken_is_a_fault_in_one_line(word: str, told: str) -> None:
    async with LoopbackOpenEnv() as server, world_at(server.url, timeout_s=0.6) as world:
        env = world.environment()
        await env.reset(first(world))
        began = time.monotonic()
        with pytest.raises(EnvironmentFault, match=told) as caught:
            await env.step(word)
        assert time.monotonic() - began < 10
        assert "\n" not in str(caught.value)
        assert "openenv 'counting' (127.0.0.1:" in str(caught.value)
        with pytest.raises(ValueError, match="reset first"):
            await env.step("1")
        assert await env.reset(first(world)) == "Count to 3."


async def test_a_refused_action_is_an_observation_and_the_episode_goes_on() -> None:
    async with LoopbackOpenEnv() as server, world_at(server.url) as world:
        env = world.environment()
        await env.reset(first(world))
        await env.step("1")
        result = await env.step("fail")
        assert result.observation == ("That was refused: Invalid message (message: too short)")
        assert (result.reward, result.terminated) == (1.0, False)
        assert (await env.step("2")).observation == "You said 2, and are at 2."
        assert server.opened == 1


async def test_a_refused_reset_and_an_episode_that_is_over_at_once_are_faults() -> None:
    train = [{"seed": "bad"}, {"seed": -3}]
    async with LoopbackOpenEnv() as server, world_at(server.url, train=train) as world:
        env = world.environment()
        for task, told in zip(env.tasks("train"), ("refuses to reset", "is over"), strict=True):
            with pytest.raises(EnvironmentFault, match=told):
                await env.reset(task.id)


async def test_an_observation_without_the_field_says_which_there_are() -> None:
    async with LoopbackOpenEnv() as server, world_at(server.url, observation="words") as world:
        with pytest.raises(EnvironmentFault, match="without 'words': it has rest, text"):
            await world.environment().reset(first(world))


@pytest.mark.parametrize(("field", "seen"), [("rest.said", "1"), ("rest.empty", ""),
                                             ("rest", '{"said":1,"empty":null}')])  # fmt: skip
async def test_a_field_may_lie_deeper_and_need_not_be_text(field: str, seen: str) -> None:
    async with LoopbackOpenEnv() as server, world_at(server.url, observation=field) as world:
        env = world.environment()
        if field == "rest":
            await env.reset(first(world))
            assert (await env.step("1")).observation == seen
            return
        with pytest.raises(EnvironmentFault):  # this world's resets have no such field
            await env.reset(first(world))


async def test_a_full_server_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openenv_wire, "FULL_S", 0.2)
    async with LoopbackOpenEnv(room=1) as server, world_at(server.url, sessions=2) as world:
        with pytest.raises(ConfigError, match=r"1/1 sessions.*lower env\.sessions"):
            await world.check()
        one, two = world.environment(), world.environment()
        await one.reset(first(world))
        with pytest.raises(EnvironmentFault, match="raise the server's own limit"):
            await two.reset(first(world))
        assert (await one.step("1")).reward == 1.0


async def test_a_server_that_frees_a_place_late_is_waited_for() -> None:
    async with (
        LoopbackOpenEnv(room=1, frees_after_s=0.5, troubles=1) as server,
        world_at(server.url) as world,
    ):
        env = world.environment()
        await env.reset(first(world))
        assert (await env.step("die")).observation == "You said die, and are at 0."
        assert server.most == 1


async def test_sessions_are_kept_lent_to_one_at_a_time_and_never_too_many() -> None:
    async with LoopbackOpenEnv() as server, world_at(server.url, sessions=2) as world:

        async def episode(task: str) -> list[str]:
            env = world.environment()
            await env.reset(task)
            seen = [(await env.step(word)).observation for word in ("1", "2")]
            await env.close()
            return seen

        seen = await asyncio.gather(*(episode(first(world)) for _ in range(7)))
        assert all(one == seen[0] for one in seen)
        assert (server.opened, server.most) == (2, 2)


async def test_a_server_that_was_started_anew_is_met_again() -> None:
    async with LoopbackOpenEnv() as server, world_at(server.url, sessions=4) as world:
        envs = [world.environment() for _ in range(4)]
        for env in envs:
            await env.reset(first(world))
        for env in envs:
            await env.close()
        server.cut_all()
        await asyncio.sleep(0.05)
        assert await envs[0].reset(first(world)) == "Count to 3."


async def test_a_cancelled_step_takes_its_session_with_it() -> None:
    async with LoopbackOpenEnv() as server, world_at(server.url) as world:
        env = world.environment()
        await env.reset(first(world))
        step = asyncio.create_task(env.step("hang"))
        await asyncio.sleep(0.05)
        step.cancel()
        began = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await step
        assert time.monotonic() - began < 3
        assert world.sessions.held == 0
        with pytest.raises(ValueError, match="reset first"):
            await env.step("1")
        assert await env.reset(first(world)) == "Count to 3."
        assert (await env.step("1")).observation == "You said 1, and are at 1."


async def test_a_closed_world_leaves_nothing_and_closes_twice() -> None:
    async with LoopbackOpenEnv() as server:
        before = Resources.now()
        world = openenv(spec(server.url, sessions=3))
        envs = [world.environment() for _ in range(3)]
        for env in envs:
            await env.reset(first(world))
        step = asyncio.create_task(envs[0].step("hang"))
        await asyncio.sleep(0.05)
        step.cancel()
        await envs[1].close()
        await world.aclose()
        await world.aclose()
        await asyncio.gather(step, return_exceptions=True)
        await all_given_back(before)
        await soon(lambda: server.sessions == 0)
        await envs[2].close()


async def test_the_action_is_filled_in_wherever_the_template_says() -> None:
    schema = {"action": {"properties": {}}}
    action = {"message": "say {action}", "metadata": {"all": ["{action}", 1]}}
    async with (
        LoopbackOpenEnv(schema=schema) as server,
        world_at(server.url, action=action) as world,
    ):
        env = world.environment()
        await env.reset(first(world))
        await env.step("{action} 1")
        assert server.asked[-1] == "step say {action} 1"


@pytest.mark.parametrize("word", ["", "two", "1.5", "9" * 5000, "١", "0x1"])
async def test_what_is_no_number_is_refused_without_asking(word: str) -> None:
    action = {"message": "{action:int}"}
    async with LoopbackOpenEnv() as server, world_at(server.url, action=action) as world:
        env = world.environment()
        await env.reset(first(world))
        result = await env.step(word)
        assert result.observation == "That is no action: answer with a whole number."
        assert server.asked == ["state", "reset"]
        assert (await env.step(" 1 ")).observation == "You said 1, and are at 1."


async def test_any_action_is_answered_and_none_fills_the_servers_memory() -> None:
    async with LoopbackOpenEnv() as server, world_at(server.url) as world:
        env = world.environment()
        await env.reset(first(world))
        for action in ODD.values():
            assert (await env.step(action)).observation.startswith("You said")
        assert max(map(len, server.asked)) <= 20_005


async def test_tasks_are_named_by_what_reset_is_sent() -> None:
    train = [{}, {"seed": 3, "level": "easy"}, {"seed": "3"}, {"seed": 3}, {"q": "é" * 500}]
    async with world_at("http://127.0.0.1:1", train=train) as world:
        env = world.environment()
        names = [task.id for task in env.tasks("train")]
        assert names[:2] == ["reset-44136fa3", "level-easy-seed-3-96070694"]
        assert len(set(names)) == 5
        assert all(name.isprintable() and len(name) < 60 for name in names)
        assert [t.split for t in env.tasks("test")] == ["test"]
        assert env.tasks("warm_start") == []
        other = openenv(spec("http://127.0.0.1:1", train=[{"level": "easy", "seed": 3}]))
        assert other.environment().tasks("train")[0].id == names[1]
        for strange in ("", "0", "reset", "x" * 10_000):
            with pytest.raises(UnknownTask):
                await env.reset(strange)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"action": {"message": "hello"}}, "says nowhere `{action}`"),
        ({"train": [{"seed": 1}], "test": [{"seed": 1}]}, "list a task twice"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        world_of(spec("http://127.0.0.1:1", **settings))


def test_a_range_of_rewards_has_a_length() -> None:
    with pytest.raises(ConfigError, match="the first must be the lower one"):
        parse({"env": {**BASE, "reward_range": [1, 1]}}, source="test")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"action": {"text": "{action}"}}, r"its action needs 'message' \(it takes message\)"),
        ({"action": {"message": "{action}", "n": 1}}, "its action has no 'n'"),
        ({"action": {"message": {"text": "{action}"}}}, "'message' is string, not"),
        ({"observation": "words"}, "no 'words', but rest, text"),
    ],
)
async def test_a_check_finds_an_action_that_the_server_does_not_know(
    settings: dict[str, Any], told: str
) -> None:
    async with LoopbackOpenEnv() as server, world_at(server.url, **settings) as world:
        with pytest.raises(ConfigError, match=told):
            await world.check()


async def test_a_check_says_how_a_number_is_written() -> None:
    action = {**SCHEMA["action"], "properties": {"message": {"type": "integer"}}}
    async with LoopbackOpenEnv(schema={"action": action}) as server:
        async with world_at(server.url) as world:
            with pytest.raises(ConfigError, match=r"is integer, not.*write '\{action:int\}'"):
                await world.check()
        async with world_at(server.url, action={"message": "{action:int}"}) as world:
            await world.check()


@pytest.mark.parametrize("schema", [None, [], {"action": None}, SCHEMA])
async def test_a_check_leaves_nothing_behind(schema: Any) -> None:
    async with (
        LoopbackOpenEnv(schema=schema, room=3) as server,
        world_at(server.url, sessions=3) as world,
    ):
        await world.check()
        assert (server.most, server.sessions, world.sessions.held) == (3, 0, 0)


async def test_a_server_that_is_not_there_is_told_in_one_line() -> None:
    async with world_at("http://127.0.0.1:1") as world:
        for ask in (world.check(), world.environment().reset(first(world))):
            with pytest.raises(EnvironmentFault, match=r"counting.*127\.0\.0\.1:1") as caught:
                await ask
            assert "\n" not in str(caught.value)


# A real server: `make` installs it beside the environment, for its packages clash with ours.
INSTALLED = Path(sys.prefix) / "openenv"
needs_openenv = pytest.mark.skipif(
    not (INSTALLED / "openenv").is_dir(), reason=f"openenv is not installed in {INSTALLED}"
)


@dataclass
class RealServer:
    """OpenEnv's own server, in a process of its own."""

    port: int
    sessions: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        script = Path(__file__).parents[1] / "support" / "openenv_world.py"
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(self.port), str(self.sessions)],
            env={**os.environ, "PYTHONPATH": str(INSTALLED)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._listens)

    def _listens(self) -> bool:
        assert self._process.poll() is None, "the OpenEnv server did not start"
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def real() -> Iterator[RealServer]:
    server = RealServer(free_port(), sessions=2)
    server.start()
    yield server
    server.kill()


@needs_openenv
async def test_a_real_server_plays_an_episode_and_refuses_what_it_cannot_take(
    real: RealServer,
) -> None:
    async with world_at(real.url, sessions=2) as world:
        await world.check()
        env = world.environment()
        assert await env.reset(first(world)) == "Count to 3."
        rewards = [(await env.step(word)).reward for word in ("1", "x", "crash", "2")]
        assert rewards == [pytest.approx(n / 3) for n in (1, 1, 1, 2)]
        result = await env.step("3")
        assert (result.observation, result.reward, result.terminated) == ("You are at 3.", 1, True)


@needs_openenv
async def test_a_real_server_has_room_again_as_soon_as_sessions_end(real: RealServer) -> None:
    for _ in range(5):
        async with world_at(real.url, sessions=2) as world:
            envs = [world.environment() for _ in range(2)]
            for env in envs:
                await env.reset(first(world))
            step = asyncio.create_task(envs[0].step("1"))
            await asyncio.sleep(0)
            step.cancel()
            await asyncio.gather(step, return_exceptions=True)
            await envs[0].reset(first(world))


@needs_openenv
async def test_a_real_server_that_is_full_says_so(
    real: RealServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openenv_wire, "FULL_S", 0.2)
    async with world_at(real.url, sessions=3) as world:
        with pytest.raises(ConfigError, match=r"2/2 sessions.*lower env\.sessions"):
            await world.check()


@needs_openenv
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"action": {"message": "{action:int}"}}, ""),
        ({"action": {"message": "{action}", "n": 1}}, "has no 'n'"),
        ({"observation": "echo"}, "no 'echo', but text"),
    ],
)
async def test_a_real_servers_schema_is_looked_at(
    real: RealServer, settings: dict[str, Any], told: str
) -> None:
    async with world_at(real.url, **settings) as world:
        with pytest.raises(AgentRError, match=told) if told else contextlib.nullcontext():
            await world.check()


@needs_openenv
async def test_an_episode_survives_the_restart_of_a_real_server(real: RealServer) -> None:
    async with world_at(real.url, sessions=2) as world:
        env = world.environment()
        await env.reset(first(world))
        await env.step("1")
        await asyncio.to_thread(real.kill)
        await asyncio.to_thread(real.start)
        assert (await env.step("2")).observation == "You are at 2."


@needs_openenv
async def test_a_real_server_keeps_the_contract(real: RealServer) -> None:
    report = await check(openenv(spec(real.url, sessions=2)), limits=Limits(measure_s=0.1))
    assert report.kept, [f for f in report.findings if f.verdict == "failed"]
    assert report.facts is not None
