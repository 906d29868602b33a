"""Plan the right actions in the shop from any state, and a beginner's likely mistakes.

It knows which products fit the goal but finds them as a customer would: by the instruction's words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from math import inf

from agent_r.settings import ShopEnv
from env_adapters.shop.catalogue import Goal
from env_adapters.shop.pages import (
    BACK,
    BUY,
    NEXT,
    PER_PAGE,
    PREVIOUS,
    ShopState,
    Store,
    after,
    clicks,
    open_store,
    opening,
)
from env_adapters.shop.reward import fits

Way = tuple[str, ...]

REFUSAL = "Could not execute "  # how the answer begins to what cannot be done
_BUY, _BACK, _NEXT, _PREVIOUS = (f"click[{v.lower()}]" for v in (BUY, BACK, NEXT, PREVIOUS))


class ShopExpert:
    """Implements Expert, Measuring and Refusing; nothing is built before it is first asked."""

    def __init__(self, spec: ShopEnv) -> None:
        self._spec = spec
        self._searches: dict[str, Way] = {}
        self._fitting = lru_cache(maxsize=4096)(self._places)

    async def plan(self, prompt: str, actions: Sequence[str]) -> Sequence[str]:
        state = self._replayed(prompt, actions)
        return self._way(state) if state else ()

    async def distance(self, prompt: str, actions: Sequence[str]) -> float | None:
        """The length of the plan; None where a huge shop shows no way to what fits."""
        state = self._replayed(prompt, actions)
        if state is not None and state.page == "bought":
            return 0 if state.reward == 1.0 else inf
        return len(self._way(state)) or None if state else None

    def refuses(self, observation: str) -> bool:
        return observation.startswith(REFUSAL)

    async def mistakes(self, prompt: str, actions: Sequence[str]) -> Sequence[str]:
        state = self._replayed(prompt, actions)
        if state is None or state.page == "bought":
            return ()
        tempting = dict.fromkeys(self._tempting(state))
        return tuple(action for action in tempting if self._harms(state, action))

    @cached_property
    def _store(self) -> Store:
        return open_store(self._spec.products, self._spec.catalogue)

    @cached_property
    def _goals(self) -> dict[str, str]:
        return {opening(goal): name for name, goal in self._store.catalogue.goals.items()}

    def _replayed(self, prompt: str, actions: Sequence[str]) -> ShopState | None:
        if prompt not in self._goals:
            return None
        state = ShopState(self._goals[prompt])
        for action in actions:
            state = after(self._store, state, action) or state
        return state

    def _way(self, state: ShopState) -> Way:
        """The shortest of the ways worth a look: on from here, or with a search anew."""
        goal = self._store.goal(state)
        if state.page == "bought":
            return ()
        if state.page == "search":
            return self._searched(goal)
        search = self._searched(goal)
        anew = (_BACK, *search) if search else ()
        if state.page == "results":
            return min(self._turned(goal, state), anew, key=_length)
        if state.page == "item" and fits(goal, self._store.product[state.product]):
            return _bought(goal, state)
        onwards = self._way(clicks(self._store, state)[PREVIOUS.lower()])
        return min((_PREVIOUS, *onwards) if onwards else (), anew, key=_length)

    def _searched(self, goal: Goal) -> Way:
        """The search that leads there soonest; empty: in a huge shop none of ours may."""
        if goal.id not in self._searches:
            ways = [
                (f"search[{query}]", *self._turned(goal, ShopState(goal.id, "results", query)))
                for query in _queries(goal)
            ]
            self._searches[goal.id] = min((w for w in ways if len(w) > 1), key=len, default=())
        return self._searches[goal.id]

    def _turned(self, goal: Goal, state: ShopState) -> Way:
        """From a results page over others to the nearest that shows what fits; empty: none."""
        turns = [
            (place // PER_PAGE + 1 - state.number, name)
            for place, name in self._fitting(state.goal, state.query)
        ]
        if not turns:
            return ()
        turn, name = min(turns, key=lambda found: abs(found[0]))
        turning = (_NEXT if turn > 0 else _PREVIOUS,) * abs(turn)
        item = ShopState(goal.id, "item", product=name)
        return (*turning, f"click[{name.lower()}]", *_bought(goal, item))

    def _places(self, name: str, query: str) -> tuple[tuple[int, str], ...]:
        """What fits the goal of that name among all that a query finds, and where it stands."""
        goal, found = self._store.catalogue.goals[name], self._store.search.found(query)
        return tuple((n, f) for n, f in enumerate(found) if fits(goal, self._store.product[f]))

    def _tempting(self, state: ShopState) -> Iterator[str]:
        """What looks like progress: a poor query, a wrong product or value, buying too early."""
        goal, here = self._store.goal(state), clicks(self._store, state)
        if state.page == "search":
            yield f"search[{goal.attributes[0]}]"
            yield f"search[{goal.product.category[1]}]"
            yield from (f"search[{value}]" for _, value in goal.options[:1])
        if state.page == "results":
            yield from (f"click[{name.lower()}]" for name in self._store.shown(state)[:6])
            yield f"search[{goal.product.type}]"  # there is no search field on this page
        if state.page == "item":
            asked = {name for name, _ in goal.options}
            for name, values in self._store.product[state.product].options:
                yield from (f"click[{value}]" for value in values[: 2 if name in asked else 1])
            yield "click[description]"
        yield _BUY
        yield from (a for a in (_NEXT, _PREVIOUS, _BACK) if a[6:-1] in here)

    def _harms(self, state: ShopState, action: str) -> bool:
        """Refused, a worse end, or no nearer to the right one."""
        then = after(self._store, state, action)
        if then is None:
            return True
        if then.page == "bought":
            return then.reward < 1
        return len(self._way(then)) >= len(self._way(state))


def _queries(goal: Goal) -> Iterator[str]:
    """What the instruction says, in a customer's words; the title is the last resort."""
    kind, attributes = goal.product.type, " ".join(goal.attributes)
    values = " ".join(value for _, value in goal.options)
    yield f"{attributes} {kind}"
    yield f"{attributes} {kind} {values}"
    yield kind
    yield goal.product.title


def _bought(goal: Goal, state: ShopState) -> Way:
    """On the page of a product that fits: what is still to be chosen, and the purchase."""
    chosen = dict(state.chosen)
    lacking = [value for name, value in goal.options if chosen.get(name) != value]
    return (*(f"click[{value}]" for value in lacking), _BUY)


def _length(way: Way) -> int:
    """The length of a plan; an empty plan counts as very long."""
    return len(way) or 1_000
