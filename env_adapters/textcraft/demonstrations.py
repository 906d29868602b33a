"""Demonstrations for the warm start: `demonstrations(...)` yields training rows.

Behaviour cloning from expert plans, and judging of one's own steps with labels from the planner.
Only goals of the `warm_start` split, so that what is explored and what is tested stays unseen. A
row is `{"messages": [{"role", "content", "train"}, …]}`. No acting row holds a mistake, and nothing
follows one in a judging row: no row shows how to recover, which is left to Agent-R to teach.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from agent_r.actor import Message
from agent_r.algorithm.prompts import conversation, judge_request
from agent_r.algorithm.rows import Row
from agent_r.algorithm.trajectory import Step
from agent_r.settings import TextCraftEnv
from env_adapters.demonstration_row import demonstration_row
from env_adapters.textcraft.environment import TextCraft, shown_recipes
from env_adapters.textcraft.expert import plan
from env_adapters.textcraft.recipes import RecipeBook


@dataclass(frozen=True, slots=True)
class DemoRecipe:
    """How many judging rows an acting row has, and what they are like."""

    judged: int = 1  # judging rows per episode
    wrong: float = 0.6  # share of the judged steps that are mistakes, of the kinds in `mistake`
    renamed: float = 0.1  # share of episodes whose items trade names: a plan must then be read


async def demonstrations(
    spec: TextCraftEnv, *, episodes: int, seed: int, recipe: DemoRecipe = DemoRecipe()
) -> list[Row]:
    """One acting row and a few judging rows per episode, goals in turn."""
    env, rng = TextCraft(spec), random.Random(seed)
    goals = env.tasks("warm_start")
    rows: list[Row] = []
    for number in range(episodes):
        goal = goals[number % len(goals)].id
        episode = await _episode(env, goal, rng=rng, recipe=recipe)
        rows += rename(episode, env.book, rng) if rng.random() < recipe.renamed else episode
    return rows


def rename(rows: list[Row], book: RecipeBook, rng: random.Random) -> list[Row]:
    """Let all words that items are called by trade places; every row of an episode alike.

    With a few hundred goals a small model learns plans by heart. Where `iron` may be called `rug`,
    only the commands in the prompt say what is made of what.
    """
    words = sorted({word for item in (*book.items, *book.tags) for word in item.split()})
    others = rng.sample(words, len(words))
    place = dict(zip(words, others, strict=True))

    def renamed(text: str) -> str:
        return re.sub(r"[a-z]+", lambda match: place.get(match[0], match[0]), text)

    return [
        {"messages": [row["messages"][0], *(m | {"content": renamed(m["content"])} for m in tail)]}
        for row in rows
        if (tail := row["messages"][1:])
    ]


async def _episode(
    env: TextCraft, goal: str, *, rng: random.Random, recipe: DemoRecipe
) -> list[Row]:
    actions = plan(env.book, goal, {})
    prompt, steps = await _play(env, goal, actions)
    instruction = env.info.instruction
    rows = [demonstration_row(conversation(instruction, prompt, steps), [True] * len(steps))]
    for _ in range(recipe.judged):
        at = rng.randrange(len(actions))
        await _play(env, goal, actions[:at])
        before = dict(env.inventory)
        action = mistake(env, rng) if rng.random() < recipe.wrong else actions[at]
        observation = (await env.step(action)).observation
        judged = [*steps[:at], Step(say(action, goal), action, observation)]
        reply = Message("assistant", verdict(env, before, action, observation))
        asked = judge_request(instruction, prompt, judged)
        rows.append(demonstration_row([*asked, reply], [False] * len(judged) + [True]))
    return rows


async def _play(env: TextCraft, goal: str, actions: Sequence[str]) -> tuple[str, list[Step]]:
    """The first observation, and the steps of these actions from the beginning."""
    prompt = await env.reset(goal)
    answers = [await env.step(action) for action in actions]
    taken = zip(actions, answers, strict=True)
    return prompt, [Step(say(action, goal), action, end.observation) for action, end in taken]


def say(action: str, goal: str) -> str:
    """The turn that performs an action: a thought that names what it is for, then the action.

    >>> say("get 1 ash log", "ash door")
    'Thought: For ash door I get ash log.\\nAction: get 1 ash log'
    """
    verb, _, rest = action.partition(" ")
    if verb not in ("get", "craft"):
        return f"Thought: For {goal} I look at what I have.\nAction: {action}"
    item = rest.partition(" using ")[0].partition(" ")[2]
    return f"Thought: For {goal} I {verb} {item}.\nAction: {action}"


def mistake(env: TextCraft, rng: random.Random) -> str:
    """An action a beginner might take: nearly right, out of order, or of no use."""
    right = plan(env.book, env.goal, env.inventory)
    recipes = shown_recipes(env.book, env.goal, distractors=0)
    shown = sorted({name for r in recipes for name, _ in r.inputs if name not in env.book.tags})
    kind = rng.randrange(5)
    if kind == 0 and len(right) > 1:
        return rng.choice(right[1:])  # too early
    if kind == 1:
        return f"get 1 {rng.choice(shown)}"  # often a thing that must be crafted
    if kind == 2:
        return f"get {rng.randint(1, 4)} {rng.choice(sorted(env.book.items))}"
    if kind == 3:
        return "inventory"
    return _miscount(right[0], rng)


def _miscount(action: str, rng: random.Random) -> str:
    """Change one number of an action."""
    words = action.split(" ")
    numbers = [i for i, word in enumerate(words) if word.isdigit()]
    chosen = rng.choice(numbers)
    words[chosen] = str(max(1, int(words[chosen]) + rng.choice((-1, 1, 2))))
    return " ".join(words)


def verdict(env: TextCraft, before: dict[str, int], action: str, observation: str) -> str:
    """What a judge should say of the step just taken: a reason, and its judgement.

    A step is good when the shortest way to the goal became shorter, uncertain when it did not
    but nothing was lost, bad when it was refused or is of no use.
    """
    reason, judgement = _reason(env, before, action, observation)
    return f"{reason}\nJudgement: {judgement}"


def _reason(
    env: TextCraft, before: dict[str, int], action: str, observation: str
) -> tuple[str, str]:
    item = action.partition(" using ")[0].split(" ", 2)[-1]
    if observation.startswith("Could not find enough"):
        return f"I do not have the items for {item}.", "Bad"
    if observation.startswith("Could not find a valid"):
        return f"That is not the recipe for {item}.", "Bad"
    if observation.startswith("Could not find") and item in env.book.by_output:
        return f"I cannot get {item}, I must craft it.", "Bad"
    if not observation.startswith(("Got", "Crafted", "Inventory")):
        return "That is not possible here.", "Bad"
    if env.inventory.get(env.goal):
        return f"I have {env.goal}.", "Good"
    if action == "inventory":
        return "It only shows what I have.", "Uncertain"
    was, now = (len(plan(env.book, env.goal, held)) for held in (before, env.inventory))
    if now < was:
        return f"I need {item}.", "Good"
    if any(item in step.split(" using ")[-1] for step in plan(env.book, env.goal, before)):
        return f"It is not the right count of {item}.", "Uncertain"
    return f"I do not need {item}.", "Bad"
