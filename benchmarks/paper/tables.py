"""The experiment's tables, as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import get_args

from agent_r.evaluation.injection import MISTAKES, Kind
from benchmarks.paper.arms import START
from benchmarks.paper.bootstrap import RESAMPLES, Estimate
from benchmarks.paper.panel import Panel, corrected, led, recovery, reward, success

_NONE = "–"


def tables(panel: Panel, depths: Mapping[str, int] = {}) -> str:
    """All of them; empty where there is no result. `depths` are those of the tasks, if known."""
    if not panel.results:
        return ""
    last = panel.last
    parts = [
        _what(panel),
        "### Final reward on held-out tasks, % by iteration",
        _by_iteration(panel, lambda arm, i: panel.mean(arm, i, reward)),
        _success_too(panel),
        "### Share of success kept after one injected mistake, % by iteration",
        _by_iteration(panel, lambda arm, i: panel.kept(arm, i, 1)),
        f"### Robustness after iteration {last}, %",
        _robustness(panel, last),
        *_by_depth(panel, last, depths),
        f"### Recovery, loops and revisions after iteration {last}",
        _others(panel, last),
        f"### {panel.ours.capitalize()} less each arm after iteration {last}, points",
        _leads(panel, last),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _what(panel: Panel) -> str:
    results = [result for by_seed in panel.results.values() for result in by_seed.values()]
    seeds = sorted({result.seed for result in results})
    unplayed = sum(sum(result.unplayed.values()) for result in results)
    sizes = {len(result.rewards) for result in results}
    tasks = "–".join(str(n) for n in sorted({min(sizes), max(sizes)}))
    fewer = [
        f" (iteration {i}: {_names(some)})"
        for i in sorted({result.iteration for result in results})
        if (some := {result.seed for result in results if result.iteration == i}) != set(seeds)
    ]
    return (
        f"Seeds {_names(seeds)}{''.join(fewer)}; {tasks} held-out tasks, the same for all; "
        f"{len(results)} results, {unplayed} episodes not played. Intervals are 95 %, "
        f"{RESAMPLES:,} resamples of seeds and tasks."
    )


def _names(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(seeds)))


def _by_iteration(panel: Panel, get: Callable[[str, int], Estimate | None]) -> str:
    iterations = range(max(iteration for _, iteration in panel.results) + 1)
    rows = [[arm, *(rate(get(arm, i)) for i in iterations)] for arm in panel.arms if arm != START]
    return _table(["arm", "start", *map(str, iterations[1:])], rows)


def _success_too(panel: Panel) -> str:
    """TextCraft's rewards are 0 or 1; elsewhere success is another thing."""
    results = [result for by_seed in panel.results.values() for result in by_seed.values()]
    if all(one in (0.0, 1.0) for result in results for one in result.rewards.values()):
        return "Success, the share of full rewards, is the same: all rewards are 0 or 1."
    return "### Success on held-out tasks, % by iteration\n\n" + _by_iteration(
        panel, lambda arm, i: panel.mean(arm, i, success)
    )


def _robustness(panel: Panel, last: int) -> str:
    rows = [
        [
            arm,
            *(rate(panel.mean(arm, last, led(count))) for count in MISTAKES),
            *(rate(panel.kept(arm, last, count)) for count in MISTAKES[1:]),
            *(rate(panel.kept(arm, last, 1, kind)) for kind in get_args(Kind)),
        ]
        for arm in panel.arms
    ]
    names = ["arm", *(f"led, mistakes: {n}" for n in MISTAKES)]
    names += [f"kept after {n}" for n in MISTAKES[1:]]
    return _table([*names, *(f"… after 1 {kind}" for kind in get_args(Kind))], rows)


def _by_depth(panel: Panel, last: int, depths: Mapping[str, int]) -> list[str]:
    """Title and table; nothing where no depth is known."""
    tasks: dict[int, set[str]] = {}
    for task, depth in depths.items():
        tasks.setdefault(depth, set()).add(task)
    if not tasks:
        return []
    rows = [
        [arm, *(rate(panel.kept(arm, last, 1, among=tasks[depth])) for depth in sorted(tasks))]
        for arm in panel.arms
    ]
    names = ["arm", *(f"depth {depth}" for depth in sorted(tasks))]
    title = f"### Share kept after one mistake after iteration {last}, %, by the depth of the task"
    return [title, _table(names, rows)]


def _others(panel: Panel, last: int) -> str:
    rows = []
    for arm in panel.arms:
        results = list(panel.at(arm, last).values())
        if not results:
            continue
        trained = [result.training for result in results]
        lengths = [t.revision_length for t in trained if t.revision_length and t.revises]
        rows.append(
            [
                arm,
                rate(panel.mean(arm, last, recovery)),
                _mean(result.loops for result in results),
                _mean(result.recovery_loops for result in results),
                f"{fmean(lengths):.1f}" if lengths else _NONE,
                _per_kind(t.distinct for t in trained),
                _per_kind(t.tokens for t in trained),
            ]
        )
    names = ["arm", "recovery, %", "dead loops, %", "… recovering, %", "revision length"]
    return _table([*names, "distinct rows", "trained tokens an epoch"], rows)


def _leads(panel: Panel, last: int) -> str:
    if panel.ours not in panel.arms:
        return ""
    arms = [arm for arm in panel.arms if arm != panel.ours]
    families = [
        {arm: panel.lead(arm, last, success) for arm in arms},
        {arm: panel.kept_lead(arm, last, 1) for arm in arms},
    ]
    holms = [corrected(family) for family in families]
    rows = []
    for arm in arms:
        cells = []
        for family, adjusted in zip(families, holms, strict=True):
            lead = family[arm]
            cells += [points(lead)]
            cells += [_p(lead.p_value), _p(adjusted[arm])] if lead else [_NONE, _NONE]
        rows.append([arm, *cells])
    names = ["arm", "success", "p", "Holm's p", "kept after one mistake", "p", "Holm's p"]
    return _table(names, rows)


def rate(estimate: Estimate | None) -> str:
    """A share and its interval, in percent."""
    if estimate is None:
        return _NONE
    low, high = estimate.rate_interval
    return f"{100 * estimate.value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def points(estimate: Estimate | None) -> str:
    """A difference and its interval, in percentage points."""
    if estimate is None:
        return _NONE
    low, high = estimate.interval
    return f"{100 * estimate.value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def _p(value: float) -> str:
    return f"{value:.4f}" if value < 0.001 else f"{value:.3f}"


def _mean(shares: Iterable[float]) -> str:
    return f"{100 * fmean(shares):.1f}"


def _per_kind(counts: Iterable[dict[str, int]]) -> str:
    """The mean over seeds, of each kind."""
    several = list(counts)
    total = sum((Counter(one) for one in several), Counter[str]())
    return (
        ", ".join(f"{n / len(several):,.0f} {kind}" for kind, n in sorted(total.items())) or _NONE
    )


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
