"""Servers that refuse a setting, a role or a length, or leave counts out: no tree is lost by it.

Six trees of TextCraft each time, of four simulations. The wordings are those of public reports.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent_r.actor import Usage
from agent_r.collection.plan import tasks_of_iteration
from agent_r.collection.progress import Progress
from agent_r.collection.scheduler import TreeScheduler
from agent_r.collection.tree_store import TreeStore
from agent_r.endpoint.budget import Budget, Budgeted
from agent_r.endpoint.client import EndpointActor
from agent_r.settings import Config, OpenAIEndpoint, TextCraftEnv
from env_adapters.textcraft.environment import TextCraft
from flows.run_context import worlds_of
from tests.support.crafting_model import crafting
from tests.support.faulty_endpoint import KEY, Fault, FaultyEndpoint, Received, refusal

SETTINGS = {"trees": 6, "search": {"simulations": 4, "candidates": 4, "stop_early": False}}
PLAYER = crafting(lambda model: 0.4)
Says = Callable[[dict[str, Any], int], str | dict[str, Any]]
Refuses = Callable[[Received], Fault | None]


def crafted(body: dict[str, Any], place: int) -> str:
    """A reply of the scripted actor, also where the instruction was folded into the first turn."""
    instructed = body["messages"][0]["role"] == "system"
    before = [] if instructed else [{"role": "system", "content": ""}]
    return PLAYER(body | {"messages": [*before, *body["messages"]]}, place)


@dataclass
class Collected:
    """What six trees left."""

    server: FaultyEndpoint
    usage: Usage
    failed: int
    files: dict[str, bytes]

    @property
    def trees(self) -> list[Any]:
        return [json.loads(text) for name, text in self.files.items() if name.startswith("trees")]


async def collected(
    folder: Path, refuses: Refuses = lambda received: None, says: Says = crafted, key: str = KEY
) -> Collected:
    with FaultyEndpoint(refuses, says=says) as server:
        endpoint = OpenAIEndpoint(base_url=server.base_url, model="tiny")
        config = Config.model_validate(SETTINGS | {"endpoint": endpoint.model_dump()})
        store = TreeStore.of(
            folder, lambda: TextCraft(TextCraftEnv()), config, actor="tiny", iteration=1
        )
        async with EndpointActor(endpoint, api_key=key, rng=random.Random(0)) as actor:
            budget = Budget(config.budget, endpoint, actor.usage)
            scheduler = TreeScheduler(
                store, Budgeted(actor, budget), budget, asyncio.Semaphore(8),
                Progress("grow", config.trees, "trees"),
            )  # fmt: skip
            await scheduler.grow(tasks_of_iteration(worlds_of(config), config, 1))
            files = {
                file.relative_to(folder).as_posix(): file.read_bytes()
                for file in sorted(folder.rglob("*.json"))
            }
            return Collected(server, actor.usage, scheduler.failed.total(), files)


def ends(run: Collected) -> list[str]:
    return [node["stop"] for tree in run.trees for node in tree["nodes"] if node["stop"]]


@pytest.mark.parametrize(
    "words",
    [
        "Unsupported value: 'n' does not support 4 with this model. Only the default (1) value is "
        "supported.",
        "litellm.UnsupportedParamsError: openai does not support parameters: ['n'], for model=m",
    ],
)
async def test_who_draws_one_reply_a_request_is_asked_for_one_from_then_on(
    words: str, tmp_path: Path
) -> None:
    run = await collected(
        tmp_path, lambda r: refusal(400, words) if r.body.get("n", 1) > 1 else None
    )
    several = [r.body.get("n", 1) > 1 for r in run.server.completions]
    assert (run.failed, len(run.trees)) == (0, 6)
    assert any(several[:6]) and not any(several[8:])


@pytest.mark.parametrize(
    "said",
    [
        (400, "This model's maximum prompt length is 8192 but the request contains 9000 tokens."),
        (400, "max_tokens must be at least 1, got -7584."),
        (500, "Context size has been exceeded."),
    ],
)
@pytest.mark.parametrize("key", [KEY, "x", "token"])
async def test_a_conversation_that_is_too_long_ends_its_episode_as_data(
    said: tuple[int, str], key: str, tmp_path: Path
) -> None:
    run = await collected(
        tmp_path, lambda r: refusal(*said) if len(r.body["messages"]) > 6 else None, key=key
    )
    assert (run.failed, len(run.trees)) == (0, 6)
    assert set(ends(run)) == {"terminated", "context_overflow"}


async def test_an_instruction_goes_into_the_first_turn_where_there_is_no_system_role(
    tmp_path: Path,
) -> None:
    def refuses(received: Received) -> Fault | None:
        roles = [m["role"] for m in received.body["messages"]]
        return refusal(400, "System role not supported") if "system" in roles else None

    run = await collected(tmp_path, refuses)
    assert (run.failed, len(run.trees)) == (0, 6)
    last = run.server.completions[-1].body["messages"]
    assert last[0]["content"].startswith("You craft items.") and "Goal: craft" in last[0]["content"]


async def test_reasoning_that_must_be_passed_back_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refuses(received: Received) -> Fault | None:
        own = [m for m in received.body["messages"] if m["role"] == "assistant"]
        words = "The `reasoning_content` in the thinking mode must be passed back to the API."
        return None if all(m.get("reasoning_content") for m in own) else refusal(400, words)

    def says(body: dict[str, Any], place: int) -> dict[str, Any]:
        return {"content": crafted(body, place), "reasoning_content": "Let me see."}

    run = await collected(tmp_path, refuses, says)
    assert (run.failed, len(run.trees)) == (0, 6) and "terminated" in ends(run)
    assert "`endpoint.send_reasoning = true`" in caplog.text


async def test_text_in_parts_grows_the_same_trees(tmp_path: Path) -> None:
    def parts(body: dict[str, Any], place: int) -> dict[str, Any]:
        head, tail = crafted(body, place).split("\n", 1)
        return {"content": [{"type": "text", "text": f"{head}\n"}, {"type": "text", "text": tail}]}

    plain = await collected(tmp_path / "plain")
    assert (await collected(tmp_path / "parts", says=parts)).files == plain.files
    assert (plain.failed, len(plain.trees)) == (0, 6)


@pytest.mark.parametrize("usage", [None, "missing"])
async def test_tokens_that_are_not_counted_are_estimated(usage: Any, tmp_path: Path) -> None:
    def page(received: Received) -> Fault | None:
        if received.path.endswith("/models"):
            return None
        choices = [
            {
                "index": place,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": crafted(received.body, place)},
            }
            for place in range(received.body.get("n", 1))
        ]
        counts = {} if usage == "missing" else {"usage": usage}
        return Fault(body=json.dumps({"choices": choices} | counts))

    run = await collected(tmp_path, page)
    assert (run.failed, len(run.trees)) == (0, 6)
    assert run.usage.estimated == run.usage.requests > 6
    assert run.usage.prompt_tokens > 50 * run.usage.requests
    assert run.usage.completion_tokens > 5 * run.usage.requests
