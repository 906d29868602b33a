"""Gymnasium's own environments and others of their style, played as text."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from agent_r.env_check.checks import ODD
from agent_r.env_check.resources import Resources
from agent_r.environment import Forkable
from agent_r.errors import ConfigError, EnvironmentFault, UnknownTask
from agent_r.settings import GymnasiumEnv
from env_adapters import world_of
from env_adapters.gymnasium.environment import GymWorld, gymnasium
from tests.support.waiting import all_given_back, until

HERE = __name__


class Doors:
    """A style of Gymnasium's without its package: three doors, the seed says which is right."""

    open = 0  # environments that were made and not closed
    asleep = most_asleep = 0  # of their steps

    def __init__(self, fails: str = "") -> None:
        self.fails = fails
        Doors.open += 1

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        self.right, self.tried = (seed or 0) % 3, 0
        return f"Three doors; seed {seed}.", {}

    def step(self, action: str) -> Any:
        self.tried += 1
        if action == "raise":
            raise RuntimeError("the handle\ncame off")
        if action == "exit":
            raise SystemExit(3)
        if action == "sleep":
            Doors.asleep += 1
            Doors.most_asleep = max(Doors.most_asleep, Doors.asleep)
            time.sleep(0.3)
            Doors.asleep -= 1
        if action == "short":
            return "seen", 0.0, True, {}
        reward: Any = {"none": None, "nan": float("nan")}.get(action, float(action == "open"))
        seen = {"tried": self.tried, "size": len(action)} if action == "look" else "A door."
        return seen, reward, action == "open", self.tried >= 50, {}

    def close(self) -> None:
        Doors.open -= 1


class Numbered(Doors):
    """The same, its actions numbers from 1, each with a name."""

    action_space = SimpleNamespace(n=3, start=1, shape=())
    action_names = ("Left", "Middle", "Right")

    def step(self, action: int) -> Any:
        assert type(action) is int
        won = action - 1 == self.right
        return f"Door {action}.", 2.0 if won else -1.0, won, False, {}


class Threadbound(Doors):
    """It may be used only in the thread that made it, as sqlite's connections."""

    def __init__(self) -> None:
        super().__init__()
        self.connection = sqlite3.connect(":memory:")

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.connection.execute("select 'a row'").fetchone()[0], {}

    def close(self) -> None:
        super().close()
        self.connection.close()


class Kept(Doors):
    """It keeps and restores its own state."""

    def snapshot(self) -> tuple[int, int]:
        return self.right, self.tried

    def restore(self, state: tuple[int, int]) -> None:
        self.right, self.tried = state


def a_lake() -> Any:
    """Gymnasium's FrozenLake, told in words."""
    import gymnasium as gym

    class Told(gym.Wrapper[Any, Any, Any, Any]):
        action_names = ("left", "down", "right", "up")

        def reset(self, **more: Any) -> tuple[str, dict[str, Any]]:
            seen, info = self.env.reset(**more)
            return f"You stand on square {seen} of 16. The goal is 15.", info

        def step(self, action: int) -> Any:
            seen, reward, terminated, truncated, info = self.env.step(action)
            return f"You slide to square {seen}.", reward, terminated, truncated, info

    return Told(gym.make("FrozenLake-v1", is_slippery=False))


def a_lake_of_numbers() -> Any:
    import gymnasium as gym

    return gym.make("FrozenLake-v1", is_slippery=True)


def an_echo(longest: int = 20) -> Any:
    """A gymnasium.Env with spaces of text."""
    import gymnasium as gym

    class Echo(gym.Env[str, str]):
        observation_space = gym.spaces.Text(1000)
        action_space = gym.spaces.Text(longest, charset="abcdefgh ")

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[str, Any]:
            super().reset(seed=seed)
            return f"Say {self.np_random.integers(9)} words.", {}

        def step(self, action: str) -> Any:
            return f"You said {action!r}.", len(action.split()) / 4, False, False, {}

    return Echo()


def a_box() -> Any:
    import gymnasium as gym

    return SimpleNamespace(
        reset=None, step=None, action_space=gym.spaces.Box(0.0, 1.0), close=lambda: None
    )


def spec(factory: str, **settings: Any) -> GymnasiumEnv:
    base = {"kind": "gymnasium", "factory": f"{HERE}:{factory}", "instruction": "Action: open"}
    return GymnasiumEnv.model_validate({**base, **settings})


@asynccontextmanager
async def world_of_gym(factory: str, **settings: Any) -> AsyncIterator[GymWorld]:
    world = gymnasium(spec(factory, **settings))
    try:
        yield world
    finally:
        await world.aclose()


@pytest.fixture(autouse=True)
def all_are_closed() -> Iterator[None]:
    before, threads = Doors.open, threading.active_count()
    yield
    until(lambda: Doors.open == before)
    until(lambda: threading.active_count() <= threads + 1)  # the event loop's own


async def test_an_episode_is_played_as_text() -> None:
    async with world_of_gym("Doors") as world:
        env = world.environment()
        assert await env.reset("seed/7") == "Three doors; seed 7."
        look = await env.step("look")
        assert (look.observation, look.reward) == ('{"tried":1,"size":4}', 0.0)
        result = await env.step("open")
        assert (result.reward, result.terminated, result.truncated) == (1.0, True, False)
        with pytest.raises(ValueError, match="reset first"):
            await env.step("open")
        await env.close()
        await env.close()


async def test_the_worlds_own_limit_is_a_truncation() -> None:
    async with world_of_gym("Doors") as world:
        env = world.environment()
        await env.reset("seed/0")
        results = [await env.step("wait") for _ in range(50)]
        assert [r.truncated for r in results] == [False] * 49 + [True]
        assert not results[-1].terminated


@pytest.mark.parametrize(
    ("action", "expected"),
    [("1", 1.0), ("Left", 1.0), (" lEfT ", 1.0), ("right", 0.0), ("2", 0.0), ("+1", 1.0)],
)
async def test_an_action_is_a_number_or_its_name(action: str, expected: float) -> None:
    async with world_of_gym("Numbered", reward_range=(-1, 2)) as world:
        env = world.environment()
        await env.reset("seed/3")
        assert (await env.step(action)).reward == expected


@pytest.mark.parametrize("action", ["0", "4", "", "door", "1.0", "-1", "١", "9" * 5000])
async def test_what_is_no_action_is_refused_in_the_observation(action: str) -> None:
    async with world_of_gym("Numbered", reward="last", reward_range=(-1, 2)) as world:
        env = world.environment()
        await env.reset("seed/0")
        await env.step("2")
        result = await env.step(action)
        assert result.observation == (
            "That is no action: answer with a number from 1 to 3, or one of: left, middle, right."
        )
        assert (result.reward, result.terminated) == (0.0, False)


@pytest.mark.parametrize(
    ("reward", "low_high", "expected"),
    [
        ("sum", (-2.0, 2.0), [0.25, 0.0, 0.5]),
        ("last", (-1.0, 2.0), [0.0, 0.0, 1.0]),
        ("sum", (0.0, 1.0), [0.0, 0.0, 0.0]),
    ],
)
async def test_rewards_are_mapped_and_clipped(
    reward: str, low_high: tuple[float, float], expected: list[float]
) -> None:
    async with world_of_gym("Numbered", reward=reward, reward_range=low_high) as world:
        env = world.environment()
        await env.reset("seed/2")
        assert [(await env.step(number)).reward for number in "123"] == expected


async def test_a_reward_that_is_not_given_changes_nothing() -> None:
    async with world_of_gym("Doors", reward="last", reward_range=(-1, 1)) as world:
        env = world.environment()
        await env.reset("seed/2")
        assert [(await env.step(word)).reward for word in ("none", "x", "none")] == [0.0, 0.5, 0.5]


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ("raise", "step() raised RuntimeError: the handle came off"),
        ("exit", "step() raised SystemExit: 3"),
        ("short", "step() gave a tuple of 4, not (observation, reward, terminated, truncated, i"),
        ("nan", "step() raised ValueError: a reward of nan"),
    ],
)
async def test_an_environment_that_fails_is_a_fault_in_one_line(action: str, told: str) -> None:
    async with world_of_gym("Doors") as world:
        env = world.environment()
        await env.reset("seed/0")
        with pytest.raises(EnvironmentFault) as caught:
            await env.step(action)
        assert f"{HERE}:Doors" in str(caught.value)
        assert told in str(caught.value)
        assert "\n" not in str(caught.value)
        with pytest.raises(ValueError, match="reset first"):
            await env.step("open")
        assert await env.reset("seed/1") == "Three doors; seed 1."


async def test_a_slow_environment_blocks_nobody() -> None:
    async with world_of_gym("Doors") as world:
        envs = [world.environment() for _ in range(4)]
        for env in envs:
            await env.reset("seed/0")
        Doors.most_asleep = ticks = 0
        steps = asyncio.gather(*(env.step("sleep") for env in envs))
        while not steps.done():
            await asyncio.sleep(0.01)
            ticks += 1
        assert Doors.most_asleep == 4  # all at once
        assert ticks > 8  # two for each, were the event loop held up by their sleep


async def test_what_takes_too_long_is_a_fault_and_what_is_cancelled_is_closed() -> None:
    async with world_of_gym("Doors", timeout_s=0.1) as world:
        late, left = world.environment(), world.environment()
        await late.reset("seed/0")
        await left.reset("seed/0")
        with pytest.raises(EnvironmentFault, match=r"step\(\) gave no answer in 0\.1 s"):
            await late.step("sleep")
        step = asyncio.create_task(left.step("sleep"))
        await asyncio.sleep(0.02)
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
        assert world.players.held == 0
        assert await left.reset("seed/1") == "Three doors; seed 1."


async def test_all_calls_come_from_the_thread_that_made_it() -> None:
    async with world_of_gym("Threadbound") as world:
        envs = [world.environment() for _ in range(5)]
        assert await asyncio.gather(*(env.reset("seed/0") for env in envs)) == ["a row"] * 5


async def test_environments_are_kept_and_never_too_many() -> None:
    async with world_of_gym("Doors", environments=2) as world:
        before = Doors.open

        async def episode(seed: int) -> int:
            env = world.environment()
            await env.reset(f"seed/{seed}")
            await env.step("look")
            held = Doors.open - before
            await env.close()
            return held

        assert max(await asyncio.gather(*(episode(seed) for seed in range(9)))) <= 2


async def test_a_closed_world_leaves_nothing_also_of_what_was_cancelled() -> None:
    before, opened = Resources.now(), Doors.open
    world = gymnasium(spec("Doors"))
    env, other = world.environment(), world.environment()
    await env.reset("seed/0")
    await other.reset("seed/0")
    step = asyncio.create_task(env.step("sleep"))
    await asyncio.sleep(0.02)
    step.cancel()
    await asyncio.gather(step, return_exceptions=True)
    await world.aclose()
    await world.aclose()
    await all_given_back(before)
    assert Doors.open == opened


def test_seeds_are_split_apart_and_stay_where_they_are() -> None:
    def split(seeds: int) -> list[set[str]]:
        env = gymnasium(spec("Doors", seeds=seeds)).environment()
        return [{t.id for t in env.tasks(name)} for name in ("warm_start", "train", "test")]

    few, many = split(100), split(1000)
    assert sum(map(len, many)) == 1000 == len(set.union(*many))
    assert [len(part) for part in many] == [pytest.approx(n, abs=50) for n in (200, 550, 250)]
    assert all(one <= other for one, other in zip(few, many, strict=True))
    assert all(split(4)[1:])


@pytest.mark.parametrize("task", ["", "seed/", "seed/100", "seed/-1", "seed/01", "17", "seed/²",
                                  "seed/" + "9" * 5000])  # fmt: skip
async def test_other_tasks_are_unknown(task: str) -> None:
    async with world_of_gym("Doors") as world:
        with pytest.raises(UnknownTask, match="seed/0 to 99"):
            await world.environment().reset(task)


async def test_only_an_environment_that_keeps_its_own_state_is_forked() -> None:
    async with world_of_gym("Doors") as plain, world_of_gym("Kept") as kept:
        assert not isinstance(plain.environment(), Forkable)
        env = kept.environment()
        assert isinstance(env, Forkable)
        with pytest.raises(ValueError, match="reset first"):
            env.snapshot()
        await env.reset("seed/1")
        await env.step("look")
        snapshot = env.snapshot()
        assert (await env.step("open")).terminated
        env.restore(snapshot)
        assert (await env.step("look")).observation == '{"tried":2,"size":4}'
        for strange in (None, "x", (), {}):
            with pytest.raises(ValueError, match="not a snapshot"):
                env.restore(strange)


@pytest.mark.parametrize(
    ("factory", "arguments", "told"),
    [
        ("Nothing", {}, f"{HERE} .* has no 'Nothing'"),
        ("Doors", {"wings": 1}, "takes other arguments: .*'wings'"),
        ("SimpleNamespace", {}, "not a gymnasium.Env: it lacks reset, step"),
        ("a_box", {}, "takes actions of Box"),
    ],
)
def test_a_factory_that_makes_no_environment_is_told_in_one_line(
    factory: str, arguments: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        world_of(spec(factory, arguments=arguments))
    assert "\n" not in str(caught.value)


async def test_gymnasiums_own_lake_is_crossed_by_name_and_by_number() -> None:
    pytest.importorskip("gymnasium")
    async with world_of_gym("a_lake") as world:
        env = world.environment()
        assert await env.reset("seed/5") == "You stand on square 0 of 16. The goal is 15."
        for action in ("down", "1", "right", "Right", "down"):
            assert not (await env.step(action)).terminated
        result = await env.step("right")
        assert (result.observation, result.reward, result.terminated) == (
            "You slide to square 15.", 1.0, True
        )  # fmt: skip


async def test_a_slippery_lake_slips_the_same_way_for_the_same_seed() -> None:
    pytest.importorskip("gymnasium")
    async with world_of_gym("a_lake_of_numbers", environments=2) as world:
        one, two = world.environment(), world.environment()
        seen = []
        for env in (one, two, one):
            assert await env.reset("seed/3") == "0"
            seen.append([(await env.step(action)).observation for action in "12"])
        assert seen[0] == seen[1] == seen[2]


async def test_a_space_of_texts_says_which_it_takes() -> None:
    pytest.importorskip("gymnasium")
    async with world_of_gym("an_echo", arguments={"longest": 9}) as world:
        env = world.environment()
        await env.reset("seed/3")
        assert (await env.step("a bad dog")).observation.startswith("That is no action: it must")
        assert (await env.step("a bad")).observation == "You said 'a bad'."
        for action in ODD.values():
            assert not (await env.step(action)).terminated


class Stuck(Kept):
    """Its state cannot be kept, and what it does then leaves it in doubt."""

    def snapshot(self) -> tuple[int, int]:
        raise OSError("no more memory")


async def test_an_environment_whose_state_could_not_be_kept_is_used_no_more() -> None:
    async with world_of_gym("Stuck", environments=1) as world:
        env = world.environment()
        await env.reset("seed/3")
        assert isinstance(env, Forkable)
        with pytest.raises(EnvironmentFault, match="no more memory"):
            env.snapshot()
        with pytest.raises(ValueError, match="reset first"):
            await env.step("left")
        await env.close()
        assert await world.environment().reset("seed/3")
        assert world.players.held == 1


class Later(Doors):
    """As a world of kind `python` is."""

    async def reset(self, **more: Any) -> Any:  # type: ignore[override]
        return "", {}


class Unclosable(Doors):
    def close(self) -> None:
        super().close()
        raise OSError("stuck")


@pytest.mark.parametrize(
    ("factory", "told"), [("Later", "its kind is 'python'"), ("Unclosable", "OSError: stuck")]
)
def test_what_cannot_be_tried_is_one_line(factory: str, told: str) -> None:
    with pytest.raises(ConfigError, match=rf"^[^\n]*{told}$"):
        gymnasium(spec(factory))
