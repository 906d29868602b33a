"""The parts of a card that count: what is in a version, how far its critic goes, what it cost."""

from __future__ import annotations

from itertools import combinations

from agent_r.algorithm.metrics import Rate, wilson
from agent_r.dataset.card.facts import ManifestFacts
from agent_r.dataset.card.figures import FIGURES
from agent_r.dataset.card.markup import code, details, inline, number, table
from agent_r.dataset.statistics import mean, quantile
from agent_r.diagnostics.witnesses import WITNESSES, named

_SPENT = (
    ("trees", "search trees"),
    ("second looks", "of these, further ones of tasks without a revision"),
    ("calls", "requests to the model"),
    ("prompt tokens", "prompt tokens"),
    ("completion tokens", "completion tokens"),
    ("environment steps", "actions that the world answered"),
)
_LOCALISERS = {
    "actor": "the actor's judgement",
    "value": "the tree's value",
    "both": "the judgement and the value agreeing",
    "vote": "a vote of judgements",
    "replay": "replay: the first step that the good way does not need, or that costs it",
    "witnesses": "what replay proves, and the actor's judgement where it proves nothing",
    "direct": "nothing: cut at the end (direct revision)",
}
_ELSEWHERE = ("errors", "lacking", "agreement")  # parts of the account with a place of their own
_SIGNALS = {
    "critique": "the actor's own reason",
    "proof": "a thought about what replay proved of the error",
    "template": "one of ten fixed thoughts",
    "none": "nothing but the correcting step itself",
    "recovery": "the actor, going on by itself",
}


def composition(facts: ManifestFacts) -> str:
    """Rows by world, iteration and actor; the pictures; what was dropped and why."""
    parts = (
        _groups(facts),
        _summary(facts),
        _validation(facts),
        _lengths(facts),
        *pictures(facts),
        _drops(facts),
        _account(facts),
    )
    kept = [part for part in parts if part]
    return "\n\n".join(("## What is in it", *kept)) if kept else ""


def _groups(facts: ManifestFacts) -> str:
    rows = []
    pairs = facts.counts("preference_env")
    for title, name in (("world", "env_kind"), ("iteration", "iteration_kind")):
        for key, kinds in facts.crossed(name):
            paired = number(pairs.get(key, 0)) if title == "world" else ""
            counted = (kinds.get(kind, 0) for kind in ("revision", "interleaved", "good"))
            cells = (*map(number, counted), paired)
            rows.append((f"{title} {code(key)}", *cells))
    heads = ("of", "revisions:", "interleaved:", "good:", "preference pairs:")
    return table(heads, rows) if rows else ""


def _validation(facts: ManifestFacts) -> str:
    """What is kept from training."""
    kept = facts.numbers("splits", "sft").get("validation", 0)
    if not kept:
        return ""
    trained = facts.rows.get("sft", 0) - kept
    return (
        f"{number(kept)} of the `sft` rows are the split `validation`, {number(trained)} the split "
        "`train`: whole tasks, drawn by their names, in every config the same. They are "
        "not for training; the world's own test tasks have no row here."
    )


def _lengths(facts: ManifestFacts) -> str:
    """How long the rows are, in tokens: what a trainer's `max_length` should be."""
    counted = facts.histogram("tokens")
    if not counted:
        return (
            "How many tokens a row has is not known: the actor was served, and its tokenizer was "
            "not at hand. The tokens below are what its server counted."
            if facts.items("tokenizers") == [] and "tokenizers" in facts.manifest
            else ""
        )
    half, most, all_of_them = (number(int(quantile(counted, q))) for q in (0.5, 0.95, 1.0))
    names = ", ".join(code(name) for name in facts.items("tokenizers"))
    missing = facts.rows.get("sft", 0) - sum(counted.values())
    unknown = f" Of {number(missing)} rows it is not known." if missing > 0 else ""
    return (
        f"Half of the `sft` rows have at most {half} tokens, 95 % at most {most}, all of them at "
        f"most {all_of_them}, by the actor's own tokenizer ({names}) and chat template.{unknown}"
    )


def _summary(facts: ManifestFacts) -> str:
    """What a revision is like, on average."""
    found = []
    tasks, revised = (facts.table("statistics").get(name) for name in ("tasks", "tasks_revised"))
    if tasks:
        of_these = "" if revised is None else f", and {number(revised)} of them have a revision"
        found.append(f"{number(tasks)} different tasks were explored{of_these}.")
    error, fork = (_mean(facts, name) for name in ("error_step", "fork_step"))
    before, after = (_mean(facts, name) for name in ("reward_bad", "reward_revision"))
    if before is not None and after is not None:
        found.append(f"Mean reward: failed paths {before:.2f}, their revisions {after:.2f}.")
    if error is not None and fork is not None:
        found.append(
            f"On average the good path leaves the bad one after {fork:.1f} steps, and "
            f"{error - fork:.1f} steps later comes the first wrong one."
        )
    for name, what, names in (
        ("localiser", "The first wrong step was found by", _LOCALISERS),
        ("signal_source", "The revision signal is", _SIGNALS),
    ):
        if counted := facts.counts(name):
            shares = (f"{names.get(k, inline(k))} ({number(n)})" for k, n in _most(counted))
            found.append(f"{what} {', '.join(shares)}.")
    if near := facts.numbers("duplicates").get("near-duplicates kept"):
        found.append(
            f"{number(near)} `sft` rows differ from another of their iteration in details alone."
        )
    return " ".join(found)


def _mean(facts: ManifestFacts, name: str) -> float | None:
    return mean(facts.numbers("statistics", "histograms", name)) if facts.histogram(name) else None


def _most(counted: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))


def pictures(facts: ManifestFacts) -> list[str]:
    """The pictures that the manifest lists under `figures`: a link to none is never made."""
    there = facts.table("figures")
    return [f"![{alt}]({path})" for path, alt in FIGURES.items() if path in there]


def _drops(facts: ManifestFacts) -> str:
    drops = facts.numbers("drops")
    if not drops:
        return ""
    tried = facts.numbers("counts").get("pairs", 0)
    rows = [(inline(reason), number(n), _share(n, tried)) for reason, n in _most(drops)]
    intro = f"Of {number(tried)} pairs that were tried" if tried else "Of the pairs that were tried"
    sentence = f"{intro}, {number(sum(drops.values()))} gave no row of their own."
    found = table(("reason", "pairs:", "share:"), rows)
    drawn = any("drops.png" in picture for picture in pictures(facts))
    return f"{sentence}\n\n{details('The reasons as a table', found) if drawn else found}"


def _account(facts: ManifestFacts) -> str:
    """What became of every reply, judgement, episode, tree and pair."""
    rows = [
        (inline(name), inline(what.replace("_", " ")), number(n), _share(n, _sum(counted)))
        for name in facts.table("account")
        if name not in _ELSEWHERE and (counted := facts.numbers("account", name))
        for what, n in counted.items()
    ]
    if not rows:
        return ""
    found = table(("of the", "so many were", "number:", "share:"), rows)
    return details("What became of every reply, episode, tree and pair", found)


def _share(n: int, total: int) -> str:
    return f"{100 * n / total:.0f} %" if total else ""


def critic(facts: ManifestFacts) -> str:
    """How often the judge and the search tree's own values say the same."""
    rows = [
        (code(verdict), number(sum(agrees.values())), _share(agrees.get("true", 0), _sum(agrees)))
        for verdict, agrees in facts.crossed("critique_verdict_agrees")
    ]
    parts = []
    if facts.agreement.n:
        parts.append(
            "The search tree has a second opinion: the step where its own value falls most. Of "
            f"{number(facts.agreement.n)} revisions where it can say, it confirms the located "
            f"step{_within(facts)} in {percent(facts.agreement)}."
        )
    if rows:
        heads = ("verdict", "judged steps:", "tree's value agrees:")
        parts += [
            "All judgements, not only those that gave a revision:",
            table(heads, rows),
            "This measure is strict: a `Bad` agrees only at the very step where the tree's value "
            "falls most, every other verdict anywhere else. A failed path has one such step, and "
            "often several that deserve a `Bad`.",
        ]
    parts += [witnessed] if (witnessed := _witnesses(facts)) else []
    failed = facts.numbers("counts").get("judge failed", 0)
    if failed:
        parts.append(f"{number(failed)} judgements could not be read and count as neither.")
    return "\n\n".join(("## How far to trust the critic", *parts)) if parts else ""


def _witnesses(facts: ManifestFacts) -> str:
    """How often two of the three witnesses of a step say the same."""
    counted = facts.numbers("account", "agreement")
    shares = []
    for one, other in combinations(WITNESSES, 2):
        alike = counted.get(named(one, other, alike=True), 0)
        both = alike + counted.get(named(one, other, alike=False), 0)
        if both:
            rate = percent(wilson(alike, both))
            shares.append(f"{one} and {other} in {rate} of {number(both)}")
    if not shares:
        return ""
    return (
        "Three witnesses say whether a step of a failed path was wrong: the actor's judgement "
        "(`Uncertain` says nothing), what replay proved, and whether the tree's value falls most "
        f"there. Where two of them speak of the same step, they agree: {'; '.join(shares)}."
    )


def _within(facts: ManifestFacts) -> str:
    critique = facts.table("config", "critique")
    within = critique.get("agreement_tolerance", critique.get("within"))  # its older name
    return f", give or take {number(within)}," if within else ""


def _sum(counted: dict[str, int]) -> int:
    return sum(counted.values())


def percent(rate: Rate) -> str:
    """A rate with its interval, as a reader takes it in."""
    return f"{100 * rate.rate:.0f} % (95 %: {100 * rate.low:.0f} to {100 * rate.high:.0f} %)"


def spending(facts: ManifestFacts) -> str:
    """What the version cost, in all and for each revision."""
    counts = facts.numbers("counts")
    rows = [
        (label, number(counts[name]), _each(counts[name], facts.revisions))
        for name, label in _SPENT
        if counts.get(name)
    ]
    cost = facts.manifest.get("cost", facts.table("counts").get("cost"))
    if isinstance(cost, int | float) and not isinstance(cost, bool):
        each = f"{cost / facts.revisions:.2g}" if facts.revisions else ""
        rows.append(("price of the tokens, as configured", number(cost), each))
    if not rows:
        return ""
    return f"## What it cost\n\n{table(('spent', 'in all:', 'per revision:'), rows)}"


def _each(spent: int, revisions: int) -> str:
    each = spent / revisions if revisions else 0.0
    return "" if not revisions else number(round(each)) if each >= 10 else f"{each:.1f}"
