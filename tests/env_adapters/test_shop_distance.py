"""How far the shop's goal is: no click finds a shorter way, and a wrong purchase has lost it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from math import inf

from agent_r.actor import Message, SamplingParams
from agent_r.algorithm.prompts import judge_request
from agent_r.algorithm.trajectory import Step
from agent_r.settings import ScriptedEndpoint, ShopEnv
from env_adapters.scripted_actor import ScriptedPlayer
from env_adapters.shop.environment import Shop
from env_adapters.shop.expert import ShopExpert
from env_adapters.shop.pages import ShopState, after, clicks, open_store, opening

SPEC = ShopEnv(kind="shop")
STORE = open_store(SPEC.products, SPEC.catalogue)
GOALS = list(STORE.catalogue.goals.values())


def nexts(state: ShopState, search: str) -> Iterator[ShopState]:
    """Wherever a click leads; and the expert's own search, for others there are too many."""
    if state.page == "search" and (found := after(STORE, state, search)):
        yield found
    yield from clicks(STORE, state).values()


def bought_within(state: ShopState, search: str, most: int) -> bool:
    layer, seen = {state}, {state}
    for _ in range(most):
        found = {one for here in layer for one in nexts(here, search)}
        if any(one.page == "bought" and one.reward == 1.0 for one in found):
            return True
        layer = {one for one in found if one.page != "bought"} - seen
        seen |= layer
    return False


async def test_no_click_finds_a_shorter_way() -> None:
    expert, rng = ShopExpert(SPEC), random.Random(0)
    for goal in rng.sample(GOALS, 30):
        state, done = ShopState(goal.id), list[str]()
        search = next(iter(await expert.plan(opening(goal), ())))
        for _ in range(rng.randrange(5)):
            words = rng.sample(goal.instruction.split(), 2)
            values = [value for value in clicks(STORE, state) if value != "buy now"]
            done.append(f"click[{rng.choice(values)}]" if values else f"search[{' '.join(words)}]")
            state = after(STORE, state, done[-1]) or state
        far = await expert.distance(opening(goal), done)
        assert far is not None
        assert not bought_within(state, search, min(int(far), 5) - 1), (goal.id, done)
        if far <= 4:
            assert bought_within(state, search, int(far)), (goal.id, done)


async def test_a_wrong_purchase_is_out_of_reach_and_judged_bad() -> None:
    expert = ShopExpert(SPEC)
    goal = next(goal for goal in GOALS if goal.options)
    search, item, *_, buy = await expert.plan(opening(goal), ())
    way = await expert.plan(opening(goal), ())
    assert await expert.distance(opening(goal), [search, item, buy]) == inf
    assert await expert.distance(opening(goal), way) == 0
    assert await judged([search, item, buy], opening(goal)) == "Bad"
    assert await judged(way, opening(goal)) == "Good"


async def judged(actions: Sequence[str], prompt: str) -> str:
    """What the scripted actor says of the last of these actions."""
    actor = ScriptedPlayer(ScriptedEndpoint(kind="scripted"), ShopExpert(SPEC))
    steps = [Step(f"Action: {action}", action, "…") for action in actions]
    asked: list[Message] = judge_request(Shop(SPEC).info.instruction, prompt, steps)
    [said] = await actor.complete(asked, n=1, params=SamplingParams())
    return said.text.rpartition("Judgement: ")[2]
