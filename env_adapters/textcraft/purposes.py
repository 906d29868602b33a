"""Find false words in a reply: what a step is said to be for, and what it is said to do.

`For ash door I get ash log.` is true of `get 1 ash log` where a door is the goal, or is needed for
it, and logs are needed for a door. Words of another form, or with a word that is in no recipe, are
not known to be false.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from env_adapters.textcraft.recipes import RecipeBook

_SAID = re.compile(r"\bFor ([\w ]+?) I (?:(get|craft) ([\w ]+)|[\w ]+)\.\s*Action: ?(.+)")


def misstates(book: RecipeBook, goal: str, reply: str) -> bool:
    """Whether a reply names a purpose that neither goal nor step has, or another step than its own.

    >>> from env_adapters.textcraft.recipes import load_recipes
    >>> book = load_recipes("builtin")
    >>> said = "Thought: For {} I get {}.\\nAction: get 1 ash log"
    >>> [misstates(book, "ash door", said.format(*names)) for names in
    ...  (("ash door", "ash log"), ("boards", "log"), ("the door", "a log"),
    ...   ("elm door", "ash log"), ("log door", "ash log"), ("ash door", "ash boards"))]
    [False, False, False, True, True, True]
    >>> misstates(book, "ash door", "For ash log I craft ash boards.\\nAction: craft 4 ash boards")
    True
    """
    if (found := _SAID.search(reply)) is None:
        return False
    purpose, verb, thing, action = found.groups()
    if _names_none_of(book, purpose, _needed(book, goal)):
        return True
    item = item_of(action)
    if item in book.items and not _serves(book, item, purpose, goal):
        return True
    if verb is None:
        return False
    return verb != action.partition(" ")[0] or _names_none_of(book, thing, {item})


def _serves(book: RecipeBook, item: str, purpose: str, goal: str) -> bool:
    """Whether an item is needed for a purpose, as far as is known of what that name means."""
    meant = [one for one in _needed(book, goal) if purpose in one]
    return not meant or any(item in _needed(book, one) for one in meant)


def _names_none_of(book: RecipeBook, name: str, items: Iterable[str]) -> bool:
    """Whether a name made of the recipes' words is no item's of some, nor a part of one's name."""
    return book.words.issuperset(name.split()) and not any(name in item for item in items)


def item_of(action: str) -> str:
    """What an action is to get or to craft.

    >>> item_of("craft 4 ash boards using 1 ash log"), item_of("inventory")
    ('ash boards', 'inventory')
    """
    return re.sub(r"^(?:get|craft) (?:\d+ )?", "", action.partition(" using ")[0].strip())


def goal_of(prompt: str) -> str:
    """What a first observation says is to be crafted.

    >>> goal_of("Crafting commands:\\n…\\n\\nGoal: craft ash door.")
    'ash door'
    """
    return prompt.rsplit("Goal: craft ", 1)[-1].removesuffix(".")


def _needed(book: RecipeBook, goal: str) -> frozenset[str]:
    """The goal, and all that any way to it may take."""
    if goal in book.needs:
        return book.needs[goal]
    found, open_names = set[str](), [goal]
    while open_names:
        name = open_names.pop()
        if name not in found:
            found |= {name, *book.tags.get(name, ())}
            open_names += [part for recipe in book.making(name) for part, _ in recipe.inputs]
    book.needs[goal] = frozenset(found)
    return book.needs[goal]
