"""Translate between an actor's texts and a Gymnasium environment's spaces."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from env_adapters.written import clean

_NUMBER = re.compile(r"[+-]?[0-9]{1,9}")


class ActionRefused(Exception):
    """The action is none; its text is the observation."""


class Actions:
    """Reads actions for one environment: text as it is, or the number that it names."""

    def __init__(self, env: Any) -> None:
        space: Any = getattr(env, "action_space", None)
        # A MultiBinary has an `n`, too: its shape tells them apart.
        numbered = hasattr(space, "n") and getattr(space, "shape", ()) in ((), None)
        self._space: Any = space
        self._first = int(getattr(space, "start", 0)) if numbered else 0
        self._count = int(space.n) if numbered else 0
        self._names = _names(env, self._first) if numbered else {}

    @property
    def unreadable(self) -> str:
        """The kind of space that has neither text nor one number; "" for any other."""
        kind = type(self._space).__name__
        strange = ("Box", "MultiBinary", "MultiDiscrete", "Tuple", "Dict", "Sequence", "Graph")
        return kind if kind in strange and not self._count else ""

    def read(self, action: str) -> str | int:
        """What `step` is given.

        Raises:
            Refused: nothing can be given.
        """
        if not self._count:
            return self._text(clean(action))
        wanted = action.strip()
        if wanted.lower() in self._names:
            return self._names[wanted.lower()]
        last = self._first + self._count - 1
        if _NUMBER.fullmatch(wanted) and self._first <= int(wanted) <= last:
            return int(wanted)
        listed = f", or one of: {', '.join(self._names)}" if self._names else ""
        raise ActionRefused(
            f"That is no action: answer with a number from {self._first} to {last}{listed}."
        )

    def _text(self, action: str) -> str:
        """A space of texts says which it takes; without one, the environment itself does."""
        if hasattr(self._space, "characters") and not self._space.contains(action):
            raise ActionRefused(f"That is no action: it must be a text of {self._space}."[:500])
        return action


def _names(env: Any, first: int) -> dict[str, int]:
    """In lower case: from a list in the order of the numbers, or a mapping of names to numbers."""
    names = getattr(env, "action_names", None)
    if names is None:
        names = getattr(getattr(env, "unwrapped", env), "action_names", None)
    if isinstance(names, Mapping):
        return {str(name).lower(): int(number) for name, number in names.items()}
    return {str(name).lower(): number for number, name in enumerate(names or (), first)}


def text(observation: Any) -> str:
    """An observation as the actor reads it: text as it is, all else as compact JSON.

    >>> text("a room"), text({"b": 1, "a": (2, None)}), text(3)
    ('a room', '{"b":1,"a":[2,null]}', '3')
    """
    if isinstance(observation, str):
        return clean(observation)
    try:
        return clean(json.dumps(
            observation, ensure_ascii=False, separators=(",", ":"), default=_plain
        ))  # fmt: skip
    except (TypeError, ValueError):  # keys of all kinds, or a thing that holds itself
        return clean(str(observation))


def _plain(thing: Any) -> Any:
    """What JSON has no word for: arrays as lists, sets in an order."""
    if hasattr(thing, "tolist"):
        return thing.tolist()
    if isinstance(thing, bytes):
        return thing.decode(errors="replace")
    return sorted(map(str, thing)) if isinstance(thing, (set, frozenset)) else str(thing)


def number(reward: Any) -> float | None:
    """A reward; None is one that was not given.

    Raises:
        ValueError, TypeError: it is no finite number.
    """
    value = None if reward is None else float(reward)
    if value is not None and not math.isfinite(value):
        raise ValueError(f"a reward of {value}")
    return value
