"""A server that reasons, runs on, cuts, filters and breaks off: nothing of that is ever trained."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent_r.actor import ActorAround, Completion, Message, SamplingParams
from agent_r.algorithm.prompts import REVISE
from agent_r.collection.plan import tasks_of_iteration
from agent_r.collection.tree_store import TreeStore
from agent_r.dataset.build import BuildResult, build
from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.shards import read_rows
from agent_r.endpoint.client import EndpointActor
from agent_r.reading.reply import Outcome, parse_action
from agent_r.settings import OpenAIEndpoint
from agent_r.testing import ForkableCorridor
from tests.collection.test_scheduler import config, say, scheduler_of
from tests.support.faulty_endpoint import KEY, FaultyEndpoint
from tests.support.planting import only

KINDS = ("thinks", "thinks apart", "runs on", "is cut", "filtered", "empty", "broken off")
REASONED, INVENTED, HALF = "SECRETLY", "INVENTED", "HALFWAY"


def unruly(body: dict[str, Any], k: int) -> str | dict[str, Any]:
    """A tenth of the replies goes wrong in each way; what the request says decides which."""
    texts = [message["content"] for message in body["messages"]]
    reply, seed = say(texts, body["seed"], k), body["seed"]
    roll = random.Random(f"{seed} {k} {len(texts)} {texts[-1]} unruly").random()
    kind = KINDS[int(roll * 10)] if roll < 0.1 * len(KINDS) else ""
    thought = f"{REASONED} I could\nAction: jump\nJudgement: Bad\nbut no."
    half = f"Thought: {HALF} I take a st"
    return {
        "": reply,
        "thinks": f"<think>\n{thought}\n</think>\n\n{reply}",
        "thinks apart": {"content": reply, "reasoning_content": thought},
        "runs on": f"{reply}\nObservation: {INVENTED}\n\nThought: now.\nAction: jump",
        "is cut": {"content": half, "finish_reason": "length"},
        "filtered": {"content": None, "finish_reason": "content_filter"},
        "empty": "",
        "broken off": {"content": half, "finish_reason": "error"},
    }[kind]


class Counted(ActorAround):
    """An actor whose replies are counted as they come back."""

    def __init__(self, actor: EndpointActor) -> None:
        super().__init__(actor)
        self.replies = 0

    async def complete(
        self, messages: Sequence[Message], *, n: int, params: SamplingParams
    ) -> list[Completion]:
        assert all(m.content.strip() for m in messages), "an empty turn is sent back"
        replies = await self.actor.complete(messages, n=n, params=params)
        self.replies += len(replies)
        return replies


async def no_wait(seconds: float) -> None:
    await asyncio.sleep(0)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[BuildResult, int]:
    """A version made with such a server, and how many replies came from it."""
    folder = tmp_path_factory.mktemp("unruly")
    settings = config(
        trees=60,
        search={"simulations": 12, "candidates": 4, "max_depth": 6},
        revision={"alpha": 0.3, "beta": 0.1, "pairs_per_task": 4},
    )

    async def make() -> tuple[BuildResult, int]:
        with FaultyEndpoint(says=unruly) as server:
            endpoint = OpenAIEndpoint(base_url=server.base_url, model="tiny", concurrency=8)
            async with EndpointActor(endpoint, api_key=KEY, sleep=no_wait) as client:
                actor = Counted(client)
                scheduler = scheduler_of(folder / "work", actor, settings)
                tasks = tasks_of_iteration(only(ForkableCorridor), settings, 1)
                assert await scheduler.grow(tasks) == len(tasks)
        tree_store = scheduler.trees
        assert isinstance(tree_store, TreeStore)
        made = await asyncio.to_thread(
            build, tree_store, tasks, folder / "demo", actor="tiny", iteration=1
        )
        return made, actor.replies

    return asyncio.run(make())


def rows(built: BuildResult, name: str) -> list[dict[str, Any]]:
    return list(read_rows(Path(built.dataset.path), name))


def test_the_counts_add_up_to_all_replies(built: tuple[BuildResult, int]) -> None:
    account = built[0].account
    assert sum(account.replies.values()) + sum(account.judgements.values()) == built[1]
    assert {*account.replies} == {outcome.value for outcome in Outcome} - {Outcome.NO_ACTION}
    assert read_manifest(Path(built[0].dataset.path))["account"] == account.model_dump()
    assert sum(account.pairs.values()) == built[0].counts["pairs"]
    assert sum(account.trees.values()) == built[0].counts["trees"]
    assert sum(account.errors.values()) == built[0].counts["revisions"]
    assert 0 < sum(account.lacking.values()) < built[0].counts["trees"]


def test_nothing_but_whole_replies_is_trained(built: tuple[BuildResult, int]) -> None:
    sft = rows(built[0], "sft")
    kinds = Counter(row["kind"] for row in sft)
    assert kinds["revision"] >= 5 and kinds["good"] >= 5
    for row in sft:
        for message in row["messages"]:
            if message["role"] != "assistant":
                continue
            text = message["content"]
            assert not any(word in text for word in (REASONED, INVENTED, HALF, "think>"))
            action = parse_action(text)
            assert text.endswith(action) and (not message["train"] or action)


def test_no_judgement_is_of_reasoning_or_half_a_text(built: tuple[BuildResult, int]) -> None:
    critiques = rows(built[0], "critique")
    assert critiques
    for row in critiques:
        [*_, last] = row["messages"]
        assert last["content"].endswith(f"Judgement: {row['verdict']}")
        assert not any(word in last["content"] for word in (REASONED, INVENTED, HALF))


def test_a_signal_is_what_the_actor_said_of_its_step(built: tuple[BuildResult, int]) -> None:
    signals = Counter(
        message["content"]
        for row in rows(built[0], "sft")
        if row["signal_source"] == "critique"
        for message, part in zip(row["messages"][2::2], row["parts"], strict=True)
        if part == "signal"
    )
    assert set(signals) == {f"Thought: I see it is of no use.\nAction: {REVISE}"}


def test_reasoning_is_kept_in_a_column_of_its_own(built: tuple[BuildResult, int]) -> None:
    kept = [thought for row in rows(built[0], "sft") for thought in row["reasoning"]]
    assert any(REASONED in thought for thought in kept)
    trees = [node["reasoning"] for row in rows(built[0], "trees") for node in row["nodes"]]
    assert any(REASONED in (thought or "") for thought in trees)
