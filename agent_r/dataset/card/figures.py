"""Draw a card's pictures from the statistics alone: same numbers, same bytes."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent_r.dataset.card.facts import ManifestFacts
from agent_r.dataset.card.markup import line
from agent_r.dataset.statistics import mean

# Where each lies in a version, and what someone reads who does not see it.
FIGURES = {
    "figures/rewards.png": "Rewards of the failed paths, of the good ones, and of the revisions",
    "figures/errors.png": "At which step the paths part, and at which the first wrong step is",
    "figures/rows.png": "Rows by world and by iteration",
    "figures/drops.png": "What became of the pairs: kept as revisions, or dropped, by reason",
}
# Okabe and Ito's colours, which colour-blind readers can tell apart.
BAD, GOOD, REVISION, GREY = "#D55E00", "#0072B2", "#009E73", "#999999"
INTERLEAVED = "#8A5C9E"
_LAST = 60  # later steps are drawn here
_BARS = 10  # of one panel

Axes = Any


def draw(manifest: dict[str, Any], folder: Path) -> list[Path]:
    """Draw what the statistics have to tell; nothing where they are silent or matplotlib is absent.

    The files lie in `folder/figures`; a card shows those that its manifest's `figures` names.
    """
    if importlib.util.find_spec("matplotlib") is None:
        return []
    facts = ManifestFacts(manifest)
    drawn = [
        save(plot, facts, folder / path)
        for path, plot in zip(FIGURES, (_rewards, _errors, _rows, _drops), strict=True)
        if (plot is not _drops or not _several(facts))
    ]
    return [path for path in drawn if path is not None]


def save(
    plot: Callable[[Any, ManifestFacts], bool], facts: ManifestFacts, path: Path
) -> Path | None:
    """Draw one picture; None where it has nothing to tell."""
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context("default", after_reset=True):  # whatever this machine's own settings are
        figure = Figure(layout="constrained", facecolor="white", dpi=110)
        if not plot(figure, facts):
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(
            path, format="png", metadata={"Software": None}, pil_kwargs={"optimize": True}
        )
    return path


def _rewards(figure: Any, facts: ManifestFacts) -> bool:
    """Three histograms above each other: failed, good, revised."""
    executed = ", executed" if facts.executed else ""
    kinds = (
        ("failed path", BAD, facts.histogram("reward_bad")),
        ("good path", GOOD, facts.histogram("reward_good")),
        (f"revision{executed}", REVISION, facts.histogram("reward_revision")),
    )
    if not all(histogram for _, _, histogram in kinds):
        return False
    if all(len(histogram) == 1 for _, _, histogram in kinds):
        return False  # three single bars: the card has a sentence for it
    figure.set_size_inches(7.2, 3.0)
    panels = figure.subplots(3, 1, sharex=True, sharey=True)
    highest = max(_panel(axes, *kind) for axes, kind in zip(panels, kinds, strict=True))
    panels[0].set_ylim(0, 1.4 * highest)  # room for the bars' labels
    panels[-1].set_xlim(-0.06, 1.06)
    panels[-1].set_xlabel("final reward")
    panels[0].set_title(f"Rewards of {facts.revisions:,} revisions and their pairs", loc="left")
    return True


def _panel(axes: Axes, name: str, colour: str, histogram: dict[float, int]) -> float:
    """One histogram of rewards in steps of 0.1; the highest share, in percent."""
    total = sum(histogram.values())
    shares: dict[float, float] = {}
    for value, n in histogram.items():
        place = round(min(1.0, max(0.0, value)), 1)
        shares[place] = shares.get(place, 0.0) + 100 * n / total
    bars = axes.bar(list(shares), list(shares.values()), width=0.07, color=colour)
    labels = [f"{share:.0f} %" if share >= 1 else "" for share in shares.values()]
    axes.bar_label(bars, labels, fontsize=9, padding=2)
    title = f"{name}\nmean {mean(histogram):.2f}"
    axes.set_ylabel(title, rotation=0, ha="right", va="center", color=colour)
    _bare(axes)
    axes.set_yticks([])
    return max(shares.values())


def _errors(figure: Any, facts: ManifestFacts) -> bool:
    """Two bars a step: where the paths part, and where the first wrong step is."""
    fork, error = facts.histogram("fork_step"), facts.histogram("error_step")
    if not fork or not error:
        return False
    figure.set_size_inches(7.2, 3.0)
    axes = figure.subplots()
    # Each label stands in the empty upper right, in its bars' colour: no legend to decode.
    for shift, name, colour, histogram, height in (
        (-0.2, "the good path leaves the bad one", GOOD, fork, 0.96),
        (0.2, "the first wrong step", BAD, error, 0.86),
    ):
        places: dict[int, int] = {}
        for step, n in histogram.items():
            place = min(_LAST, max(0, int(step)))
            places[place] = places.get(place, 0) + n
        axes.bar([p + shift for p in places], list(places.values()), width=0.4, color=colour)
        label = f"{name}: mean {mean(histogram):.1f}"
        corner = {"transform": axes.transAxes, "ha": "right", "va": "top"}
        axes.text(0.99, height, label, color=colour, **corner)
    axes.margins(y=0.25)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("step of the failed path, from 0")
    axes.set_ylabel("revisions")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("Where it went wrong", loc="left")
    return True


def _several(facts: ManifestFacts) -> bool:
    return any(len(list(facts.crossed(name))) > 1 for name in ("env_kind", "iteration_kind"))


def _rows(figure: Any, facts: ManifestFacts) -> bool:
    """Rows of every kind of every world and every iteration; not of one alone."""
    if not _several(facts):
        return False
    groups = [
        (f"{title}{label(key)}", kinds)
        for title, name in (("", "env_kind"), ("iteration ", "iteration_kind"))
        for key, kinds in list(facts.crossed(name))[:_BARS]
    ][::-1]
    figure.set_size_inches(7.2, 0.9 + 0.32 * len(groups))
    axes = figure.subplots()
    left = [0] * len(groups)
    for kind, colour in (("revision", REVISION), ("interleaved", INTERLEAVED), ("good", GOOD)):
        numbers = [kinds.get(kind, 0) for _, kinds in groups]
        bars = axes.barh(range(len(groups)), numbers, left=left, color=colour)
        labels = [f"{n:,} {kind}" if n > 0.15 * _most(groups) else "" for n in numbers]
        axes.bar_label(bars, labels, label_type="center", color="white", fontsize=9)
        left = [a + b for a, b in zip(left, numbers, strict=True)]
    axes.set_yticks(range(len(groups)), [name for name, _ in groups], parse_math=False)
    _bare(axes)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.set_title("Revisions (green), interleaved (purple) and good rows (blue)", loc="left")
    return True


def _most(groups: list[tuple[str, dict[str, int]]]) -> int:
    return max(sum(kinds.values()) for _, kinds in groups)


def _drops(figure: Any, facts: ManifestFacts) -> bool:
    """Kept revisions above the reasons for which pairs were dropped."""
    drops = sorted(facts.numbers("drops").items(), key=lambda item: (item[1], item[0]))[-_BARS:]
    if not drops or not facts.revisions:
        return False
    bars = [*drops, ("kept as a revision", facts.revisions)]
    figure.set_size_inches(7.2, 0.7 + 0.32 * len(bars))
    axes = figure.subplots()
    drawn = axes.barh(
        range(len(bars)), [n for _, n in bars], color=[GREY] * len(drops) + [REVISION]
    )
    axes.bar_label(drawn, [f"{n:,}" for _, n in bars], padding=4)
    axes.set_yticks(range(len(bars)), [label(name) for name, _ in bars], parse_math=False)
    _bare(axes)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.margins(x=0.12)
    axes.set_title("What became of the pairs", loc="left")
    return True


def _bare(axes: Axes) -> None:
    """No frame and no ticks: the bars are labelled themselves."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)


def label(name: str, limit: int = 40) -> str:
    """A name that the font can draw: its letters beyond Latin-1 become question marks."""
    return line(name, limit).replace("…", "...").encode("latin-1", "replace").decode("latin-1")
