"""Draw the card's picture of a tree: the example's two paths, and the splice between them."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_r.algorithm.rows import Row
from agent_r.algorithm.tree import ROOT, SearchTree
from agent_r.dataset.card.facts import ManifestFacts
from agent_r.dataset.card.figures import BAD, GOOD, REVISION, label, save
from agent_r.dataset.shards import read_row
from agent_r.dataset.view.exhibit import Tried, tree_of, tried_in

TREE = "figures/tree.png"
ALT = (
    "The tree of this revision: the failed path, the good one, and the splice from one to the other"
)
_INK = "#222222"
_BEFORE, _AFTER = 2, 6  # steps drawn before the paths part, and after
_LANE = 3.7  # inches from one path to the other
_ROW = 0.43  # inches
_QUIET = "#5f6368"
_GLYPHS = {"Good": "\N{CHECK MARK}", "Bad": "\N{MULTIPLICATION X}", "Uncertain": "?"}

Axes = Any


@dataclass(frozen=True, slots=True)
class _State:
    """A node of the tree, and where it stands: lane 0 is the shared and the bad path's."""

    node: int
    lane: int
    row: float
    colour: str

    @property
    def place(self) -> tuple[float, float]:
        return self.lane * _LANE, self.row


def draw_tree(manifest: dict[str, Any], folder: Path) -> Path | None:
    """Draw the tree that the card's example was cut from; None where there is none.

    The file lies in `folder/figures`, as the other pictures do.
    """
    if importlib.util.find_spec("matplotlib") is None:
        return None
    facts = ManifestFacts(manifest)
    example = read_row(folder, "sft", str(facts.table("statistics", "example").get("id")))
    row = read_row(folder, "trees", example["tree"]) if example is not None else None
    if example is None or row is None:
        return None
    tree = tree_of(row)
    tried = next(iter(tried_in(tree, [example])), None)
    if tried is None:
        return None
    plot = functools.partial(_draw, row=row, tree=tree, tried=tried)
    return save(plot, facts, folder / TREE)


def _draw(figure: Any, facts: ManifestFacts, *, row: Row, tree: SearchTree, tried: Tried) -> bool:
    shared, bad, good = _states(tree, tried)
    rows = 1 + max(state.row for state in (*shared, *bad, *good))
    figure.set_size_inches(7.4, 0.7 + _ROW * rows)
    axes = figure.subplots()
    axes.set_xlim(-0.2, 2 * _LANE)
    axes.set_ylim(rows - 0.25, -0.6)
    axes.axis("off")
    _paths(axes, shared, bad, good)
    wrong = next((s for s in bad if s.node == _error(tree, tried)), None)
    for state in (*shared, *bad, *good):
        _state(axes, row, state, wrong=state is wrong)
    if wrong is not None and good:
        _splice(axes, wrong, good[0])
    title = f"{label(row['task'])}: two of the {len(list(tree.leaves()))} ways that the search went"
    axes.set_title(title, loc="left", parse_math=False, fontsize=10)
    return True


def _states(tree: SearchTree, tried: Tried) -> list[list[_State]]:
    """What is drawn: the end of what both paths share, and the beginning of each."""
    fork = tried.pair.fork
    bad, good = tree.path(tried.pair.bad), tree.path(tried.pair.good)
    both = [ROOT, *bad[:fork]][max(0, fork - _BEFORE) :]
    shared = [_State(node, 0, at, _INK) for at, node in enumerate(both)]
    lanes = (
        [
            _State(node, lane, len(shared) + at + 0.3, colour)
            for at, node in enumerate(path[:_AFTER])
        ]
        for lane, path, colour in ((0, bad[fork:], BAD), (1, good[fork:], GOOD))
    )
    return [shared, *lanes]


def _error(tree: SearchTree, tried: Tried) -> int | None:
    return None if tried.error is None else tree.path(tried.pair.bad)[tried.error]


def _paths(
    axes: Axes, shared: Sequence[_State], bad: Sequence[_State], good: Sequence[_State]
) -> None:
    """Their edges: what is shared in ink, the failed path dashed, the good one solid."""
    x, y = shared[-1].place
    over = [(x, y + 0.62), (_LANE, y + 0.62)]  # between two lines of text
    for begin, states, colour, style in (
        ([], shared, _INK, "solid"),
        ([(x, y)], bad, BAD, (0, (4, 2))),
        (over, good, GOOD, "solid"),
    ):
        points = [*begin, *(state.place for state in states)]
        axes.plot(*zip(*points, strict=True), color=colour, linestyle=style, lw=2.2, zorder=1)


def _state(axes: Axes, row: Row, state: _State, *, wrong: bool) -> None:
    """A circle, or a square where an episode ended; beside it the action and what came of it."""
    node_row, (x, y) = row["nodes"][state.node], state.place
    ended = node_row["stop"] is not None
    axes.plot(x, y, marker="s" if ended else "o", ms=11, mfc="white", mec=state.colour, mew=2)
    axes.text(x, y, _GLYPHS.get(node_row["verdict"], ""), fontsize=7.5, ha="center", va="center",
              color=state.colour, weight="bold")  # fmt: skip
    style = {"fontsize": 8, "va": "center", "parse_math": False}
    action = "start" if state.node == ROOT else label(node_row["action"] or "no action")
    axes.text(x + 0.17, y - 0.17, action, color=state.colour, **style)
    notes = [f"reward {node_row['reward']:.2f}" if ended else f"value {_value(node_row):.2f}"]
    notes += ["first error"] if wrong else []
    notes += [node_row["observation"]] if state.node != ROOT else []
    axes.text(
        x + 0.17, y + 0.2, label(" · ".join(notes), 54), color=_QUIET, **(style | {"fontsize": 7})
    )


def _value(node_row: Row) -> float:
    """The mean return of the simulations through a node; before the first its reward."""
    visits = node_row["visits"]
    return float(node_row["total_return"] / visits if visits else node_row["reward"])


def _splice(axes: Axes, wrong: _State, good: _State) -> None:
    """From the first error over to the good path: where the revision goes on."""
    (x, y), (to_x, to_y) = wrong.place, good.place
    axes.plot(x, y, marker="D", ms=19, mfc="none", mec=BAD, mew=1.6)
    lane, between = to_x - 0.22, y + 0.58
    dotted = {"color": REVISION, "lw": 1.8, "linestyle": (0, (1, 1.5))}
    axes.plot([x, x + 0.16, lane, lane], [y + 0.3, between, between, to_y], zorder=0, **dotted)
    axes.plot(lane + 0.06, to_y, marker=">", ms=6, color=REVISION)
    axes.text(lane - 0.06, between + 0.02, "splice", color=REVISION, fontsize=8, ha="right",
              va="center", backgroundcolor="white")  # fmt: skip
