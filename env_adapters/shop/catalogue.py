"""A shop's products and goals, generated from a seed: the same on every machine.

Product number i depends on the seed and on i alone, so a larger catalogue holds a smaller one.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from typing import TypeVar

from agent_r.digests import sha256_of
from agent_r.environment import Split, TaskSpec
from env_adapters.shop.goods import SHELVES, Shelf
from env_adapters.shop.texts import (
    BENEFITS,
    FILLERS,
    MAKERS,
    MIDDLES,
    OPENINGS,
    REQUESTS,
    REVEALS,
)
from env_adapters.splits import split_by_depth

Pair = tuple[str, str]  # an option's name and value
T = TypeVar("T")

_TITLE = 56  # characters: ten of them fit a results page
_CENTS = (99, 95, 49, 29)  # never a round sum, so a price is above or below a limit, not on it
_IDS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"


class Draw:
    """Seeded choices by `random()` alone: of all its methods, Python keeps that one's numbers."""

    def __init__(self, *seed: object) -> None:
        self._random = random.Random("/".join(map(str, seed))).random

    def below(self, count: int) -> int:
        return int(self._random() * count)

    def one(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def some(self, items: Sequence[T], count: int) -> list[T]:
        """Distinct ones, in the order drawn."""
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(min(count, len(left)))]


@dataclass(frozen=True, slots=True)
class Product:
    """What can be bought; its texts hold the phrase of an attribute exactly when it has it."""

    id: str
    title: str
    type: str
    category: tuple[str, str]
    attributes: tuple[str, ...]
    options: tuple[tuple[str, tuple[str, ...]], ...]
    price: int  # cents
    features: tuple[str, ...]
    description: str


@dataclass(frozen=True, slots=True)
class Goal:
    """What the customer asks for; some product has all of it, perhaps more than one."""

    id: str
    product: Product
    attributes: tuple[str, ...]
    options: tuple[Pair, ...]
    limit: int  # cents; a price must stay below
    instruction: str


@dataclass(frozen=True)
class Catalogue:
    """All products, in the order of their ids, and all goals by theirs."""

    products: tuple[Product, ...]
    goals: dict[str, Goal]

    @cached_property
    def digest(self) -> str:
        texts = [json.dumps(asdict(p)) for p in self.products]
        texts += [f"{g.id} {g.instruction}" for g in self.goals.values()]
        return sha256_of("\n".join(texts), 12)

    @cached_property
    def splits(self) -> dict[Split, list[TaskSpec]]:
        """Disjoint splits, with easy and hard goals in each."""
        return split_by_depth({goal.id: demands(goal) for goal in self.goals.values()})


def demands(goal: Goal) -> int:
    """How many things a purchase is measured by: attributes, options and the price."""
    return len(goal.attributes) + len(goal.options) + 1


@lru_cache(maxsize=4)
def catalogue(products: int, seed: int) -> Catalogue:
    """Built once a process, and shared: nothing of it is ever changed."""
    kinds = _kinds()
    found: dict[str, Product] = {}
    for number in range(products):
        shelf, kind = kinds[number % len(kinds)]
        product, tries = _product(Draw(seed, number), shelf, kind), 0
        while product.id in found:  # two of thirty bits agree, or two products are the same
            tries += 1
            product = _product(Draw(seed, number, tries), shelf, kind)
        found[product.id] = product
    ordered = tuple(found[name] for name in sorted(found))
    goals: dict[str, Goal] = {}
    for goal in (_goal(Draw(seed, "goal", p.id), p) for p in ordered):
        goals.setdefault(goal.instruction, goal)  # an instruction must name one goal
    return Catalogue(ordered, {goal.id: goal for goal in goals.values()})


@dataclass(frozen=True, slots=True)
class _Kind:
    """A type of product: its range of prices in dollars, and all that it can be."""

    name: str
    cheapest: int
    dearest: int
    attributes: tuple[str, ...]


def _kinds() -> list[tuple[Shelf, _Kind]]:
    kinds = []
    for shelf in SHELVES:
        never = dict(entry.split(": ") for entry in shelf.never.split("; ") if entry)
        for entry in shelf.types.split("; "):
            name, _, prices = entry.rpartition(" ")
            cheapest, _, dearest = prices.partition("-")
            barred = never.get(name, "").split(", ")
            can = tuple(a for a in shelf.attributes.split("; ") if a not in barred)
            kinds.append((shelf, _Kind(name, int(cheapest), int(dearest), can)))
    return kinds


def _product(draw: Draw, shelf: Shelf, kind: _Kind) -> Product:
    attributes = tuple(draw.some(kind.attributes, 3 + draw.below(3)))
    use, price = (
        draw.one(shelf.uses.split("; ")),
        100 * _dollars(draw, kind) + draw.one(_CENTS),
    )
    title = f"{draw.one(MAKERS)} {attributes[0]} {kind.name}".title()
    if len(title) + len(f" for {use}") <= _TITLE:
        title += f" for {use.title()}"
    product = Product(
        id="",
        title=title,
        type=kind.name,
        category=shelf.category,
        attributes=attributes,
        options=_options(draw, shelf),
        price=price,
        features=_features(draw, attributes[:-1]),
        description=_description(draw, shelf, kind, use, attributes[-1]),
    )
    return _named(product)


def _dollars(draw: Draw, kind: _Kind) -> int:
    """Cheap ones are more frequent, as in a shop."""
    share = min(draw.below(1000), draw.below(1000))
    return kind.cheapest + share * (kind.dearest - kind.cheapest) // 1000


def _options(draw: Draw, shelf: Shelf) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Some values of each option, in the table's order; an option of one value is not shown."""
    found = []
    for name, values in shelf.options.items():
        chosen = draw.some(range(len(values)), 1 + draw.below(6))
        if len(chosen) > 1:
            found.append((name, tuple(values[place] for place in sorted(chosen))))
    return tuple(found)


def _features(draw: Draw, attributes: Sequence[str]) -> tuple[str, ...]:
    lines = [f"{phrase.capitalize()}: {BENEFITS[phrase]}" for phrase in attributes]
    return (*draw.some(lines, len(lines)), draw.one(FILLERS))


def _description(draw: Draw, shelf: Shelf, kind: _Kind, use: str, phrase: str) -> str:
    words = {
        "type": kind.name,
        "use": use,
        "material": draw.one(shelf.materials.split("; ")),
        "phrase": phrase,
        "benefit": BENEFITS[phrase],
    }
    sentences = (draw.one(part).format(**words) for part in (OPENINGS, MIDDLES, REVEALS))
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)


def _named(product: Product) -> Product:
    """An id made of what the product is: it names that product for good."""
    number, name = int(sha256_of(json.dumps(asdict(product)), 16), 16), "P"
    for _ in range(6):
        number, digit = divmod(number, len(_IDS))
        name += _IDS[digit]
    return replace(product, id=name)


def _goal(draw: Draw, product: Product) -> Goal:
    """A few of the product's attributes, most of its options, and a limit above its price."""
    attributes = tuple(draw.some(product.attributes, 1 + draw.below(3)))
    asked = [option for option in product.options if draw.below(4)]
    options = tuple((name, draw.one(values)) for name, values in asked)
    limit = (product.price // 1000 + 1 + draw.below(3)) * 1000
    terms = json.dumps((attributes, options, limit))
    return Goal(
        id=f"{product.id}-{sha256_of(terms, 8)}",
        product=product,
        attributes=attributes,
        options=options,
        limit=limit,
        instruction=_instruction(draw, product.type, attributes, options, limit),
    )


def _instruction(
    draw: Draw, kind: str, attributes: Sequence[str], options: Sequence[Pair], limit: int
) -> str:
    *most, last = attributes
    text = draw.one(REQUESTS).format(
        type=kind,
        article="an" if kind[0] in "aeiou" else "a",
        attributes=f"{', '.join(most)} and {last}" if most else last,
    )
    wanted = [f"{name}: {value}" for name, value in options]
    wanted.append(f"price lower than {limit / 100:.2f} dollars")
    return f"{text}, with {', and '.join(wanted)}"
