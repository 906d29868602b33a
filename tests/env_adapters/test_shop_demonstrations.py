"""What the shop's expert shows before there is an actor: clean, on other goals, rightly judged."""

from __future__ import annotations

from typing import Any

import pytest

from agent_r.settings import Config, ScienceWorldEnv, ShopEnv, TextCraftEnv, TrainConfig
from agent_r.settings.worlds import MixtureEnv
from env_adapters.shop.demonstrations import demonstrations
from env_adapters.shop.environment import Shop
from env_adapters.shop.wording import say
from flows.general_rows import general_rows

SPEC = ShopEnv()


@pytest.fixture
async def rows() -> list[dict[str, Any]]:
    return await demonstrations(SPEC, episodes=40, seed=0)


def said(row: dict[str, Any]) -> list[str]:
    return [m["content"] for m in row["messages"] if m["role"] == "assistant"]


async def test_the_same_seed_shows_the_same_and_another_seed_shows_other_goals(
    rows: list[dict[str, Any]],
) -> None:
    assert len(rows) == 80
    assert rows == await demonstrations(SPEC, episodes=40, seed=0)
    other = await demonstrations(SPEC, episodes=40, seed=1)
    assert not {r["messages"][1]["content"] for r in rows} & {
        r["messages"][1]["content"] for r in other
    }


async def test_no_goal_that_is_explored_or_tested_is_shown() -> None:
    rows = await demonstrations(SPEC, episodes=1000, seed=0)  # of that many, one was by chance
    shop = Shop(SPEC)
    own = {await shop.reset(t.id) for s in ("train", "test") for t in shop.tasks(s)}
    shown = {row["messages"][1]["content"].partition("\n\n")[0] for row in rows}
    assert len(rows) == 2000
    assert not shown & own


async def test_the_last_catalogue_has_others_as_well() -> None:
    assert len(await demonstrations(ShopEnv(catalogue=2**31), episodes=1, seed=0)) == 2


def test_an_episode_holds_no_mistake_and_ends_with_the_purchase(
    rows: list[dict[str, Any]],
) -> None:
    for row in rows[::2]:
        messages = row["messages"]
        assert all(m["train"] == (m["role"] == "assistant") for m in messages)
        assert not any("Could not" in m["content"] for m in messages[2:])
        assert not any("prev]" in reply or "back to" in reply for reply in said(row))
        assert said(row)[-1].endswith("click[buy now]")


def test_a_judge_is_shown_both_verdicts_and_nothing_after_a_mistake(
    rows: list[dict[str, Any]],
) -> None:
    verdicts = [said(row)[-1].rpartition(" ")[2] for row in rows[1::2]]
    assert set(verdicts) == {"Good", "Bad"}
    for row in rows[1::2]:
        assert [m["train"] for m in row["messages"] if m["role"] == "assistant"][:-1] == [False] * (
            len(said(row)) - 1
        )


@pytest.mark.parametrize("action", ["search[red mug]", "click[< prev]", "click[pack of 3]"])
def test_a_reply_is_a_thought_and_the_action(action: str) -> None:
    thought, last = say(action).split("\n")
    assert thought.startswith("Thought: I ")
    assert last == f"Action: {action}"


async def test_a_run_of_several_worlds_draws_demonstrations_of_each_that_has_them() -> None:
    train = TrainConfig(general="demonstrations", general_rows=40)
    worlds = MixtureEnv(kind="mixture", worlds=(TextCraftEnv(), ShopEnv(), ScienceWorldEnv()))
    drawn = await general_rows(Config(env=worlds, train=train), seed=0)
    instructions = [row["messages"][0]["content"] for row in drawn.rows]
    assert [sum(word in i for i in instructions) for word in ("craft items", "shop on")] == [20, 20]
