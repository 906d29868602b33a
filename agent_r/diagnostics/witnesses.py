"""Compare the three witnesses of a step in pairs: the actor's judgement, the value, replay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations

from agent_r.algorithm.critique import Verdict, find_first_error, largest_fall
from agent_r.algorithm.pairing import pair_trajectories
from agent_r.algorithm.proof.effects import WRONG
from agent_r.algorithm.tree import SearchTree
from agent_r.collection.tree_revisions import TreeRevisions
from agent_r.settings import CritiqueConfig, RevisionConfig

WITNESSES = ("actor", "replay", "value")
AGREE, DIFFER = "agree", "differ"
_SAYS = (Verdict.GOOD, Verdict.BAD)  # Uncertain says nothing


def agreement(
    tree: SearchTree,
    tree_revisions: TreeRevisions,
    revision: RevisionConfig,
    critique: CritiqueConfig,
) -> Counter[str]:
    """How often two witnesses call a step alike, wrong or not, of those where both say something.

    Steps of the bad paths that were tried, from the fork up to the first error, each once a tree.
    """
    found: Counter[str] = Counter()
    for opinions in _opinions(tree, tree_revisions, revision, critique):
        for one, other in combinations(WITNESSES, 2):
            if opinions[one] is not None and opinions[other] is not None:
                found[named(one, other, alike=opinions[one] == opinions[other])] += 1
    return found


def named(one: str, other: str, *, alike: bool) -> str:
    """A count's name.

    >>> named("actor", "replay", alike=True)
    'actor and replay agree'
    """
    return f"{one} and {other} {AGREE if alike else DIFFER}"


def _opinions(
    tree: SearchTree,
    tree_revisions: TreeRevisions,
    revision: RevisionConfig,
    critique: CritiqueConfig,
) -> Iterator[dict[str, bool | None]]:
    """Whether each witness calls a step wrong; None where it says nothing."""
    critiques, effects = tree_revisions.critiques, tree_revisions.effects
    seen: set[int] = set()
    for pair in pair_trajectories(tree, revision)[: tree_revisions.pairs]:
        path = tree.path(pair.bad)
        error = find_first_error(tree, path, pair.fork, critiques, config=critique, effects=effects)
        end = error.position + 1 if error else len(path)
        falls = largest_fall(tree, path, pair.fork)
        for position, index in enumerate(path[pair.fork : end], pair.fork):
            if index in seen:  # its value was seen on the path that parts latest
                continue
            seen.add(index)
            verdict = critiques[index].verdict if index in critiques else None
            yield {
                "actor": verdict is Verdict.BAD if verdict in _SAYS else None,
                "replay": effects[index] in WRONG if index in effects else None,
                "value": position == falls if falls is not None else None,
            }
