"""The shop: every goal can be bought, near misses are graded, and nothing can break an episode."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from agent_r.environment import Environment, Expert, Forkable
from agent_r.errors import UnknownTask
from agent_r.settings import ShopEnv
from env_adapters import world_of
from env_adapters.shop.catalogue import Goal, Product, catalogue, demands
from env_adapters.shop.environment import Shop
from env_adapters.shop.expert import ShopExpert
from env_adapters.shop.pages import ShopState, after, clicks, open_store, opening, render
from env_adapters.shop.reward import fits, purchase_reward, title_words, type_factor
from env_adapters.shop.search import TOP
from env_adapters.shop.texts import BENEFITS

SPEC = ShopEnv(kind="shop")
STORE = open_store(SPEC.products, SPEC.catalogue)
GOALS = list(STORE.catalogue.goals.values())
SPLITS = ("warm_start", "train", "test")

# The first: all products and goals. The second: what a seeded walk through twenty episodes sees.
GOLDEN = ("e1baf0bb9fb5", "26a5fab0069b05b1")

BOOT = Product(
    id="PBOOT",
    title="Veskholm Waterproof Ankle Boot for Women",
    type="ankle boot",
    category=("clothing", "shoes"),
    attributes=("waterproof", "rubber sole", "non slip"),
    options=(("color", ("black", "sand")), ("size", ("6", "7"))),
    price=5995,
    features=(),
    description="",
)
ASKED = Goal(
    id="PBOOT-1",
    product=BOOT,
    attributes=("waterproof", "non slip"),
    options=(("color", "sand"), ("size", "7")),
    limit=6000,
    instruction="",
)
RIGHT = {"color": "sand", "size": "7"}


async def walk(env: Shop, expert: Expert, prompt: str, rng: random.Random) -> list[str]:
    """A beginner's episode from where it begins; returns what was done."""
    done: list[str] = []
    for _ in range(15):
        way = await expert.plan(prompt, done)
        mistakes = await expert.mistakes(prompt, done)
        done.append(rng.choice(mistakes) if rng.random() < 0.5 else way[0])
        if (await env.step(done[-1])).terminated:
            break
    return done


async def test_the_expert_buys_what_every_goal_asks_for() -> None:
    env, expert = Shop(SPEC), ShopExpert(SPEC)
    lengths = Counter[int]()
    for task in (task for split in SPLITS for task in env.tasks(split)):
        prompt = await env.reset(task.id)
        way = await expert.plan(prompt, ())
        results = [await env.step(action) for action in way]
        assert results[-1].reward == 1.0, (task, way)
        assert [r.terminated for r in results] == [False] * (len(way) - 1) + [True]
        assert all(r.reward == 0.0 for r in results[:-1])
        lengths[len(way)] += 1
    assert lengths.total() >= 600
    assert set(lengths) == {3, 4, 5, 6}  # search, product, up to three options, buy


async def test_the_expert_finds_a_way_from_any_state() -> None:
    env, expert, rng = Shop(SPEC), ShopExpert(SPEC), random.Random(7)
    ends = Counter[bool]()
    for goal in rng.sample(GOALS, 120):
        prompt = await env.reset(goal.id)
        done = await walk(env, expert, prompt, rng)
        way = await expert.plan(prompt, done)
        ends[bool(way)] += 1
        rewards = [(await env.step(action)).reward for action in way]
        assert not way or rewards[-1] == 1.0, (goal.id, done, way)
    assert min(ends[True], ends[False]) > 5  # some walks bought something, some had not yet


async def test_each_step_of_the_way_makes_it_shorter_and_no_mistake_does() -> None:
    expert, rng = ShopExpert(SPEC), random.Random(3)
    for goal in rng.sample(GOALS, 60):
        prompt, done = opening(goal), list[str]()
        while way := await expert.plan(prompt, done):
            mistakes = await expert.mistakes(prompt, done)
            assert mistakes and way[0] not in mistakes
            for mistake in mistakes:
                left = await expert.plan(prompt, [*done, mistake])
                assert len(left) >= len(way) or not left, (done, mistake)
            done.append(way[0])
        assert await expert.mistakes(prompt, done) == ()


async def test_the_expert_knows_nothing_of_another_prompt() -> None:
    expert = ShopExpert(SPEC)
    assert await expert.plan("Goal: craft a door.", ()) == ()
    assert await expert.mistakes("Goal: craft a door.", ()) == ()


def test_a_purchase_is_worth_the_share_of_what_was_asked_for() -> None:
    """Five things are asked for: two attributes, two options and the price."""
    assert purchase_reward(ASKED, BOOT, RIGHT) == 1.0
    assert purchase_reward(ASKED, BOOT, {"color": "black", "size": "7"}) == 4 / 5
    assert purchase_reward(ASKED, BOOT, {}) == 3 / 5
    assert purchase_reward(ASKED, replace(BOOT, price=6095), RIGHT) == 4 / 5
    assert purchase_reward(ASKED, replace(BOOT, attributes=("non slip",)), {}) == 2 / 5
    assert purchase_reward(ASKED, replace(BOOT, attributes=(), price=6095), {}) == 0.0


def test_the_kind_of_thing_scales_what_a_purchase_is_worth() -> None:
    """The wanted title has four words that count: waterproof, ankle, boot, women."""
    assert title_words(BOOT) == {"waterproof", "ankle", "boot", "women"}
    elsewhere = replace(BOOT, type="x", category=("outdoors", "camping"))
    unlike = replace(elsewhere, title="Veskholm Non Slip Mug for Men")
    assert type_factor(BOOT, unlike) == 0.0  # the maker is the same, and does not count
    assert type_factor(BOOT, replace(unlike, category=BOOT.category)) == 0.0
    one_of_four = replace(elsewhere, title="Veskholm Waterproof Hammock")
    assert type_factor(BOOT, one_of_four) == 1.0
    longer = replace(BOOT, title="Veskholm Low Latency Ankle Boot for Tall Women")
    assert type_factor(longer, replace(elsewhere, title="Ulmaric Tall Mug")) == 0.5  # 1 of 6
    assert type_factor(longer, replace(BOOT, title="Ulmaric Tall Mug")) == 1.0  # same category
    bought = replace(elsewhere, title="Ulmaric Tall Mug")
    assert purchase_reward(replace(ASKED, product=longer), bought, RIGHT) == 1 / 2


def test_the_papers_step_below_a_tenth_cannot_be_met() -> None:
    assert max(len(title_words(product)) for product in STORE.catalogue.products) <= 10


def test_what_nearly_fits_is_worth_something_between() -> None:
    """Bought without care from the first page of a poor query."""
    rng, rewards = random.Random(0), list[float]()
    for goal in GOALS:
        for name in STORE.search.found(goal.product.type)[:10]:
            product = STORE.product[name]
            chosen = {option: rng.choice(values) for option, values in product.options}
            rewards.append(purchase_reward(goal, product, chosen))
    fifths = Counter(min(4, int(5 * reward)) for reward in rewards)
    shares = [fifths[n] / len(rewards) for n in range(5)]
    assert all(share > 0.05 for share in shares), shares
    assert len(set(rewards)) > 12
    assert rewards.count(1.0) / len(rewards) < 0.10


def test_goals_are_neither_lost_in_the_shop_nor_met_by_most_of_it() -> None:
    fitting = [sum(fits(goal, p) for p in STORE.catalogue.products) for goal in GOALS[:200]]
    assert min(fitting) == 1
    assert sorted(fitting)[100] <= 5


def test_an_attribute_stands_in_the_texts_of_what_has_it_and_nowhere_else() -> None:
    for product in STORE.catalogue.products:
        text = " ".join((product.title, *product.features, product.description)).lower()
        assert {phrase for phrase in BENEFITS if phrase in text} == set(product.attributes)


def test_no_two_things_on_a_page_are_clicked_by_one_name() -> None:
    for product in STORE.catalogue.products:
        values = [value for _, options in product.options for value in options]
        page = clicks(STORE, ShopState(GOALS[0].id, "item", product=product.id))
        assert len(page) == len(values) + 5 and set(values) <= set(page)
        assert all(value == value.lower() for value in values)


def test_the_splits_are_disjoint_and_complete_and_named_by_goal() -> None:
    env = Shop(SPEC)
    ids = [task.id for split in SPLITS for task in env.tasks(split)]
    assert len(ids) == len(set(ids)) == len(GOALS) >= 600
    shares = [len(env.tasks(split)) / len(ids) for split in SPLITS]
    assert shares == pytest.approx([0.40, 0.35, 0.25], abs=0.01)
    for split in SPLITS:
        assert all(task.split == split for task in env.tasks(split))
        assert {task.depth for task in env.tasks(split)} == {demands(goal) for goal in GOALS}
    assert len({opening(goal) for goal in GOALS}) == len(GOALS)
    assert all(goal.id.startswith(f"{goal.product.id}-") for goal in GOALS)


def test_a_larger_catalogue_has_all_of_a_smaller_one() -> None:
    small, large = catalogue(300, 5), catalogue(600, 5)
    assert set(small.products) <= set(large.products)
    assert set(small.goals) <= set(large.goals)
    assert not set(small.goals) & set(catalogue(300, 6).goals)
    assert len({p.id for p in large.products}) == len(large.products) == 600


def test_search_finds_first_what_the_query_names() -> None:
    for kind in {goal.product.type for goal in GOALS}:
        best = STORE.search.found(kind)[:5]
        assert {STORE.product[name].type for name in best} == {kind}
    for product in STORE.catalogue.products[::50]:
        assert product.id in STORE.search.found(product.title)[:3]
    shoes = STORE.search.found("Shoes")
    assert {STORE.product[name].category for name in shoes} == {("clothing", "shoes")}


def test_search_orders_equals_by_id_and_knows_its_bounds() -> None:
    found = STORE.search.found("office chair")
    assert len(found) == TOP == len(set(found))
    twins = [replace(BOOT, id=f"P{n}") for n in "ABCDEF"]
    search = type(STORE.search)(twins)
    assert search.found("boots") == ("PA", "PB", "PC", "PD", "PE", "PF")
    for nothing in ("", "   ", "zzzz", "靴", "!?"):
        assert search.found(nothing) == ()


async def test_a_page_lists_all_that_can_be_done_and_does_it_in_any_case() -> None:
    env = Shop(SPEC)
    prompt = await env.reset(GOALS[0].id)
    assert prompt == (
        f"Instruction: [SEP] {GOALS[0].instruction} [SEP] Search\n"
        "Available actions: search[keywords]"
    )
    page = (await env.step("SEARCH[office chair]")).observation
    listed = page.rpartition("Available actions: ")[2].split(" | ")
    assert listed[:2] == ["click[back to search]", "click[next >]"] and len(listed) == 12
    for action in listed:
        here = env.snapshot()
        assert not (await env.step(action.upper())).observation.startswith("Could not")
        env.restore(here)
    second = (await env.step("click[Next >]")).observation
    assert second.startswith("Back to Search [SEP] Page 2 (Total results: 50) [SEP] < Prev")
    assert (await env.step("click[< prev]")).observation == page
    assert (await env.step("click[back to search]")).observation.startswith("Search\n")


async def test_an_item_has_sub_pages_and_says_what_is_chosen() -> None:
    env = Shop(SPEC)
    goal = next(goal for goal in GOALS if len(goal.options) == 2)
    await env.reset(goal.id)
    await env.step(f"search[{goal.product.title}]")
    item = (await env.step(f"click[{goal.product.id}]")).observation
    assert goal.product.title in item and "[SEP] Buy Now\n" in item
    (name, value), _ = goal.options
    chosen = (await env.step(f"click[{value}]")).observation
    assert f"You have chosen {name}: {value}\n" in chosen
    assert goal.product.description in (await env.step("click[Description]")).observation
    assert (await env.step("click[< Prev]")).observation == chosen
    features = (await env.step("click[Features]")).observation
    assert all(line in features for line in goal.product.features)
    await env.step("click[< prev]")
    bought = await env.step("click[Buy Now]")
    assert bought.terminated and bought.reward == 1 - 1 / demands(goal)


def test_pages_and_prompts_are_short() -> None:
    longest = max(len(opening(goal)) for goal in GOALS)
    assert longest < 300
    for goal in GOALS:
        for query in (goal.product.type, " ".join(goal.attributes)):
            for number in (1, 2):
                state = ShopState(goal.id, "results", query=query, number=number)
                assert len(render(STORE, state)) < 1_250
        item = ShopState(goal.id, "item", product=goal.product.id, chosen=goal.options)
        assert len(render(STORE, item)) < 1_250


GARBAGE = (
    "",
    " ",
    "search",
    "search[]",
    "search[ ]",
    "click[]",
    "click[foo]",
    "click[buy now",
    "buy now",
    "look",
    "click[検索]",
    "\ud800\x00\u2028",
    "click[" + "[" * 100_000 + "]",
    "x" * 100_000,
    "click[search]",
    "click[bought]",
)


async def test_what_cannot_be_done_is_answered_and_changes_nothing() -> None:
    env, expert = Shop(SPEC), ShopExpert(SPEC)
    prompt = await env.reset(GOALS[0].id)
    for action in await expert.plan(prompt, ()):
        for garbage in GARBAGE:
            before = env.snapshot()
            result = await env.step(garbage)
            assert result.observation.startswith("Could not execute "), garbage[:40]
            assert "\nAvailable actions: " in result.observation
            assert len(result.observation) < 700
            result.observation.encode()
            assert (result.reward, result.terminated) == (0.0, False)
            assert env.snapshot() == before
        await env.step(action)


async def test_a_search_for_anything_is_answered() -> None:
    env = Shop(SPEC)
    for query in ("zzz", "靴 \ud800", "boot " * 20_000, "]] click[buy now", "a\nb"):
        await env.reset(GOALS[0].id)
        result = await env.step(f"search[{query}]")
        assert "Page 1 (Total results: " in result.observation
        state = env.snapshot()
        assert len(state.query) <= 200


async def test_after_the_end_only_a_reset_helps() -> None:
    env = Shop(SPEC)
    with pytest.raises(ValueError, match="the episode has ended: reset first"):
        await env.step("search[boot]")
    with pytest.raises(UnknownTask):
        await env.reset("P0000000-0")
    await env.reset(GOALS[0].id)
    for action in await ShopExpert(SPEC).plan(opening(GOALS[0]), ()):
        await env.step(action)
    with pytest.raises(ValueError, match="the episode has ended: reset first"):
        await env.step("click[back to search]")
    await env.reset(GOALS[1].id)
    await env.close()
    await env.close()
    with pytest.raises(ValueError, match="the episode has ended: reset first"):
        await env.step("search[boot]")


async def test_a_fork_goes_on_as_the_episode_itself_would() -> None:
    env, other, expert, rng = Shop(SPEC), Shop(SPEC), ShopExpert(SPEC), random.Random(11)
    assert isinstance(env, Forkable)
    for goal in rng.sample(GOALS, 40):
        prompt = await env.reset(goal.id)
        done = await walk(env, expert, prompt, rng)
        cut = rng.randrange(len(done))
        await other.reset(goal.id)
        for action in done[:cut]:
            await other.step(action)
        kept = other.snapshot()
        straight = [await other.step(action) for action in done[cut:]]
        await env.reset(GOALS[0].id)
        env.restore(kept)
        assert env.snapshot() == kept
        assert [await env.step(action) for action in done[cut:]] == straight
        assert env.snapshot() == other.snapshot()
    with pytest.raises(ValueError, match="not a snapshot of the shop: str"):
        env.restore("state")


async def transcript() -> str:
    """A digest of everything a seeded beginner sees in twenty episodes."""
    env, expert, rng = Shop(SPEC), ShopExpert(SPEC), random.Random(0)
    seen = hashlib.sha256()
    for task in env.tasks("train")[:20]:
        prompt = await env.reset(task.id)
        seen.update(prompt.encode())
        done = await walk(env, expert, prompt, rng)
        await env.reset(task.id)
        for action in done:
            result = await env.step(action)
            seen.update(f"{action}\n{result.observation}\n{result.reward!r}".encode())
    return seen.hexdigest()[:16]


async def test_the_same_shop_stands_on_every_machine() -> None:
    """When this fails, raise the shop's VERSION if the same actions give other observations."""
    assert (STORE.catalogue.digest, await transcript()) == GOLDEN


def test_the_seed_of_pythons_hashes_changes_nothing() -> None:
    code = (
        "from env_adapters.shop.pages import open_store; s = open_store(1000, 0); "
        "print(s.catalogue.digest, *s.search.found('waterproof ankle boot'))"
    )
    said = " ".join((STORE.catalogue.digest, *STORE.search.found("waterproof ankle boot")))
    environ = os.environ | {"PYTHONHASHSEED": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ
    )
    assert run.stdout.strip() == said


async def test_the_registry_gives_the_shop_with_its_expert() -> None:
    world = world_of(SPEC)
    await world.check()
    env: Environment = world.environment()
    assert world.expert is not None
    assert env.info.name == "shop" and env.info.version.endswith(STORE.catalogue.digest)
    assert "not the WebShop benchmark" in env.info.source
    other = world_of(ShopEnv(kind="shop", products=100)).environment()
    assert other.info.version != env.info.version
    await world.aclose()


def test_what_an_action_does_depends_on_the_state_alone() -> None:
    state = ShopState(GOALS[0].id, "item", product=GOALS[0].product.id)
    assert after(STORE, state, "click[features]") == after(STORE, state, " Click[ Features ] ")
    assert after(STORE, state, "search[boot]") is None
