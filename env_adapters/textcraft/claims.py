"""Check sentences about a step of TextCraft: those that the packaged actor was taught to say.

Each claims something of the step just taken, which the recipes and what was carried before and
after it make true or false. Of a sentence of another form nothing is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from env_adapters.textcraft.distance import Distance, Held, distance
from env_adapters.textcraft.environment import TextCraft
from env_adapters.textcraft.purposes import item_of

PLENTY = 1_000  # of a thing: more than any goal needs


@dataclass(frozen=True, slots=True)
class Deed:
    """A step that was taken: what was carried before and after it, and the world's answer."""

    env: TextCraft  # for its book and its goal
    before: Held
    after: Held
    action: str
    observation: str

    @property
    def item(self) -> str:
        return item_of(self.action)


def thing_of(sentence: str) -> str | None:
    """The thing that a sentence of a known form is about; None: of another form, or of none.

    >>> thing_of("I do not have the items for oak boat."), thing_of("That is not possible here.")
    ('oak boat', None)
    """
    for form, _ in _FORMS:
        if match := form.fullmatch(sentence.strip()):
            return match[1] if match.groups() else None
    return None


def holds(sentence: str, deed: Deed) -> bool | None:
    """Whether a sentence about a step is true; None: it is of no form that is known here."""
    for form, check in _FORMS:
        if match := form.fullmatch(sentence.strip()):
            return check(deed, *match.groups())
    return None


def _lacks_items(deed: Deed, item: str) -> bool:
    """By the world's own answer, or because no recipe for it can be followed now."""
    if deed.item == item and deed.observation.startswith("Could not find enough"):
        return True
    recipes = deed.env.book.making(item)
    return bool(recipes) and not any(_can_pay(deed, recipe.inputs) for recipe in recipes)


def _can_pay(deed: Deed, inputs: tuple[tuple[str, int], ...]) -> bool:
    tags = deed.env.book.tags
    return all(
        any(deed.before.get(one, 0) >= count for one in tags.get(name, (name,)))
        for name, count in inputs
    )


def _wrong_recipe(deed: Deed, item: str) -> bool:
    """Of whatever thing: what was offered makes nothing."""
    return deed.observation.startswith("Could not find a valid recipe")


def _must_craft(deed: Deed, item: str) -> bool:
    return item in deed.env.book.by_output


def _impossible(deed: Deed) -> bool:
    return deed.observation.startswith(("Could not ", "Wrong item format"))


def _has(deed: Deed, item: str) -> bool:
    return deed.after.get(item, 0) > 0


def _looked(deed: Deed) -> bool:
    return deed.action == "inventory"


def _needs(deed: Deed, item: str) -> bool:
    """More of it would bring the goal nearer, or what there is of it is not to be lost."""
    if item == deed.env.goal:
        return True
    way, lost = _way(deed, deed.before), {**deed.before, item: 0}
    return _helps(deed, item) or _way(deed, lost) > way


def _needs_not(deed: Deed, item: str) -> bool:
    """Of what the step is about: no more of it; of another thing: none of it at all."""
    if deed.item == item:
        return item != deed.env.goal and not _helps(deed, item)
    return not _needs(deed, item)


def _miscounted(deed: Deed, item: str) -> bool:
    """It is a thing that is needed, and the step brought the goal no nearer."""
    nearer = _way(deed, deed.after) < _way(deed, deed.before)
    return deed.item == item and not nearer and _needs(deed, item)


def _helps(deed: Deed, item: str) -> bool:
    """Whether more of an item, or of any member of a tag, would shorten the way."""
    members = deed.env.book.tags.get(item, (item,))
    with_it = ({**deed.before, one: PLENTY} for one in members)
    return any(_way(deed, held) < _way(deed, deed.before) for held in with_it)


def _way(deed: Deed, held: Held) -> Distance:
    return distance(deed.env.book, deed.env.goal, held)


_FORMS: tuple[tuple[re.Pattern[str], Callable[..., bool]], ...] = tuple(
    (re.compile(form), check)
    for form, check in (
        (r"I do not have the items for (.+)\.", _lacks_items),
        (r"That is not the recipe for (.+)\.", _wrong_recipe),
        (r"I cannot get (.+), I must craft it\.", _must_craft),
        (r"That is not possible here\.", _impossible),
        (r"I do not need (.+)\.", _needs_not),
        (r"I need (.+)\.", _needs),
        (r"I have (.+)\.", _has),
        (r"It only shows what I have\.", _looked),
        (r"It is not the right count of (.+)\.", _miscounted),
    )
)
