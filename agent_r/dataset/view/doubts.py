"""Find judgements that are probably wrong: where a person should look first.

The tree is evidence, and no proof: it knows what the search found from a state, not what could
have been found there. The other judgements are evidence as well: a world answers alike where
something went wrong, and a judge that calls one such answer Good contradicts itself.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from agent_r.algorithm.critique import Critique, Verdict, largest_fall
from agent_r.algorithm.tree import ROOT, SearchTree, known_values
from agent_r.dataset.view.exhibit import Exhibit

NO_FALL = "Judged Bad, but the tree's value does not fall here"
FELL = "Judged {verdict}, but here the tree's value falls most"
REPEATED = "Judged Good, but it does again what was just done, and is answered alike"
UNLIKE = "Judged {verdict}, but {n} of {of} steps answered “{opening} …” were judged {usual}"

_FEW = 8  # judgements of answers alike, below which they say nothing
_USUAL = 0.85  # share of them that agrees


@dataclass(slots=True)
class Doubts:
    """What speaks against the judgements of a collection; trees are added one by one."""

    _found: list[dict[int, str]] = field(default_factory=list)  # by tree: why, by node
    _judged: list[dict[int, tuple[str, Verdict]]] = field(default_factory=list)
    _alike: dict[str, Counter[Verdict]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, shown: Exhibit) -> None:
        """Take the next tree."""
        self._found.append(against(shown))
        judged: dict[int, tuple[str, Verdict]] = {}
        for node, critique in shown.critiques.items():
            step = shown.tree.nodes[node].step
            if critique.verdict is not None and step is not None:
                opening = opening_of(step.observation)
                self._alike[opening][critique.verdict] += 1
                judged[node] = opening, critique.verdict
        self._judged.append(judged)

    def all(self) -> list[dict[int, str]]:
        """For each tree, in order: why a judgement may be wrong, by node."""
        return [
            {node: why for node, one in judged.items() if (why := self._unlike(*one))} | found
            for judged, found in zip(self._judged, self._found, strict=True)
        ]

    def _unlike(self, opening: str, verdict: Verdict) -> str:
        alike = self._alike[opening]
        usual, n = alike.most_common(1)[0]
        few = alike.total() < _FEW or n < _USUAL * alike.total()
        if few or Verdict.UNCERTAIN in (verdict, usual) or verdict is usual:
            return ""
        return UNLIKE.format(
            verdict=verdict.value, n=n, of=alike.total(), opening=opening, usual=usual.value
        )


def against(shown: Exhibit) -> dict[int, str]:
    """What the tree itself says against its judgements, by node."""
    tree = shown.tree
    values = known_values(tree)
    falls = {
        path[at]
        for one in shown.tried
        if (path := tree.path(one.pair.bad))
        and (at := largest_fall(tree, path, one.pair.fork)) is not None
    }
    found = {
        node: _why(tree, values, node, critique, fell=node in falls)
        for node, critique in shown.critiques.items()
    }
    return {node: why for node, why in found.items() if why}


def _why(
    tree: SearchTree, values: list[float], node: int, critique: Critique, *, fell: bool
) -> str:
    if critique.verdict is Verdict.BAD:
        before = values[tree.nodes[node].parent or ROOT]
        return NO_FALL if 0 < before <= values[node] else ""  # from 0 nothing can fall
    if critique.verdict is not None and fell:
        return FELL.format(verdict=critique.verdict.value)
    return REPEATED if critique.verdict is Verdict.GOOD and _repeats(tree, node) else ""


def opening_of(answer: str) -> str:
    """How an answer begins: a world's answers of one sort begin alike.

    >>> opening_of("Could not find plate"), opening_of("Got 12 sand")
    ('Could not', 'Got #')
    """
    return re.sub(r"\d+", "#", " ".join(answer[:200].split()[:2]))[:40]


def _repeats(tree: SearchTree, node: int) -> bool:
    parent = tree.nodes[node].parent
    here, before = tree.nodes[node].step, tree.nodes[parent or ROOT].step
    if here is None or before is None:
        return False
    return (here.action, here.observation) == (before.action, before.observation)
