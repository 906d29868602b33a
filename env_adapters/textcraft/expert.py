"""Exact plans for TextCraft: what the warm start imitates, and what its judge is taught with.

The search never sees this: Agent-R's data comes from the actor alone.
"""

from __future__ import annotations

from env_adapters.textcraft.recipes import Recipe, RecipeBook


def plan(book: RecipeBook, goal: str, inventory: dict[str, int]) -> list[str]:
    """Actions that make the goal from what is carried; all needed of a thing is got at once.

    >>> from env_adapters.textcraft.recipes import load_recipes
    >>> plan(load_recipes("builtin"), "ash boards", {})
    ['get 1 ash log', 'craft 4 ash boards using 1 ash log']
    """
    held, actions = dict(inventory), []

    def provide(name: str, count: int) -> str:
        """Make sure that `count` of it are held; returns the item chosen for a tag."""
        item = _choose(book, name, held)
        lacking = count - held.get(item, 0)
        if lacking > 0 and item not in book.by_output:
            actions.append(f"get {lacking} {item}")
            held[item] = count
        while held.get(item, 0) < count:
            craft(_easiest(book, item))
        return item

    def craft(recipe: Recipe) -> None:
        # Reserving as we go: an ingredient made first must not be eaten by the next one's making.
        reserved: list[tuple[str, int]] = []
        for name, count in recipe.inputs:
            item = provide(name, count)
            held[item] -= count
            reserved.append((item, count))
        needs = ", ".join(f"{count} {item}" for item, count in reserved)
        actions.append(f"craft {recipe.count} {recipe.output} using {needs}")
        held[recipe.output] = held.get(recipe.output, 0) + recipe.count

    craft(_easiest(book, goal))
    return actions


def _easiest(book: RecipeBook, item: str) -> Recipe:
    def effort(recipe: Recipe) -> tuple[int, int]:
        return max(book.depths.get(name, 0) for name, _ in recipe.inputs), len(recipe.inputs)

    return min(book.by_output[item], key=effort)


def _choose(book: RecipeBook, name: str, held: dict[str, int]) -> str:
    """A tag becomes the member that is held most, or else the easiest to make."""
    if name not in book.tags:
        return name
    return max(book.tags[name], key=lambda m: (held.get(m, 0), -book.depths.get(m, 0)))
