"""TextWorldExpress in process: every game repeats, keeps to itself, and ends."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from importlib.util import find_spec

import pytest

from agent_r.algorithm.replay import replay
from agent_r.environment import Environment
from agent_r.errors import ConfigError, UnknownTask
from agent_r.settings import TextWorldExpressEnv
from env_adapters.textworld_express import GAMES, TextWorlds, textworld_express

pytestmark = pytest.mark.skipif(
    find_spec("textworld_express") is None or shutil.which("java") is None,
    reason="needs the extra `textworld-express` and a Java runtime",
)


@contextlib.asynccontextmanager
async def opened(
    game: str, *, parameters: str = "", step_limit: int = 50
) -> AsyncIterator[tuple[TextWorlds, Environment]]:
    world = textworld_express(
        TextWorldExpressEnv(
            kind="textworld-express", game=game, parameters=parameters, step_limit=step_limit
        )
    )
    env = world.environment()
    try:
        yield world, env
    finally:
        await env.close()
        await world.aclose()


@pytest.mark.parametrize("game", GAMES)
async def test_the_gold_actions_repeat_to_the_letter_and_mostly_win(game: str) -> None:
    async with opened(game) as (world, env):
        won = 0
        for task in [task.id for task in env.tasks("train")[:4]]:
            gold = await world.expert.plan(await env.reset(task), [])
            responses = [f"Action: {action}" for action in gold]
            first, again = [await replay(env, task, responses) for _ in range(2)]
            assert first == again
            won += first[1] == 1.0
        assert won >= 2


@pytest.mark.parametrize("game", GAMES)
async def test_two_episodes_at_once_do_not_disturb_one_another(game: str) -> None:
    async with opened(game) as (world, env):
        one, other = (task.id for task in env.tasks("train")[:2])
        gold = await world.expert.plan(await env.reset(one), [])
        alone, _ = await replay(env, one, [f"Action: {action}" for action in gold])
        second = world.environment()
        await env.reset(one)
        await second.reset(other)
        seen = []
        for action in gold:
            result = await env.step(action)
            seen.append(result.observation)
            if result.terminated or result.truncated:
                break
            with contextlib.suppress(ValueError):
                await second.step(action)
        assert seen == [step.observation for step in alone]
        await second.close()


async def test_what_may_be_done_next_is_listed() -> None:
    async with opened("coin") as (_, env):
        prompt = await env.reset("coin/train/1")
        listed = prompt.rpartition("Actions: ")[2].split(" | ")
        assert "look around" in listed
        assert (await env.step(listed[0])).reward < 1.0


async def test_our_own_limit_truncates() -> None:
    async with opened("coin", step_limit=2) as (_, env):
        await env.reset("coin/train/1")
        assert [(await env.step("look around")).truncated for _ in range(2)] == [False, True]


async def test_splits_are_a_thousand_seeds_each_and_disjoint() -> None:
    async with opened("twc") as (_, env):
        splits = [{t.id for t in env.tasks(s)} for s in ("train", "warm_start", "test")]  # type: ignore[arg-type]
        assert [len(split) for split in splits] == [1000] * 3
        assert len(set.union(*splits)) == 3000
        for task in (
            "coin/train/1",
            "twc/train/1000",
            "twc/train/01",
            "twc/train",
            "twc/dev/x",
            "",
        ):
            with pytest.raises(UnknownTask):
                await env.reset(task)


async def test_many_episodes_at_once_all_end() -> None:
    async with opened("simonsays") as (world, _):

        async def play(number: int) -> None:
            env = world.environment()
            await env.reset(f"simonsays/train/{1 + number}")
            await env.step("nonsense")
            await env.close()

        await asyncio.gather(*(play(number) for number in range(40)))
        assert world.simulators.held <= 16


async def test_a_game_or_parameters_that_there_are_not_are_said_in_one_line() -> None:
    for game, said in (("chess", "has no game 'chess'"), ("sorting", "choose another")):
        with pytest.raises(ConfigError, match=said):
            textworld_express(TextWorldExpressEnv(kind="textworld-express", game=game))
    async with opened("coin", parameters="numDragons=3") as (_, env):
        with pytest.raises(ConfigError, match="numDragons"):
            await env.reset("coin/train/1")
    for parameters in ("rubbish", "numLocations=abc", "numLocations=3;numIngredients=2"):
        settings = {"kind": "textworld-express", "parameters": parameters}
        with pytest.raises(ConfigError, match=r"^env\.parameters '.*': write them as "):
            textworld_express(TextWorldExpressEnv.model_validate(settings))
