"""A run in which nothing can come ends after its first trees, and says why."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent_r.actor import Actor, Completion, Message, SamplingParams
from agent_r.algorithm.prompts import JUDGE
from agent_r.collection.plan import tasks_of_iteration
from agent_r.collection.scheduler import TreeScheduler
from agent_r.diagnostics.early_stop import SPEECHLESS_TREES, EarlyStop
from agent_r.errors import NothingMade
from agent_r.settings import Config
from agent_r.testing import ForkableCorridor, ScriptedActor
from tests.collection.test_scheduler import Known, config, scheduler_of
from tests.support.planting import only


class Cutting(ScriptedActor):
    """Every reply ends at the token limit."""

    async def complete(
        self, messages: Sequence[Message], *, n: int, params: SamplingParams
    ) -> list[Completion]:
        replies = await super().complete(messages, n=n, params=params)
        return [Completion(reply.text, "length") for reply in replies]


def always(text: str) -> Callable[[Sequence[Message], int], str]:
    def script(messages: Sequence[Message], k: int) -> str:
        return "Judgement: Good" if messages[-1].content.endswith(JUDGE) else text

    return script


def opening(messages: Sequence[Message], k: int) -> str:
    """Takes the key, goes on, and pushes the door."""
    texts = [message.content for message in messages]
    if texts[-1].endswith(JUDGE):
        return "Judgement: Good"
    rooms = int(next(re.findall(r"(\d+) rooms", text)[0] for text in texts if " rooms" in text))
    ways = ["take key", *["east"] * rooms, "push", "push"]
    return f"Action: {ways[sum(m.role == 'assistant' for m in messages)]}"


def watched(folder: Path, actor: Actor, settings: Config) -> TreeScheduler:
    scheduler = scheduler_of(folder, actor, settings, at_once=1)
    planned = tasks_of_iteration(only(ForkableCorridor), settings, 1)
    scheduler.early_stop = EarlyStop(settings, settings.revision, planned)
    return scheduler


def many(**over: Any) -> Config:
    return config(trees=40, budget={"fruitless_trees": 10}, **over)


@pytest.mark.parametrize(
    ("actor", "trees", "said"),
    [
        (ScriptedActor(always("<|im_start|>user")), SPEECHLESS_TREES, "serve an instruct"),
        (Cutting(always("I think that")), SPEECHLESS_TREES, "raise search.max_tokens"),
        (ScriptedActor(always("Action: jump")), 10, "no episode earned anything"),
    ],
    ids=["marks", "cut", "nothing earned"],
)
async def test_a_run_in_which_nothing_can_come_says_so_after_its_first_trees(
    actor: Actor, trees: int, said: str, tmp_path: Path
) -> None:
    settings = many()
    tasks = tasks_of_iteration(only(ForkableCorridor), settings, 1)
    scheduler = watched(tmp_path, actor, settings)
    with pytest.raises(NothingMade) as nothing:
        await scheduler.grow(tasks)
    assert f"first {trees} trees" in str(nothing.value)
    assert said in " ".join(nothing.value.lines)
    assert scheduler.early_stop is not None and scheduler.early_stop.accounting.trees == trees


async def test_where_easy_trees_earn_all_the_first_of_the_plan_are_waited_for(
    tmp_path: Path,
) -> None:
    """The first to end are the easy ones: the others may have what these lack."""
    settings = many()
    tasks = tasks_of_iteration(only(ForkableCorridor), settings, 1)
    for name, order, trees in (("in turn", tasks, 10), ("the last first", tasks[::-1], 40)):
        scheduler = watched(tmp_path / name, ScriptedActor(opening), settings)
        with pytest.raises(NothingMade, match=f"first {trees} trees") as nothing:
            await scheduler.grow(order)
        assert "every episode earned all" in " ".join(nothing.value.lines)


async def test_what_an_earlier_run_has_made_counts(tmp_path: Path) -> None:
    settings = many()
    tasks = tasks_of_iteration(only(ForkableCorridor), settings, 1)
    idle = ScriptedActor(always("Action: jump"))
    with pytest.raises(NothingMade):
        await watched(tmp_path, idle, settings).grow(tasks)
    calls = idle.calls
    with pytest.raises(NothingMade):
        await watched(tmp_path, idle, settings).grow(tasks)
    assert idle.calls == calls


async def test_a_run_with_a_pair_goes_on_and_so_does_one_that_is_told_to(tmp_path: Path) -> None:
    settings = config(trees=40, budget={"fruitless_trees": 2}, revision={"alpha": 0.3, "beta": 0.1})
    tasks = tasks_of_iteration(only(ForkableCorridor), settings, 1)
    assert await watched(tmp_path / "pairs", Known(), settings).grow(tasks) == 40
    patient = config(trees=40, budget={"fruitless_trees": 0})
    idle = ScriptedActor(always("Action: jump"))
    assert await watched(tmp_path / "told", idle, patient).grow(tasks) == 40
