"""Facts about splices that were never executed, and what TextCraft says to them."""

from __future__ import annotations

import random

from agent_r.algorithm.pairing import all_pairs
from agent_r.algorithm.replay import replay
from agent_r.algorithm.tree import SearchTree
from agent_r.environment import Environment
from agent_r.settings import RevisionConfig, TextCraftEnv
from agent_r.testing import Corridor
from benchmarks.splices import (
    ENDED,
    FALSE_TEXT,
    FINE,
    IMPOSSIBLE,
    Executed,
    example,
    executed,
    line,
    localisers,
)
from env_adapters.textcraft.environment import TextCraft
from tests.support.planting import judged, plant

FLOUR = "wheat flour"
GOOD = "get 2 wheat/inventory/craft 3 wheat flour using 2 wheat"
HARMLESS = "get 2 wheat/get 1 wheat flour"  # refused: what is crafted cannot be got
CARRIED = "get 2 wheat/get 3 coal"  # which the inventory then lists
SPENT = "get 2 wheat/get 1 milk/craft 1 wheat porridge using 2 wheat, 1 milk"


async def grown(env: Environment, task: str, *episodes: str) -> SearchTree:
    """A tree of these actions with the answers that the world really gives."""
    tree = plant(*((actions, 0.0) for actions in episodes), task=task)
    for index in tree.leaves():
        steps, reward = await replay(env, task, [step.response for step in tree.steps(index)])
        for node, step in zip(tree.path(index), steps, strict=True):
            tree.nodes[node].step = step
        tree.nodes[index].reward = reward
    return tree


async def run(env: Environment, tree: SearchTree) -> dict[str, list[Executed]]:
    """All splices of a tree whose actor judges the last step of each bad leaf."""
    how, rng = RevisionConfig(), random.Random(0)
    pairs = all_pairs(tree, how)
    critiques = {pair.bad: judged("Bad") for pair in pairs}
    return await executed(env, tree, pairs, localisers(tree, how, critiques, rng), 9, rng)


async def test_the_world_tells_fine_from_impossible_and_from_missed() -> None:
    env = TextCraft(TextCraftEnv())
    found = await run(env, await grown(env, FLOUR, GOOD, HARMLESS, CARRIED, SPENT))
    cut_at = {one.splice.before: one.kind for one in found["actor"]}
    kinds = {"/".join(s.action for s in steps): kind for steps, kind in cut_at.items()}
    assert kinds == {HARMLESS: FINE, CARRIED: FALSE_TEXT, SPENT: IMPOSSIBLE}


async def test_a_splice_says_which_step_the_world_answers_otherwise() -> None:
    env = TextCraft(TextCraftEnv())
    [carried] = (await run(env, await grown(env, FLOUR, GOOD, CARRIED)))["actor"]
    assert carried.differs == 2
    assert list(example(carried))[-2:] == [
        "    row    Inventory: [wheat] (2)",
        "    world  Inventory: [wheat] (2) [coal] (3)",
    ]


async def test_an_episode_that_ends_with_its_error_is_counted_apart() -> None:
    world = Corridor()
    tree = await grown(world, "corridor 1", "take key/jump", "take key/east/push/push")
    assert [one.kind for one in (await run(world, tree))["direct"]] == [ENDED]


async def test_a_row_counts_what_is_impossible_whatever_it_earns() -> None:
    env = TextCraft(TextCraftEnv())
    found = await run(env, await grown(env, FLOUR, GOOD, HARMLESS, CARRIED, SPENT))
    assert " ".join(line("textcraft", "actor", [found], 1.0).split()) == (
        "textcraft actor 1 3 0 0.000 [0.000, 0.561] 2 0.667 [0.208, 0.939] "
        "1 0.333 [0.061, 0.792] 1 1 1 0.333 [0.061, 0.792]"
    )
