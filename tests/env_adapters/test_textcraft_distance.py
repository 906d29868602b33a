"""How far TextCraft's goal is: just as far as a blind search of the world finds it."""

from __future__ import annotations

import random
from itertools import product

import pytest

from agent_r.settings import TextCraftEnv
from env_adapters.textcraft.distance import distance
from env_adapters.textcraft.environment import TextCraft, TextCraftState
from env_adapters.textcraft.expert import plan
from env_adapters.textcraft.recipes import RecipeBook, load_recipes

BOOK = load_recipes("builtin")
COUNTS = (1, 2, 3, 4, 5, 6, 8, 12)  # of a thing that is got at once
Inventory = tuple[tuple[str, int], ...]


def useful(book: RecipeBook, goal: str) -> tuple[list[str], list[str]]:
    """What may be got for a goal, and what may be crafted: whole actions, but for the count."""
    waiting, seen, crafts = [goal], set[str](), list[str]()
    while waiting:
        for item in book.tags.get(name := waiting.pop(), (name,)):
            if item in seen:
                continue
            seen.add(item)
            for recipe in book.by_output.get(item, ()):
                waiting += [part for part, _ in recipe.inputs]
                for parts in product(*(book.tags.get(n, (n,)) for n, _ in recipe.inputs)):
                    counts = [count for _, count in recipe.inputs]
                    needs = ", ".join(f"{n} {part}" for n, part in zip(counts, parts, strict=True))
                    crafts.append(f"craft {recipe.count} {item} using {needs}")
    return [item for item in sorted(seen) if item not in book.by_output], crafts


async def step_all(
    env: TextCraft, goal: str, held: Inventory, actions: list[str]
) -> list[tuple[Inventory, bool]]:
    """Where the world itself goes from an inventory, and whether the goal is reached."""
    found = []
    for action in actions:
        env.restore(TextCraftState(goal, held, done=False))
        result = await env.step(action)
        if env.inventory != dict(held):
            found.append((tuple(sorted(env.inventory.items())), result.terminated))
    return found


async def fewest(env: TextCraft, goal: str, held: Inventory, most: int) -> int:
    """Breadth first in the world: the fewest actions, or one more than `most`."""
    things, crafts = useful(BOOK, goal)
    actions = [f"get {n} {thing}" for thing in things for n in COUNTS] + crafts
    layer, seen = {held}, {held}
    for done in range(1, most + 1):
        after = set()
        for state in layer:
            for state_after, reached in await step_all(env, goal, state, actions):
                if reached:
                    return done
                after.add(state_after)
        layer = after - seen
        seen |= layer
    return most + 1


@pytest.mark.parametrize("seed", range(4))
async def test_a_blind_search_finds_the_goal_as_far_away(seed: int) -> None:
    env, rng = TextCraft(TextCraftEnv()), random.Random(seed)
    tried = 0
    while tried < 12:
        goal = rng.choice(sorted(BOOK.by_output))
        things, crafts = useful(BOOK, goal)
        held = dict.fromkeys(rng.sample(things, min(len(things), 2)), rng.choice(COUNTS))
        env.restore(TextCraftState(goal, tuple(held.items()), done=False))
        for action in rng.choices(crafts, k=6):
            if not env.snapshot().done:
                await env.step(action)
        found, _ = distance(BOOK, goal, env.inventory)
        if not env.snapshot().done and found <= 4:
            tried += 1
            state = tuple(sorted(env.inventory.items()))
            assert await fewest(env, goal, state, found) == found, (goal, state)


def test_the_planners_way_is_never_shorter_and_sometimes_longer() -> None:
    longer = 0
    for goal in BOOK.by_output:
        ways = len(plan(BOOK, goal, {})), distance(BOOK, goal, {})[0]
        assert ways[1] <= ways[0]
        longer += ways[1] < ways[0]
    assert longer > 0


def test_what_the_planner_would_not_take_may_be_progress() -> None:
    """It makes ash handles; an elm log is as good a beginning, and coal for one bar a part."""
    goal = "iron axe"  # bars, and any two handles
    begun, elm = (distance(BOOK, goal, held) for held in ({}, {"elm log": 1}))
    assert elm < begun
    assert elm[0] == begun[0] - 1
    one, two = (distance(BOOK, goal, {"coal": n}) for n in (1, 2))
    assert one[0] == begun[0] and one < begun  # for one of two crafts alone
    assert two[0] == begun[0] - 1
    assert distance(BOOK, goal, {"sand": 4}) == begun
