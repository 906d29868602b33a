"""What a step did, in the shop, and in worlds whose expert knows less."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from agent_r.dataset.audit.steps import StepKind, Walker
from agent_r.environment import Environment
from agent_r.settings import ShopEnv
from agent_r.testing import Corridor, ForkableCorridor
from env_adapters import world_of

SHOP = world_of(ShopEnv(kind="shop"))


async def kinds(walker: Walker, task: str, actions: Sequence[str]) -> list[StepKind]:
    return [s.kind for s in await walker.walk(task, [f"Action: {action}" for action in actions])]


async def bought(task: str) -> list[str]:
    """The shop's right way through a task."""
    assert SHOP.expert is not None
    return list(await SHOP.expert.plan(await SHOP.environment().reset(task), ()))


def shop() -> Walker:
    assert SHOP.expert is not None
    return Walker(SHOP.environment(), SHOP.expert)


@pytest.fixture(scope="module")
def task() -> str:
    """One with an option to be chosen."""
    return next(t.id for t in SHOP.environment().tasks("train") if t.depth >= 4)


async def test_the_shops_right_way_is_needed_to_its_last_step(task: str) -> None:
    way = await bought(task)
    assert set(await kinds(shop(), task, way)) == {StepKind.NEEDED}
    last = (await shop().walk(task, [f"Action: {action}" for action in way]))[-1]
    assert (last.distance, last.ended, last.reward) == (0, True, 1.0)


async def test_the_shops_errors_are_of_their_kinds(task: str) -> None:
    walker, (search, item, *options, buy) = shop(), await bought(task)
    assert options
    for done, kind in (
        (["click[nowhere]"], StepKind.REFUSED),
        ([search, search], StepKind.REFUSED),  # the field is on another page
        (["search[zzz]"], StepKind.HARMFUL),  # back, and search again
        ([search, item, "click[description]"], StepKind.HARMFUL),
        ([search, item, "click[description]", "click[< prev]"], StepKind.NEEDED),
        ([search, item, options[0], options[0]], StepKind.IDLE),
        ([search, item, buy], StepKind.HARMFUL),
    ):
        assert (await kinds(walker, task, done))[-1] is kind, done


async def test_an_end_is_good_from_alpha_on(task: str) -> None:
    search, item, *_, buy = await bought(task)
    assert SHOP.expert is not None
    strict, lenient = (Walker(SHOP.environment(), SHOP.expert, alpha) for alpha in (1.0, 0.1))
    replies = [f"Action: {action}" for action in (search, item, buy)]
    assert (await strict.walk(task, replies))[-1].distance == math.inf
    assert (await lenient.walk(task, replies))[-1].kind is StepKind.NEEDED


class Guide:
    """An expert that only plans, and knows nothing once the key is dropped."""

    async def plan(self, prompt: str, actions: Sequence[str]) -> Sequence[str]:
        way = ["take key", "east", "push", "push"]
        for action in actions:
            if action == "drop key":
                return ()
            way = way[1:] if way[:1] == [action] else way
        return way

    async def mistakes(self, prompt: str, actions: Sequence[str]) -> Sequence[str]:
        return ()


@pytest.mark.parametrize(
    ("env", "idle"), [(Corridor(), StepKind.WASTEFUL), (ForkableCorridor(), StepKind.REFUSED)]
)
async def test_a_plan_is_measured_by_its_length_and_an_empty_one_is_not_known(
    env: Environment, idle: StepKind
) -> None:
    """A world without words for a refusal has refused what left it as it was, if that is seen."""
    walker = Walker(env, Guide())
    task = env.tasks("train")[0].id
    done = ["take key", "dance", "drop key"]
    assert await kinds(walker, task, done) == [StepKind.NEEDED, idle, StepKind.UNKNOWN]
