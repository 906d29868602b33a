"""What is finished is never redone, and what was changed never mixes with it."""

from __future__ import annotations

import asyncio
import functools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_r import files
from agent_r.actor import Message
from agent_r.algorithm.pairing import pair_trajectories
from agent_r.algorithm.prompts import JUDGE
from agent_r.algorithm.revision import Drop, lesson, why_no_error
from agent_r.algorithm.tree import SearchTree
from agent_r.collection.tree_revisions import TREE_REVISIONS
from agent_r.collection.tree_store import TREE, TreeStore
from agent_r.concurrency import gather_bounded
from agent_r.dataset.build import build
from agent_r.environment import TaskSpec
from agent_r.errors import EndpointUnavailable, NothingMade
from agent_r.settings import Config
from agent_r.testing import Corridor, ForkableCorridor, ScriptedActor
from tests.support.made import Made
from tests.support.planting import judged

TASK = TaskSpec("corridor 0", "train", 0)
WALKS = 4
SEARCH = {
    "expansion": "all",
    "parallel_simulations": WALKS,
    "simulations": 20,
    "candidates": 4,
    "max_depth": 5,
}
CHOICES = ("take key", "push", "drop key", "east")


def answer(messages: Sequence[Message], k: int) -> str:
    """Tries every action at every node, and calls dropping the key and walking about bad."""
    if messages[-1].content.endswith(JUDGE):
        bad = messages[-2].content.endswith(("drop key", "east"))
        return f"That was of no use.\nJudgement: {'Bad' if bad else 'Good'}"
    return f"Thought: I try.\nAction: {CHOICES[k]}"


def tree_store(work: Path, *, iteration: int = 1, actor: str = "tiny", **over: Any) -> TreeStore:
    config = Config.model_validate({"search": SEARCH} | over)
    return TreeStore.of(work, ForkableCorridor, config, actor=actor, iteration=iteration)


async def grown(made: TreeStore, script: Any = answer) -> ScriptedActor:
    """Explore and revise the task; the actor that did it."""
    actor = ScriptedActor(script)
    await made.explore(actor, TASK)
    await made.revise(actor, TASK)
    return actor


async def test_what_is_finished_is_not_asked_for_again(tmp_path: Path) -> None:
    first = await grown(tree_store(tmp_path))
    again = await grown(tree_store(tmp_path))
    assert (first.calls > 0, again.calls) == (True, 0)


async def test_a_harvest_has_verified_revisions_and_counts_what_was_dropped(
    tmp_path: Path,
) -> None:
    made = tree_store(tmp_path)
    await grown(made)
    tree_revisions = await made.tree_revisions(TASK)
    assert tree_revisions is not None
    assert tree_revisions.revisions
    assert all(r.verified and r.reward == 1.0 for r in tree_revisions.revisions)
    assert (
        sum(tree_revisions.drops.values()) + len(tree_revisions.revisions) <= tree_revisions.pairs
    )
    assert Drop.LOW_REWARD.value in tree_revisions.drops  # a dropped key cannot be made good
    spliced = [tuple(t.step.response for t in r.turns) for r in tree_revisions.revisions]
    assert len(set(spliced)) == len(spliced)


async def test_two_pairs_with_one_first_error_are_one_revision_and_one_counted_again(
    tmp_path: Path,
) -> None:
    def script(messages: Sequence[Message], k: int) -> str:
        if messages[-1].content.endswith(JUDGE):
            return "Idle.\nJudgement: " + ("Bad" if "east" in messages[-2].content else "Good")
        return f"Action: {('take key', 'push', 'east')[k]}"

    made = tree_store(
        tmp_path,
        search={"simulations": 60, "candidates": 3, "max_depth": 4, "abandon_after": 0},
        revision={"signal": "critique", "pairs_per_task": 30},
    )
    await grown(made, script)
    tree_revisions = await made.tree_revisions(TASK)
    assert tree_revisions is not None
    assert tree_revisions.drops[Drop.SAME_ERROR.value] > 0
    tree = await made.tree(TASK)
    assert tree is not None
    errors = [
        (tree.path(r.pair.bad)[r.error.position], r.pair.good) for r in tree_revisions.revisions
    ]
    assert len(set(errors)) == len(errors) > 0
    lessons = [lesson(revision) for revision in tree_revisions.revisions]
    assert len(set(lessons)) == len(lessons)  # other errors that teach the same are duplicates


async def test_every_dropped_pair_is_kept_with_its_reason(tmp_path: Path) -> None:
    made = tree_store(tmp_path)
    await grown(made)
    tree, tree_revisions = await made.tree(TASK), await made.tree_revisions(TASK)
    assert tree is not None and tree_revisions is not None and tree_revisions.dropped
    assert Counter(one.reason.value for one in tree_revisions.dropped) == tree_revisions.drops
    assert len(tree_revisions.dropped) + len(tree_revisions.revisions) <= tree_revisions.pairs
    pairs = pair_trajectories(tree, made.revision)
    assert all(one.pair in pairs for one in tree_revisions.dropped)


def test_a_harvest_of_an_older_file_has_counts_alone() -> None:
    old = TREE_REVISIONS.validate_json('{"drops": {"duplicate": 2}, "pairs": 2, "tree": "x"}')
    assert (old.drops, old.dropped) == ({"duplicate": 2}, [])


@pytest.mark.parametrize("damage", [b"", b'{"task": "corr', b"[]", b"\xff\xfe"])
async def test_a_half_written_file_is_redone(tmp_path: Path, damage: bytes) -> None:
    made = tree_store(tmp_path)
    await grown(made)
    for path in tmp_path.rglob("*.json"):
        path.write_bytes(damage)
    again = await grown(made)
    assert again.calls > 0
    assert isinstance(await made.tree(TASK), SearchTree)
    assert await made.tree_revisions(TASK) is not None


async def test_an_endpoint_that_dies_leaves_no_half_tree(tmp_path: Path) -> None:
    made = tree_store(tmp_path)
    with pytest.raises(EndpointUnavailable):
        await grown(made, ["Action: push"] * 4 + [EndpointUnavailable("gone")])
    assert list(tmp_path.rglob("*.json")) == []
    await grown(made)
    assert await made.tree(TASK) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"search": SEARCH | {"simulations": 3}},
        {"seed": 1},
        {"actor": "other"},
        {"iteration": 2},
        {"revision": {"alpha": 0.3}},  # it says where a search stops early
    ],
)
async def test_another_search_uses_another_folder(tmp_path: Path, change: Any) -> None:
    await grown(tree_store(tmp_path))
    changed = tree_store(tmp_path, **change)
    assert await changed.tree(TASK) is None
    assert (await grown(changed)).calls > 0


@pytest.mark.parametrize(
    "change",
    [
        {"revision": {"placement": "inline"}},
        {"critique": {"localiser": "value"}},
    ],
)
async def test_another_revision_reuses_the_trees_and_not_the_harvest(
    tmp_path: Path, change: Any
) -> None:
    await grown(tree_store(tmp_path))
    changed = tree_store(tmp_path, **change)
    assert await changed.tree(TASK) is not None
    assert await changed.tree_revisions(TASK) is None
    actor = await grown(changed)
    assert all(asked[-1].content.endswith(JUDGE) for asked in actor.conversations)


async def test_where_no_search_stops_early_another_alpha_reuses_the_trees(tmp_path: Path) -> None:
    whole = {"search": SEARCH | {"stop_early": False, "abandon_after": 0}}
    await grown(tree_store(tmp_path, **whole))
    changed = tree_store(tmp_path, revision={"alpha": 0.3}, **whole)
    assert await changed.tree(TASK) is not None
    assert await changed.tree_revisions(TASK) is None


async def test_a_tree_without_a_pair_is_given_up(tmp_path: Path) -> None:
    def never(messages: Sequence[Message], k: int) -> str:
        return f"Action: wander {k}"

    for give_up, simulations in ((4, 4), (0, 20)):
        made = tree_store(
            tmp_path / str(give_up),
            search=SEARCH | {"abandon_after": give_up, "parallel_simulations": 1},
        )
        tree = await made.explore(ScriptedActor(never), TASK)
        assert tree.nodes[0].visits == simulations


async def test_a_harvest_of_another_tree_is_made_anew(tmp_path: Path) -> None:
    made = tree_store(tmp_path)
    await grown(made)
    [path] = tmp_path.glob("trees-*/*.json")
    tree = json.loads(path.read_bytes())
    path.write_text(json.dumps(tree | {"calls": 1}))  # a second run wrote it since
    assert await made.with_revisions(TASK) is None
    again = ScriptedActor(answer)
    await made.revise(again, TASK)
    assert again.calls > 0
    assert await made.with_revisions(TASK) is not None


async def test_an_interrupted_tree_asks_only_for_what_it_was_not_told(tmp_path: Path) -> None:
    whole = tree_store(tmp_path / "whole")
    calls = (await grown(whole)).calls

    for budget in range(1, calls):
        left = budget

        def dies(messages: Sequence[Message], k: int) -> str | Exception:
            nonlocal left
            left -= k == 0
            return answer(messages, k) if left >= 0 else EndpointUnavailable("killed")

        made = tree_store(tmp_path / str(budget))
        with pytest.raises(EndpointUnavailable):
            await grown(made, dies)
        again = await grown(made)
        # What was in flight beside the last reply is asked for again, and no more.
        assert calls - budget <= again.calls <= calls - budget + WALKS
        for folder in ("trees-*", "harvest-*"):
            [expected], [found] = (
                list(place.glob(f"{folder}/*.json"))
                for place in (tmp_path / "whole", tmp_path / str(budget))
            )
            assert found.read_bytes() == expected.read_bytes()
        assert not list(tmp_path.glob(f"{budget}/journal-*/*"))


async def test_a_line_that_a_kill_cut_short_is_asked_for_again(tmp_path: Path) -> None:
    def dies(messages: Sequence[Message], k: int) -> str | Exception:
        deep = len(messages) > 6
        return EndpointUnavailable("killed") if deep else answer(messages, k)

    made = tree_store(tmp_path)
    with pytest.raises(EndpointUnavailable):
        await grown(made, dies)
    [journal] = tmp_path.glob("journal-*/*")
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-7])
    with pytest.raises(EndpointUnavailable):
        await grown(made, dies)
    lines = journal.read_bytes().splitlines()
    assert lines[-1] + b"\n" == whole.splitlines(keepends=True)[-1]
    await grown(made)
    assert await made.with_revisions(TASK) is not None


async def test_revising_what_was_not_explored_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="explore it first"):
        await tree_store(tmp_path).revise(ScriptedActor(answer), TASK)


async def test_a_world_without_forks_gives_the_same_tree_on_disk(tmp_path: Path) -> None:
    forked = tree_store(tmp_path / "a")
    replayed = TreeStore.of(tmp_path / "b", Corridor, forked.config, actor="tiny", iteration=1)
    one = await forked.explore(ScriptedActor(answer), TASK)
    other = await replayed.explore(ScriptedActor(answer), TASK)
    assert one.nodes == other.nodes
    [path] = (tmp_path / "b").rglob("*.json")
    assert files.load(path, TREE) == other


async def test_without_verification_a_revision_says_that_it_was_assumed(tmp_path: Path) -> None:
    made = tree_store(tmp_path, revision={"verify": False})
    await grown(made)
    tree_revisions = await made.tree_revisions(TASK)
    assert tree_revisions is not None
    assert {r.verified for r in tree_revisions.revisions} == {False}


async def test_a_judge_that_never_answers_drops_pairs_and_says_why(tmp_path: Path) -> None:
    def script(messages: Sequence[Message], k: int) -> str:
        return "Hm." if messages[-1].content.endswith(JUDGE) else answer(messages, k)

    made = tree_store(tmp_path, critique={"localiser": "actor"})
    await grown(made, script)
    tree_revisions = await made.tree_revisions(TASK)
    assert tree_revisions is not None
    assert (tree_revisions.revisions, list(tree_revisions.drops)) == ([], [Drop.JUDGE_FAILED.value])
    built = await asyncio.to_thread(
        build, made, [TASK], tmp_path / "demo", actor="tiny", iteration=1
    )
    assert built.counts["judge failed"] == len(tree_revisions.critiques)
    assert built.dataset.rows["critique"] == 0


def test_why_there_is_no_error_is_told_apart() -> None:
    good, bad, failed = judged("Good"), judged("Bad"), judged(None)
    assert why_no_error([good, None]) is Drop.NO_BAD_STEP
    assert why_no_error([good, bad]) is Drop.DISAGREEMENT
    assert why_no_error([good, bad], by_replay=True) is Drop.NOT_AN_ERROR
    assert why_no_error([good, failed]) is Drop.JUDGE_FAILED


async def test_a_missing_harvest_is_counted_and_not_hidden(tmp_path: Path) -> None:
    made = tree_store(tmp_path)
    await grown(made)
    missing = replace(TASK, id="corridor 2")
    built = await asyncio.to_thread(
        build, made, [TASK, missing], tmp_path / "demo", actor="tiny", iteration=1
    )
    assert (built.counts["trees without a harvest"], built.counts["trees"]) == (1, 1)


async def test_without_a_row_to_train_on_no_version_is_written(tmp_path: Path) -> None:
    made = tree_store(tmp_path)
    await grown(made, lambda messages, k: "I would rather not.")
    with pytest.raises(NothingMade) as nothing:
        await asyncio.to_thread(build, made, [TASK], tmp_path / "demo", actor="tiny", iteration=1)
    assert not list((tmp_path / "demo").glob("v*"))
    said = " ".join(nothing.value.lines)
    assert "no action" in said and "I would rather not." in said


def test_what_was_built_adds_up(made: Made) -> None:
    counts, rows = made.built.counts, made.built.dataset.rows
    kinds = ("good", "revisions", "interleaved")
    assert sum(counts[kind] for kind in kinds) == rows["sft"]
    assert counts["judged steps"] - counts["judge failed"] == rows["critique"]
    assert counts["revisions"] == counts["verified revisions"] > 0
    assert counts["pairs"] == counts["revisions"] + sum(made.built.drops.values())
    assert made.built.revision_length >= 1


async def test_many_jobs_are_bounded_ordered_and_end_with_the_first_failure() -> None:
    running, most, finished = 0, 0, []

    async def job(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001 * (5 - number))
        running -= 1
        if number == 3:
            raise KeyError("three")
        finished.append(number)
        return number

    limit = asyncio.Semaphore(2)
    assert await gather_bounded(range(3), job, limit=limit) == [0, 1, 2]
    assert most == 2
    with pytest.raises(KeyError, match="three"):
        await gather_bounded([3, *[0] * 50], functools.partial(job), limit=limit)
    assert len(finished) < 10


async def test_a_harvest_of_another_tree_is_made_again(tmp_path: Path) -> None:
    made = tree_store(tmp_path)
    await grown(made)
    assert await made.finished(TASK)
    [path] = [p for p in tmp_path.rglob("*.json") if "trees-" in str(p)]
    path.write_bytes(path.read_bytes() + b"\n")  # another machine's, say
    assert not await made.finished(TASK)
    await made.revise(ScriptedActor(answer), TASK)
    assert await made.finished(TASK)
    path.unlink()
    assert not await made.finished(TASK)


def test_trees_of_another_model_or_another_world_lie_elsewhere(tmp_path: Path) -> None:
    def key(**over: Any) -> str:
        endpoint = {"kind": "openai", "base_url": "http://a/v1", "model": "m", "alias": "hf"}
        env = {"kind": "python", "factory": "a:b", "arguments": {"size": 1}}
        settings = {"endpoint": endpoint, "env": env}
        for name, value in over.items():
            settings[name] = settings[name] | value
        return tree_store(tmp_path, **settings).key

    assert key() == key(endpoint={"base_url": "http://b/v1"})
    keys = [key(), key(endpoint={"model": "/step-2/hf"}), key(env={"arguments": {"size": 2}})]
    assert len(set(keys)) == 3
