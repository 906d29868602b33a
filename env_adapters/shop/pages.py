"""Render the shop's pages in WebShop's text mode, and follow clicks between them.

Unlike the benchmark's, a page does not repeat the instruction (it began the conversation), says
which options are chosen, and searches only where the search field is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Literal

from env_adapters.shop.catalogue import Catalogue, Goal, Pair, Product, catalogue
from env_adapters.shop.reward import purchase_reward
from env_adapters.shop.search import Search

Page = Literal["search", "results", "item", "description", "features", "bought"]

PER_PAGE = 10
QUERY = 200  # characters of a query that are read: a longer one is a model running on
BACK, NEXT, PREVIOUS, BUY = "Back to Search", "Next >", "< Prev", "Buy Now"

_SEP = " [SEP] "
_ACTION = re.compile(r"(search|click)\[(.*)\]", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class ShopState:
    """A snapshot: all there is to know of an episode."""

    goal: str
    page: Page = "search"
    query: str = ""
    number: int = 1  # of the results page
    product: str = ""
    chosen: tuple[Pair, ...] = ()
    reward: float = 0.0


@dataclass(frozen=True, eq=False)
class Store:
    """A catalogue and its index; shared by all episodes, and never changed."""

    catalogue: Catalogue
    search: Search

    @cached_property
    def product(self) -> dict[str, Product]:
        """Products by their ids."""
        return {product.id: product for product in self.catalogue.products}

    def goal(self, state: ShopState) -> Goal:
        return self.catalogue.goals[state.goal]

    def found(self, state: ShopState) -> tuple[str, ...]:
        """All that the state's search found."""
        return self.search.found(state.query)

    def shown(self, state: ShopState) -> tuple[str, ...]:
        """What of it stands on the state's page."""
        return self.found(state)[(state.number - 1) * PER_PAGE : state.number * PER_PAGE]


@lru_cache(maxsize=4)
def open_store(products: int, seed: int) -> Store:
    """Built once a process."""
    stock = catalogue(products, seed)
    return Store(stock, Search(stock.products))


def after(store: Store, state: ShopState, action: str) -> ShopState | None:
    """Where an action leads; None where it cannot be done."""
    match = _ACTION.fullmatch(action.strip())
    if match is None:
        return None
    verb, value = match[1].lower(), match[2].strip()
    if verb == "click":
        return clicks(store, state).get(value.lower())
    if state.page != "search" or not value:
        return None
    return ShopState(state.goal, "results", query=value[:QUERY])


def clicks(store: Store, state: ShopState) -> dict[str, ShopState]:
    """Everything that can be clicked here, in lower case, and where it leads."""
    if state.page in ("search", "bought"):
        return {}
    found = {BACK: ShopState(state.goal)}
    if state.page == "results":
        found |= _from_results(store, state)
    elif state.page == "item":
        found |= _from_item(store, state)
    else:
        found[PREVIOUS] = replace(state, page="item")
    return {value.lower(): target for value, target in found.items()}


def _from_results(store: Store, state: ShopState) -> dict[str, ShopState]:
    found: dict[str, ShopState] = {}
    if state.number > 1:
        found[PREVIOUS] = replace(state, number=state.number - 1)
    if state.number * PER_PAGE < len(store.found(state)):
        found[NEXT] = replace(state, number=state.number + 1)
    for name in store.shown(state):
        found[name] = replace(state, page="item", product=name)
    return found


def _from_item(store: Store, state: ShopState) -> dict[str, ShopState]:
    found = {PREVIOUS: replace(state, page="results", product="", chosen=())}
    product, chosen = store.product[state.product], dict(state.chosen)
    for name, values in product.options:
        for value in values:
            found[value] = replace(state, chosen=tuple((chosen | {name: value}).items()))
    found["Description"] = replace(state, page="description")
    found["Features"] = replace(state, page="features")
    reward = purchase_reward(store.goal(state), product, chosen)
    found[BUY] = replace(state, page="bought", reward=reward)
    return found


def opening(goal: Goal) -> str:
    """What an episode begins with: no other goal's is the same."""
    return f"Instruction:{_SEP}{goal.instruction}{_SEP}Search\n{_actions({}, search=True)}"


def render(store: Store, state: ShopState) -> str:
    """The page as text; a state has one page."""
    if state.page == "bought":
        score = f"Your score (min 0.0, max 1.0): {state.reward:.3f}"
        return f"Thank you for shopping with us!{_SEP}{score}"
    return f"{_SEP.join(_parts(store, state))}\n{available(store, state)}"


def available(store: Store, state: ShopState) -> str:
    """The line of available clicks, on every page but the last."""
    return _actions(clicks(store, state), search=state.page == "search")


def _actions(values: dict[str, ShopState], *, search: bool) -> str:
    actions = ["search[keywords]"] if search else [f"click[{value}]" for value in values]
    return f"Available actions: {' | '.join(actions)}"


def _parts(store: Store, state: ShopState) -> list[str]:
    if state.page == "search":
        return ["Search"]
    if state.page == "results":
        return _results(store, state)
    product = store.product[state.product]
    if state.page == "description":
        return [BACK, PREVIOUS, product.description]
    if state.page == "features":
        return [BACK, PREVIOUS, *product.features]
    return _item(product, state)


def _results(store: Store, state: ShopState) -> list[str]:
    turns = [value for value in (PREVIOUS, NEXT) if value.lower() in clicks(store, state)]
    parts = [BACK, f"Page {state.number} (Total results: {len(store.found(state))})", *turns]
    for name in store.shown(state):
        parts += [name, store.product[name].title, _price(store.product[name])]
    return parts


def _item(product: Product, state: ShopState) -> list[str]:
    parts = [BACK, PREVIOUS]
    for name, values in product.options:
        parts += [name, *values]
    parts += [product.title, f"Price: {_price(product)}", "Description", "Features", BUY]
    if state.chosen:
        parts.append("You have chosen " + ", ".join(f"{n}: {v}" for n, v in state.chosen))
    return parts


def _price(product: Product) -> str:
    return f"${product.price / 100:.2f}"
