"""Many trees at once: faults leave no trace, a failure is one tree's, a budget ends cleanly."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from agent_r.actor import Actor, Completion, Message
from agent_r.algorithm.prompts import JUDGE
from agent_r.collection.cost_estimate import extrapolate, sample
from agent_r.collection.object_store import ObjectStore, _Remote
from agent_r.collection.plan import shards, tasks_of_iteration
from agent_r.collection.progress import Progress
from agent_r.collection.provenance import record
from agent_r.collection.scheduler import HOPELESS, LOOKED_UP, TRIES, TreeScheduler
from agent_r.collection.tree_store import TreeStore
from agent_r.collection.tree_stores import TreeStores
from agent_r.endpoint.budget import FIRST_TREES, Budget, Budgeted
from agent_r.endpoint.client import EndpointActor
from agent_r.environment import TaskSpec
from agent_r.errors import (
    ConversationRefused,
    EndpointDown,
    EndpointRejected,
    EndpointUnavailable,
    EnvironmentFault,
    StoreError,
)
from agent_r.settings import Config, OpenAIEndpoint, ScriptedEndpoint
from agent_r.testing import ForkableCorridor, ScriptedActor
from tests.support.faulty_endpoint import (
    CUT,
    EMPTY_CHOICES,
    HANG,
    KEY,
    LONE_SURROGATES,
    MALFORMED_JSON,
    MEGABYTE,
    NULL_CONTENT,
    ONE_CHOICE,
    Fault,
    FaultyEndpoint,
    Received,
    refusal,
)
from tests.support.planting import only

ACTIONS = ("take key", "push", "drop key", "east", "jump")
SETTINGS = {
    "trees": 9,
    "search": {"simulations": 6, "candidates": 3, "max_depth": 6},
    "revision": {"pairs_per_task": 4},
}


def say(texts: Sequence[str], seed: int, k: int) -> str:
    """A reply that depends on the request alone."""
    if texts[-1].endswith(JUDGE):
        bad = any(word in texts[-2] for word in ("drop", "jump"))
        return f"I see it is of no use.\nJudgement: {'Bad' if bad else 'Good'}"
    rng = random.Random(f"{seed} {k} {len(texts)} {texts[-1]}")
    return f"Thought: I try.\nAction: {rng.choice(ACTIONS)}"


class Known(ScriptedActor):
    """Replies as `say`; tasks whose number is in `broken` fail with that."""

    def __init__(self, broken: dict[str, Exception] | None = None) -> None:
        super().__init__(lambda messages, k: "")
        self._broken = broken or {}

    async def complete(self, messages: Sequence[Message], *, n: int, params: Any) -> Any:
        await asyncio.sleep(0)
        self.usage.requests += 1
        texts = [m.content for m in messages]
        for word, failure in self._broken.items():
            if word in texts[1]:
                raise failure
        self.usage.prompt_tokens += 100
        self.usage.completion_tokens += 10 * n
        first = Completion(say(texts, params.seed, 0), "stop", 100, 10 * n)
        return [first, *(Completion(say(texts, params.seed, k)) for k in range(1, n))]


def config(**over: Any) -> Config:
    return Config.model_validate(SETTINGS | over)


def scheduler_of(folder: Path, actor: Actor, settings: Config, at_once: int = 4) -> TreeScheduler:
    tree_store = TreeStore.of(folder, ForkableCorridor, settings, actor="tiny", iteration=1)
    budget = Budget(settings.budget, settings.endpoint, actor.usage)
    progress = Progress("grow", settings.trees, "trees")
    return TreeScheduler(
        tree_store, Budgeted(actor, budget), budget, asyncio.Semaphore(at_once), progress
    )


async def grown(scheduler: TreeScheduler, settings: Config) -> int:
    tasks = tasks_of_iteration(only(ForkableCorridor), settings, 1)
    some, others = tasks[: len(tasks) // 2], tasks[len(tasks) // 2 :]
    return sum(await asyncio.gather(scheduler.grow(some), scheduler.grow(others)))


def files(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


FAULTS: dict[str, tuple[Fault, str]] = {
    "429": (refusal(429, headers={"Retry-After": "0"}), "HTTP 429"),
    "500": (refusal(500), "HTTP 500"),
    "hang": (HANG, "timed out"),
    "cut connection": (CUT, "connection"),
    "malformed JSON": (MALFORMED_JSON, "a reply that is not JSON"),
    "empty choices": (EMPTY_CHOICES, "a reply without choices"),
    "wrong choice count": (ONE_CHOICE, "fewer replies than asked for"),
    "content null": (NULL_CONTENT, "a reply without text"),
    "a megabyte of text": (MEGABYTE, "a reply of more than 100,000 characters"),
    "invalid UTF-8 escapes": (LONE_SURROGATES, "a reply with broken characters"),
}


async def through_endpoint(
    folder: Path,
    script: Callable[[Received], Fault | None],
    *,
    timeout_s: float = 0.5,
    **over: Any,
) -> TreeScheduler:
    def says(body: dict[str, Any], k: int) -> str:
        return say([m["content"] for m in body["messages"]], body["seed"], k)

    async def soon(_: float) -> None:
        await asyncio.sleep(0)

    with FaultyEndpoint(script, says=says) as server:
        endpoint = OpenAIEndpoint(
            base_url=server.base_url, model="tiny", timeout_s=timeout_s, concurrency=8, attempts=8
        )
        settings = config(endpoint=endpoint.model_dump(), **over)
        async with EndpointActor(endpoint, api_key=KEY, sleep=soon) as actor:
            scheduler = scheduler_of(folder, actor, settings)
            assert await grown(scheduler, settings) == settings.trees
            scheduler.failed.update({f"fault: {kind}": n for kind, n in actor.faults.items()})
    return scheduler


@pytest.mark.parametrize(("fault", "kind"), list(FAULTS.values()), ids=list(FAULTS))
async def test_faults_of_a_tenth_of_all_requests_are_counted_and_leave_no_trace(
    fault: Fault, kind: str, tmp_path: Path
) -> None:
    rng, timeout_s = random.Random(0), 0.5 if fault is HANG else 60.0
    await through_endpoint(tmp_path / "well", lambda received: None)
    scheduler = await through_endpoint(
        tmp_path / "ill",
        lambda received: fault if rng.random() < 0.1 else None,
        timeout_s=timeout_s,
    )
    assert list(scheduler.failed) == [f"fault: {kind}"]
    assert files(tmp_path / "ill") == files(tmp_path / "well")


async def test_faults_of_all_kinds_at_once_leave_no_trace(tmp_path: Path) -> None:
    rng = random.Random(0)
    kinds = [fault for fault, _ in FAULTS.values()]
    await through_endpoint(tmp_path / "well", lambda received: None)
    scheduler = await through_endpoint(
        tmp_path / "ill", lambda received: rng.choice(kinds) if rng.random() < 0.12 else None
    )
    assert len(scheduler.failed) >= 6
    assert files(tmp_path / "ill") == files(tmp_path / "well")


async def test_refused_conversations_lose_no_tree(tmp_path: Path) -> None:
    def risky(received: Received) -> Fault | None:
        texts = [m["content"] for m in received.body.get("messages", ())]
        longer = len(texts) > 4 or any(text.endswith(JUDGE) for text in texts)
        risk = longer and random.Random("|".join(texts[1:])).random() < 0.3
        return refusal(400, "Content Exists Risk", code="invalid_request_error") if risk else None

    scheduler = await through_endpoint(tmp_path, risky, revision={"alpha": 0.3, "beta": 0.1})
    assert not scheduler.failed
    kept = [path.read_text() for path in tmp_path.glob("trees-*/*.json")]
    assert len(kept) == 9
    assert any('"refused"' in tree for tree in kept)
    all_revisions = [path.read_text() for path in tmp_path.glob("harvest-*/*.json")]
    assert any(
        "judge failed: ConversationRefused" in tree_revisions for tree_revisions in all_revisions
    )


async def test_a_policy_that_forbids_every_task_ends_the_run(tmp_path: Path) -> None:
    settings = config(trees=100)
    actor = Known({"room": ConversationRefused("no games", status=403)})
    with pytest.raises(ConversationRefused):
        await grown(scheduler_of(tmp_path, actor, settings), settings)


@pytest.mark.parametrize(
    ("failure", "tries"),
    [
        (EndpointUnavailable("gone"), TRIES),
        (EnvironmentFault("broken"), TRIES),
        (EndpointRejected("a filter", status=400), 1),
    ],
)
async def test_one_trees_failure_never_stops_the_others(
    failure: Exception, tries: int, tmp_path: Path
) -> None:
    settings, actor = config(), Known({"is 2 rooms": failure, "are 2 rooms": failure})
    actor = Known({"door is 2 rooms": failure})
    scheduler = scheduler_of(tmp_path, actor, settings)
    assert await grown(scheduler, settings) == 6
    assert scheduler.failed == {type(failure).__name__: 3}
    again = scheduler_of(tmp_path, Known(), settings)
    assert await grown(again, settings) == 9  # those that failed are tried again
    assert files(tmp_path) == await whole(tmp_path.parent / "whole", settings)


async def test_a_mistake_in_a_world_is_one_trees_failure(tmp_path: Path) -> None:
    class Odd(ForkableCorridor):
        async def reset(self, task: str) -> str:
            opening = await super().reset(task)
            if "2 rooms" in opening:
                raise KeyError(task)
            return opening

    settings = config()
    scheduler = scheduler_of(tmp_path, Known(), settings)
    scheduler.trees = TreeStore.of(tmp_path, Odd, settings, actor="tiny", iteration=1)
    assert await grown(scheduler, settings) == 6
    assert scheduler.failed == {"EnvironmentFault": 3}


async def test_a_world_that_cannot_be_closed_loses_no_tree(tmp_path: Path) -> None:
    class Stuck(ForkableCorridor):
        async def close(self) -> None:
            raise RuntimeError("stuck")

    settings = config()
    scheduler = scheduler_of(tmp_path, Known(), settings)
    tree_store = TreeStore.of(tmp_path, Stuck, settings, actor="tiny", iteration=1)
    scheduler.trees = tree_store
    assert await grown(scheduler, settings) == 9
    assert not scheduler.failed
    assert tree_store.unclosed == {"corridor": 18}  # a tree and its harvest, nine times


async def whole(folder: Path, settings: Config) -> dict[str, bytes]:
    await grown(scheduler_of(folder, Known(), settings), settings)
    return files(folder)


@pytest.mark.parametrize(
    "failure",
    [
        EndpointDown("dead"),
        EndpointRejected("no such key", status=401),
        EndpointRejected("no such model", status=404),
        StoreError("the disk is full"),
    ],
)
async def test_what_would_fail_every_tree_ends_the_run(failure: Exception, tmp_path: Path) -> None:
    settings, actor = config(), Known({"room": failure})
    with pytest.raises(type(failure)):
        await grown(scheduler_of(tmp_path, actor, settings), settings)
    assert actor.usage.requests < 9


async def test_a_run_in_which_no_tree_succeeds_is_given_up(tmp_path: Path) -> None:
    settings = config(trees=100)
    actor = Known({"room": EndpointRejected("odd", status=400)})
    scheduler = scheduler_of(tmp_path, actor, settings)
    with pytest.raises(EndpointRejected):
        await grown(scheduler, settings)
    assert scheduler.failed.total() <= HOPELESS + 8


async def test_a_budget_of_tokens_is_never_passed_and_is_spent_on_whole_trees(
    tmp_path: Path,
) -> None:
    alone = Known()
    await grown(scheduler_of(tmp_path / "whole", alone, config()), config())
    enough = alone.usage.tokens

    budget = {"tokens": enough * 2 // 3}
    settings, actor = config(budget=budget), Known()
    scheduler = scheduler_of(tmp_path / "part", actor, settings)
    finished = await grown(scheduler, settings)
    assert scheduler.stopped == f"budget.tokens = {budget['tokens']:,}"
    assert actor.usage.tokens <= budget["tokens"]
    assert 4 <= finished < 9

    unbounded = config()
    assert await grown(scheduler_of(tmp_path / "part", Known(), unbounded), unbounded) == 9
    assert files(tmp_path / "part") == files(tmp_path / "whole")


async def test_while_no_tree_has_shown_its_cost_few_are_begun(tmp_path: Path) -> None:
    settings, actor = config(budget={"tokens": 10**9}), Known()
    scheduler = scheduler_of(tmp_path, actor, settings, at_once=9)
    most = 0
    complete = actor.complete

    async def watched(*args: Any, **how: Any) -> Any:
        nonlocal most
        if scheduler.finished == 0:
            most = max(most, scheduler.in_flight)
        return await complete(*args, **how)

    actor.complete = watched  # type: ignore[method-assign]
    assert await grown(scheduler, settings) == 9
    assert most == FIRST_TREES


async def test_a_budget_of_minutes_begins_no_tree_that_it_cannot_end(tmp_path: Path) -> None:
    now = 0.0

    class Slow(Known):
        async def complete(self, *args: Any, **how: Any) -> Any:
            nonlocal now
            now += 1.0
            return await super().complete(*args, **how)

    settings, actor = config(budget={"minutes": 1.0}), Slow()
    scheduler = scheduler_of(tmp_path, actor, settings, at_once=1)
    scheduler.budget = Budget(settings.budget, settings.endpoint, actor.usage, clock=lambda: now)
    scheduler.actor = Budgeted(actor, scheduler.budget)
    finished = await grown(scheduler, settings)
    assert 1 <= finished < 9
    assert now <= 61


async def test_minutes_end_a_request_that_hangs(tmp_path: Path) -> None:
    class Hanging(Known):
        async def complete(self, *args: Any, **how: Any) -> Any:
            await asyncio.sleep(60)

    settings, began = config(budget={"minutes": 0.003}), time.monotonic()
    scheduler = scheduler_of(tmp_path, Hanging(), settings)
    assert await grown(scheduler, settings) == 0
    assert scheduler.stopped == "budget.minutes = 0.003"
    assert time.monotonic() - began < 30


def test_money_needs_prices() -> None:
    with pytest.raises(ValueError, match=r"budget\.money needs endpoint\.prompt_price"):
        config(budget={"money": 1.0})


def test_a_budget_counts_money_by_the_prices() -> None:
    endpoint = OpenAIEndpoint(
        base_url="http://x/v1", model="m", prompt_price=2.0, completion_price=10.0
    )
    actor = Known()
    budget = Budget(config().budget, endpoint, actor.usage)
    actor.usage.prompt_tokens, actor.usage.completion_tokens = 500_000, 100_000
    assert budget.money == pytest.approx(2.0)
    assert Budget(config().budget, ScriptedEndpoint(), actor.usage).money is None


def test_what_is_left_of_a_budget_is_a_limit_still() -> None:
    left = config(budget={"tokens": 100, "minutes": 2.0}).budget.less(
        tokens=100, money=3.0, minutes=0.5
    )
    assert (left.tokens, left.money, left.minutes) == (1, 0.0, 1.5)


def test_an_estimate_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = random.Random(0)
    population = [rng.gammavariate(4, 10) for _ in range(400)]
    hits = 0
    for seed in range(400):
        tasks = [TaskSpec(str(i), "train") for i in range(400)]
        values = [population[int(task.id)] for task in sample(tasks, 6, seed=seed)]
        estimate = extrapolate(values, 400)
        hits += abs(estimate.total - sum(population)) <= estimate.half_width
    assert 0.88 <= hits / 400 <= 0.99


async def test_a_changed_setting_is_said_and_another_format_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    object_store = ObjectStore.at(tmp_path)

    def tree_store(**over: Any) -> TreeStore:
        return TreeStore.of(tmp_path, ForkableCorridor, config(**over), actor="tiny", iteration=1)

    with caplog.at_level("INFO", logger="agent_r.progress"):
        await record(object_store, tree_store(), actor="tiny", iteration=1)
        await record(object_store, tree_store(), actor="tiny", iteration=1)
        assert caplog.messages == []
        await record(object_store, tree_store(seed=4), actor="tiny", iteration=1)
    assert len(caplog.messages) == 1
    assert "seed was 0, is 4" in caplog.messages[0]
    [first, _] = sorted(tmp_path.glob("forest-*.json"), key=lambda path: path.stat().st_mtime_ns)
    made = json.loads(first.read_text())
    first.write_text(json.dumps(made | {"format": [1, 1]}))
    with pytest.raises(StoreError, match="trees of another agent-r"):
        await record(object_store, tree_store(), actor="tiny", iteration=1)


async def test_finished_trees_of_a_store_far_away_are_looked_up_many_at_once(
    tmp_path: Path,
) -> None:
    settings = config(trees=100)
    scheduler = scheduler_of(tmp_path, Known(), settings, at_once=32)
    await grown(scheduler, settings)
    reads = in_flight = most = 0
    here = _Remote.read

    class FarAway(_Remote):
        async def read(self, path: str) -> bytes | None:
            nonlocal reads, in_flight, most
            reads, in_flight = reads + 1, in_flight + 1
            most = max(most, in_flight)
            await asyncio.sleep(0.01)
            in_flight -= 1
            return await here(self, path)

    far = ObjectStore(str(tmp_path), FarAway("file://", LocalFileSystem(), (OSError,)))
    actor = Known()
    again = scheduler_of(tmp_path, actor, settings)
    again.trees = TreeStore.of(
        tmp_path, ForkableCorridor, settings, actor="tiny", iteration=1, object_store=far
    )
    tasks = tasks_of_iteration(only(ForkableCorridor), settings, 1)
    assert sum(await asyncio.gather(*(again.grow(shard) for shard in shards(tasks)))) == 100
    assert actor.usage.requests == 0
    assert reads == 200  # each harvest, and the tree that it was made of
    assert 64 <= most <= 2 * LOOKED_UP


async def test_a_shard_is_looked_up_a_few_trees_ahead_of_its_work(tmp_path: Path) -> None:
    settings, looked = config(trees=3 * LOOKED_UP), 0

    class Counted(Known):
        ahead = 0

        async def complete(self, *args: Any, **how: Any) -> Any:
            Counted.ahead = max(Counted.ahead, looked - scheduler.finished)
            return await super().complete(*args, **how)

    scheduler = scheduler_of(tmp_path, Counted(), settings)
    finished = scheduler.trees.finished

    class Told(TreeStores):
        async def finished(self, task: TaskSpec) -> bool:
            nonlocal looked
            looked += 1
            return await finished(task)

    tree_store = scheduler.trees
    assert isinstance(tree_store, TreeStore)
    scheduler.trees = Told(settings, {"corridor": tree_store})
    tasks = tasks_of_iteration(only(ForkableCorridor), settings, 1)
    assert await scheduler.grow(tasks) == looked == len(tasks)
    assert Counted.ahead <= LOOKED_UP + 4
