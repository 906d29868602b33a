"""How far TextCraft's goal is away: the planner's way is a right one, and not always the shortest.

It gets a thing each time that it needs it, and takes the member of a tag that is easiest from
nothing: what it would not do may still be progress. Here a thing is got once for all, and every
recipe and every member of a tag is tried.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from env_adapters.textcraft.expert import plan
from env_adapters.textcraft.recipes import Ingredient, Recipe, RecipeBook

MOST_TRIED = 20_000  # states of one question; only books with large tags have more of them

Agenda = tuple[Ingredient | Recipe, ...]  # what is to be used up next, or is crafted by then
Held = Mapping[str, int]
# The fewest actions; and ingredients of single crafts that are still to be got. Who gets for one
# craft what two crafts need has saved no action, and is nearer all the same.
Distance = tuple[int, int]


def distance(book: RecipeBook, goal: str, inventory: Held) -> Distance:
    """From what is carried to the goal; of two distances the smaller is nearer.

    >>> from env_adapters.textcraft.recipes import load_recipes
    >>> book = load_recipes("builtin")
    >>> distance(book, "ash boards", {}), distance(book, "ash boards", {"ash log": 1})
    ((2, 1), (1, 0))
    """
    search = _Search(book, inventory, (len(plan(book, goal, dict(inventory))), 1_000))
    for recipe in book.by_output[goal]:
        search.go_on(recipe.inputs, inventory, (), 1)
    return search.best


@dataclass(slots=True)
class _Search:
    """Depth first, and no further where it costs more than the best way so far."""

    book: RecipeBook
    inventory: Held
    best: Distance
    tried: int = 0

    def go_on(self, agenda: Agenda, held: Held, found: tuple[Ingredient, ...], crafts: int) -> None:
        """Take what is first on the agenda; `found` is all that is used of the world's own."""
        self.tried += 1
        if crafts > self.best[0] or self.tried > MOST_TRIED:
            return
        if not agenda:
            gets, lacking = to_get(found, self.inventory)
            self.best = min(self.best, (crafts + gets, lacking))
            return
        first, rest = agenda[0], agenda[1:]
        if isinstance(first, Recipe):
            crafted = held.get(first.output, 0) + first.count
            self.go_on(rest, {**held, first.output: crafted}, found, crafts)
            return
        name, count = first
        for item in self.book.tags.get(name, (name,)):
            self._use(item, count, rest, held, found, crafts)

    def _use(
        self,
        item: str,
        count: int,
        rest: Agenda,
        held: Held,
        found: tuple[Ingredient, ...],
        crafts: int,
    ) -> None:
        if item not in self.book.by_output:
            self.go_on(rest, held, (*found, (item, count)), crafts)
        elif (left := held.get(item, 0) - count) >= 0:
            self.go_on(rest, {**held, item: left}, found, crafts)
        else:
            for recipe in self.book.by_output[item]:
                agenda = (*recipe.inputs, recipe, (item, count), *rest)
                self.go_on(agenda, held, found, crafts + 1)


def to_get(used: Iterable[Ingredient], held: Held) -> Distance:
    """Things to be got beside what is held; and ingredients, where each is got by itself.

    >>> to_get([("coal", 1), ("coal", 2), ("sand", 1)], {"coal": 1})
    (2, 2)
    """
    counts: defaultdict[str, list[int]] = defaultdict(list)
    for item, count in used:
        counts[item].append(count)
    things = lacking = 0
    for item, wanted in counts.items():
        left = held.get(item, 0)
        things += sum(wanted) > left
        for count in sorted(wanted):  # what is held goes to the smallest: most are served then
            left -= count
            lacking += left < 0
    return things, lacking
