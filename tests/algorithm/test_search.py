"""The search as published: what is walked, what is propagated, and that a seed repeats it."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent_r.actor import Completion, Message
from agent_r.algorithm.pairing import pair_trajectories
from agent_r.algorithm.search import backpropagate, search, select, uct
from agent_r.algorithm.trajectory import StopReason
from agent_r.algorithm.tree import Node, SearchTree
from agent_r.collection.tree_store import TREE
from agent_r.environment import Environment, StepResult
from agent_r.errors import ContextOverflow, ConversationRefused, EndpointUnavailable
from agent_r.settings import RevisionConfig, ScriptedEndpoint, SearchConfig, TextCraftEnv
from agent_r.testing import Corridor, ForkableCorridor, ScriptedActor
from env_adapters.textcraft.environment import TextCraft
from env_adapters.textcraft.scripted import ScriptedCrafter
from tests.support.planting import leaf, plant

GOLDEN = Path(__file__).parents[1] / "golden" / "textcraft-tree.json"
ACTIONS = ("take key", "east", "push", "push", "drop key", "jump")


def wander(messages: Sequence[Message], k: int) -> str:
    """An actor whose replies depend on the conversation alone."""
    rng = random.Random(f"{len(messages)} {messages[-1].content} {k}")
    return f"Action: {rng.choice(ACTIONS)}"


class Dawdler(ScriptedActor):
    """Replies as `wander`, each after a while that the rng draws."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(wander)
        self.most_at_once = self._at_once = 0
        self._rng = rng

    async def complete(self, *args: Any, **how: Any) -> list[Completion]:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await asyncio.sleep(self._rng.random() / 1000)
        self._at_once -= 1
        return await super().complete(*args, **how)


async def grow(
    env: Environment, *, task: str = "corridor 1", seed: int = 0, actor: Any = None, **over: Any
) -> SearchTree:
    settings = {"simulations": 8, "candidates": 4, "max_depth": 6, "parallel_simulations": 1} | over
    config = SearchConfig.model_validate(settings)
    return await search(env, actor or ScriptedActor(wander), task, config=config, seed=seed)


def shape(tree: SearchTree) -> list[Any]:
    return [(n.parent, n.step, n.reward, n.stop, n.visits, n.total_return) for n in tree.nodes]


def test_uct_is_the_mean_return_plus_the_exploration_bonus() -> None:
    node = Node(visits=2, total_return=1.0)
    assert uct(node, 8, c=0.25) == 0.5 + 0.25 * math.sqrt(math.log(8) / 2)


def test_more_visits_of_the_parent_make_a_neglected_child_worth_a_look() -> None:
    good, neglected = Node(visits=50, total_return=30.0), Node(visits=1, total_return=0.0)
    assert uct(good, 51, c=0.25) > uct(neglected, 51, c=0.25)
    assert uct(good, 51, c=2.0) < uct(neglected, 51, c=2.0)


def test_an_unvisited_child_comes_first() -> None:
    tree = plant(("a", 1.0), ("b", 1.0))
    unvisited = tree.nodes[leaf(tree, "b")]
    unvisited.visits, unvisited.total_return = 0, 0.0
    picked = {select(tree, 0, c=0.25, rng=random.Random(s)) for s in range(20)}
    assert picked == {leaf(tree, "b")}


def test_equals_are_chosen_among_by_the_given_rng() -> None:
    tree = plant(("a", 0.0), ("b", 0.0), ("c", 0.0))
    picked = Counter(select(tree, 0, c=0.25, rng=random.Random(s)) for s in range(90))
    assert set(picked) == {1, 2, 3}
    assert min(picked.values()) > 15


def test_a_closed_child_is_never_chosen_and_none_is_left_in_the_end() -> None:
    tree = plant(("a", 0.0), ("b", 1.0))
    assert select(tree, 0, c=0.0, rng=random.Random(0), closed={2}) == 1
    assert select(tree, 0, c=0.0, rng=random.Random(0), closed={1, 2}) is None


def test_only_the_leafs_reward_is_propagated_and_to_its_own_path_alone() -> None:
    tree = plant(("a/b", 0.3), ("a/c", 1.0), ("d", 0.0))
    counts = [(n.visits, n.total_return) for n in tree.nodes]
    assert counts == [(3, 1.3), (2, 1.3), (1, 0.3), (1, 1.0), (1, 0.0)]
    backpropagate(tree, leaf(tree, "a/c"))
    assert tree.nodes[0].visits == 4
    assert tree.nodes[leaf(tree, "a/b")].visits == 1


def test_a_tree_prints_a_line_for_each_node_below_its_parent() -> None:
    tree = plant(("a/b\x1b", 0.5), ("c", 0.0))
    first, *lines = str(tree).splitlines()
    assert first == f"{tree.task}: {tree.calls} requests"
    assert [line.partition(":")[0] for line in lines] == ["'a'", r"  'b\x1b'", "'c'"]
    assert lines[1].endswith(", terminated with reward 0.5")


def test_paths_steps_and_trajectories_are_read_off_the_tree() -> None:
    tree = plant(("a/b", 0.3), ("a/c", 1.0))
    assert tree.path(0) == []
    assert tree.path(leaf(tree, "a/c")) == [1, 3]
    episode = tree.trajectory(3)
    assert [s.action for s in episode.steps] == ["a", "c"]
    assert (episode.reward, episode.stop) == (1.0, StopReason.TERMINATED)


async def test_replies_that_act_alike_are_one_child_with_the_first_ones_text() -> None:
    said = ["Thought: x\nAction: jump", "Action:  jump", "I will not.", "Never.", "Action: jump"]
    tree = await grow(Corridor(), actor=ScriptedActor(said), simulations=1, candidates=5)
    children = [tree.nodes[i] for i in tree.nodes[0].children]
    responses = [child.step.response for child in children if child.step]
    assert responses == ["Thought: x\nAction: jump", "I will not."]


async def test_the_root_counts_the_simulations_and_each_leaf_is_walked_into_once() -> None:
    tree = await grow(ForkableCorridor(), simulations=8)
    walked = [tree.nodes[i] for i in tree.leaves() if tree.nodes[i].visits]
    assert tree.nodes[0].visits == len(walked) == 8
    assert all(node.visits == 1 for node in walked)
    assert tree.nodes[0].total_return == pytest.approx(sum(n.reward for n in walked))


async def test_visits_of_a_node_are_those_of_its_children() -> None:
    tree = await grow(ForkableCorridor(), simulations=20, max_depth=4)
    for node in tree.nodes:
        if node.children:
            assert node.visits == sum(tree.nodes[i].visits for i in node.children)


async def test_the_depth_limit_ends_an_episode_as_step_limit() -> None:
    actor = ScriptedActor(lambda messages, k: "Action: east" if k else "Action: west")
    tree = await grow(Corridor(), actor=actor, max_depth=2)
    assert {tree.nodes[i].stop for i in tree.leaves()} == {StopReason.STEP_LIMIT}
    assert {len(tree.path(i)) for i in tree.leaves()} == {2}


async def test_a_reply_without_an_action_keeps_the_reward_so_far() -> None:
    actor = ScriptedActor(["Action: take key", "Hm."])
    tree = await grow(Corridor(), actor=actor, candidates=1, max_depth=2)
    assert [tree.nodes[i].reward for i in tree.leaves()] == [0.3]


async def test_a_context_overflow_ends_an_episode_as_data() -> None:
    def script(messages: Sequence[Message], k: int) -> str | Exception:
        return ContextOverflow("full", status=400) if len(messages) > 4 else wander(messages, k)

    tree = await grow(ForkableCorridor(), actor=ScriptedActor(script))
    stops = {tree.nodes[i].stop for i in tree.leaves()}
    assert StopReason.CONTEXT_OVERFLOW in stops
    assert all(len(tree.path(i)) <= 2 for i in tree.leaves())


async def test_a_goal_that_does_not_fit_the_context_is_a_tree_without_leaves() -> None:
    actor = ScriptedActor(lambda messages, k: ContextOverflow("full", status=400))
    tree = await grow(Corridor(), actor=actor)
    assert (len(tree.nodes), actor.calls, list(tree.leaves())) == (1, 1, [])
    assert tree.nodes[0].stop is StopReason.CONTEXT_OVERFLOW


async def test_a_refused_conversation_ends_its_episode_and_is_nobodys_error() -> None:
    def script(messages: Sequence[Message], k: int) -> str | Exception:
        risky = len(messages) > 4 and "give" not in messages[-1].content
        return ConversationRefused("risk", status=400) if risky else wander(messages, k)

    tree = await grow(ForkableCorridor(), actor=ScriptedActor(script))
    refused = [i for i in tree.leaves() if tree.nodes[i].stop is StopReason.REFUSED]
    assert refused
    pairs = pair_trajectories(tree, RevisionConfig(alpha=0.2, beta=0.1))
    assert not {pair.bad for pair in pairs} & set(refused)


async def test_a_task_whose_first_conversation_is_refused_is_no_tree() -> None:
    actor = ScriptedActor(lambda messages, k: ConversationRefused("risk", status=400))
    with pytest.raises(ConversationRefused):
        await grow(Corridor(), actor=actor)


async def test_no_reply_ends_an_episode_as_data() -> None:
    tree = await grow(Corridor(), actor=ScriptedActor(["Action: east"]), candidates=1)
    assert [tree.nodes[i].stop for i in tree.leaves()] == [StopReason.NO_REPLY]


async def test_an_endpoint_that_is_gone_ends_the_search() -> None:
    actor = ScriptedActor(["Action: east", EndpointUnavailable("gone")])
    with pytest.raises(EndpointUnavailable):
        await grow(Corridor(), actor=actor, candidates=1)


async def test_an_exhausted_tree_stops_early() -> None:
    actor = ScriptedActor(lambda messages, k: ("Action: jump", "Action: east")[k])
    tree = await grow(Corridor(), actor=actor, candidates=2, max_depth=2, simulations=50)
    assert tree.nodes[0].visits == len(list(tree.leaves())) == 3
    assert actor.calls == 2


@pytest.mark.parametrize("seed", [0, 1, 2])
async def test_snapshots_and_replay_give_the_same_tree(seed: int) -> None:
    replayed = await grow(Corridor(), task="corridor 0", seed=seed, simulations=12)
    forked = await grow(ForkableCorridor(), task="corridor 0", seed=seed, simulations=12)
    assert shape(replayed) == shape(forked)
    assert {n.reward for n in forked.nodes} == {0.0, 0.3, 1.0}  # pushes were repeated rightly
    assert forked.env_steps < replayed.env_steps


async def test_what_is_counted_is_what_the_world_was_asked() -> None:
    def script(messages: Sequence[Message], k: int) -> str:
        return ("Action: wait", "No action.", wander(messages, k))[k]

    for env in (Corridor(), ForkableCorridor()):
        tree = await grow(env, actor=ScriptedActor(script), candidates=3)
        assert tree.env_steps == env.steps
        assert tree.calls == sum(bool(node.children) for node in tree.nodes)


@pytest.mark.parametrize("walks", [2, 3, 8])
async def test_several_walks_give_one_tree_whatever_the_order_of_the_replies(walks: int) -> None:
    trees = []
    for seed in range(4):
        actor = Dawdler(random.Random(seed))
        trees.append(await grow(Corridor(), actor=actor, parallel_simulations=walks, max_depth=8))
        assert 1 < actor.most_at_once <= walks
    assert all(shape(tree) == shape(trees[0]) for tree in trees)


async def test_walks_that_go_on_at_once_go_different_ways() -> None:
    def reply(messages: Sequence[Message], k: int) -> str:
        return f"Action: wander {k}"

    tree = await grow(
        Corridor(), actor=ScriptedActor(reply), parallel_simulations=4, simulations=4, max_depth=3
    )
    assert [tree.nodes[i].visits for i in tree.nodes[0].children] == [1, 1, 1, 1]


@pytest.mark.parametrize("walks", [1, 4])
async def test_as_many_simulations_are_made_however_many_walk_at_once(walks: int) -> None:
    tree = await grow(Corridor(), parallel_simulations=walks, simulations=8, max_depth=6)
    assert tree.nodes[0].visits == 8
    assert all(tree.nodes[i].visits <= 1 for i in tree.leaves())


async def test_a_walk_on_its_way_counts_as_one_that_returned_nothing() -> None:
    tree = plant(("a", 1.0), ("b", 1.0))
    chosen = {
        select(tree, 0, c=0.25, rng=random.Random(s), walking={0: 1, 1: 1}) for s in range(20)
    }
    assert chosen == {2}
    assert uct(tree.nodes[1], 3, c=0.0, walking=1) == 0.5


async def test_two_walks_that_meet_where_the_episode_cannot_go_on_are_one_visit() -> None:
    def reply(messages: Sequence[Message], k: int) -> str | Exception:
        return "Action: east" if len(messages) == 2 else ContextOverflow("too long", status=400)

    tree = await grow(Corridor(), actor=ScriptedActor(reply), candidates=1, parallel_simulations=4)
    assert [(n.visits, n.stop) for n in tree.nodes] == [(1, None), (1, StopReason.CONTEXT_OVERFLOW)]


async def test_a_tree_that_holds_enough_is_searched_no_further() -> None:
    def holds_two(tree: SearchTree) -> bool:
        return sum(tree.nodes[i].visits for i in tree.leaves()) >= 2

    config = SearchConfig(simulations=8, candidates=2, max_depth=4, parallel_simulations=2)
    actor = ScriptedActor(wander)
    tree = await search(Corridor(), actor, "corridor 1", config=config, seed=0, enough=holds_two)
    assert tree.nodes[0].visits == 2
    assert tree.calls == actor.calls


async def test_the_same_seed_gives_the_same_tree_and_another_seed_another() -> None:
    one, same, other = [await grow(ForkableCorridor(), seed=s) for s in (5, 5, 6)]
    assert one == same
    assert shape(one) != shape(other)


async def test_every_node_is_asked_for_with_a_seed_of_its_own() -> None:
    actor = ScriptedActor(wander)
    await grow(ForkableCorridor(), actor=actor, seed=2**31 - 1)
    seeds = [params.seed for params in actor.params]
    assert len(set(seeds)) == len(seeds)
    assert all(seed is not None and 0 <= seed < 2**31 for seed in seeds)


async def test_a_tree_survives_its_file() -> None:
    tree = await grow(ForkableCorridor())
    assert TREE.validate_json(TREE.dump_json(tree)) == tree


async def test_the_golden_tree_is_grown_again() -> None:
    """Delete the file to have it drawn anew, where the search was meant to change."""
    spec = TextCraftEnv()
    tree = await search(
        TextCraft(spec),
        ScriptedCrafter(ScriptedEndpoint(error_rate=0.5), spec),
        "ash stool",
        config=SearchConfig(simulations=4, candidates=2, max_depth=8, parallel_simulations=1),
        seed=1,
    )
    grown = json.loads(TREE.dump_json(tree))
    if not GOLDEN.exists():
        GOLDEN.write_text(json.dumps(grown, indent=1) + "\n", encoding="utf-8")
        pytest.fail(f"{GOLDEN.name} was drawn anew: look at it, and run again")
    assert grown == json.loads(GOLDEN.read_text(encoding="utf-8"))


async def test_a_long_way_that_was_seen_to_its_end_ends_the_search_and_no_more() -> None:
    class Endless(Corridor):
        async def step(self, action: str) -> StepResult:
            return StepResult("As before.", 0.0, terminated=False)

    says_the_same = ScriptedActor(lambda messages, k: "Action: east")
    tree = await grow(Endless(), actor=says_the_same, max_depth=200, simulations=3)
    assert len(tree.nodes) == 201
    assert tree.nodes[0].visits == 1
