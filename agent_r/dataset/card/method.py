"""The parts of a card about the making: method, reproduction, licences, limits, citation."""

from __future__ import annotations

import re
from typing import Any

from agent_r.dataset.card.facts import ManifestFacts
from agent_r.dataset.card.markup import code, details, fence, inline, line, number, table, toml
from agent_r.dataset.card.numbers import percent
from agent_r.dataset.card.people import generators, getting_the_tool
from agent_r.licences import hub_id

_SAFE = r"[A-Za-z0-9][A-Za-z0-9_./-]{0,120}"  # what a shell takes as one word
_RISKS = (
    "A model that learns to admit errors may admit some that it has not made, and go back where "
    "it was right: measure success beside recovery.",
    "What the actor believes wrongly, it teaches: a revision shows that the goal is reached, not "
    "that every thought on the way is true.",
)
_PAPER = """@article{yuan2025agentr,
  title   = {Agent-R: Training Language Model Agents to Reflect via Iterative Self-Training},
  author  = {Yuan, Siyu and Chen, Zehui and Xi, Zhiheng and Ye, Junjie and Du, Zhengyin
             and Chen, Jiecao},
  journal = {arXiv preprint arXiv:2501.11425},
  year    = {2025}
}"""


def making(facts: ManifestFacts) -> str:
    """The method in steps, and who did it."""
    search = facts.table("config", "search")
    size = "".join(
        f", {number(search[key])} {label}"
        for key, label in (("simulations", "walks"), ("candidates", "replies at each state"))
        if key in search
    )
    steps = (
        f"**Explore.** The actor plays each task by Monte Carlo tree search{size}.",
        f"**Pair.** {_pairing(facts)}",
        f"**Judge.** {_judging(facts)}",
        f"**Splice.** {_splicing(facts)}" + (_CLEANED if _leaves_out(facts) else ""),
        *([_INTERLEAVED] if facts.interleaved else []),
        "**Execute.** The whole revision is played again from the start, and kept if it still "
        "reaches α."
        if facts.executed is not False
        else "**Not executed**, all or some: see the known limits.",
    )
    parts = (
        "## How it was made",
        "\n".join(f"{n}. {s}" for n, s in enumerate(steps, 1)),
        generators(facts),
        f"Digest of all prompts: {code(digest)}."
        if (digest := facts.text("prompt_digest"))
        else "",
    )
    return "\n\n".join(part for part in parts if part)


_INTERLEAVED = (
    "**Interleave.** Errors that the actor sampled beside a good path, or elsewhere in its tree, "
    "and that replay proves to be errors, are laid into the good path, up to four in one; after "
    "each comes what is right. The errors alone are not trained."
)
_CLEANED = (
    " What the goal does not need is left out by replay, in what is trained and in what comes "
    "before the error."
)


def _splicing(facts: ManifestFacts) -> str:
    if facts.table("config", "revision").get("signal") == "none":
        return (
            "The bad path is cut after the first wrong step; the rest of the good path follows, "
            "without a word about the error. Only this is trained."
        )
    return (
        "The bad path is cut after the first wrong step; a thought that admits the error follows, "
        "then the rest of the good path. Only these last two are trained."
    )


def _leaves_out(facts: ManifestFacts) -> bool:
    """Whether all parts of its revisions were; versions before this setting pruned tails alone."""
    revision = facts.table("config", "revision")
    return "preference_margin" in revision and bool(revision.get("prune"))


def _pairing(facts: ManifestFacts) -> str:
    revision = facts.table("config", "revision")
    schedule = facts.table("config").get("alphas")
    # A schedule has an alpha for each iteration: then the one in `revision` was not used.
    names = {"α": "" if schedule else "alpha", "β": "beta"}
    alpha, beta = (
        f"{name} = {number(revision[key])}" if key in revision else name
        for name, key in names.items()
    )
    apart = f"lower by more than {beta}"
    if revision.get("beta_is") == "threshold":
        apart = f"below {beta}"
    return (
        f"A path with a reward of {alpha} or more meets one that begins alike, and whose reward "
        f"is {apart}."
    )


def _judging(facts: ManifestFacts) -> str:
    return {
        "value": "The first wrong step is where the search tree's own value falls most.",
        "direct": "No step was judged: a bad path counts as wrong at its end.",
        "replay": "The first wrong step is the first after which no known way to the goal is "
        "shorter, as the world itself shows when it is tried; no model is asked.",
        "witnesses": "The world is asked by replay whether a known way to the goal is shorter "
        "after a step, and the actor says of it: Good, Bad or Uncertain. The first wrong step is "
        "the first that replay proves to be one; where nothing had changed, the actor decides.",
    }.get(
        str(facts.table("config", "critique").get("localiser")),
        "Step by step, the actor says of its own failed path: Good, Bad or Uncertain.",
    )


def reproduction(facts: ManifestFacts, repo: str) -> str:
    """How to check it, and how to make it again."""
    version = facts.text("version")
    safe = all(re.fullmatch(_SAFE, word) for word in (version.replace("/", " "), repo or "x"))
    folder = f"path/to/{version}" if safe else "path/to/the/version"
    fetch = []
    if repo and safe:
        folder = f"datasets_out/{repo.rpartition('/')[2]}/{version}"
        fetch = [f"agent-r pull {repo}@{version}"]
    parts = [
        "## Check it, make it again",
        getting_the_tool(facts),
        "This executes every `sft` row again and compares each observation and the reward:"
        if facts.executed is not False
        else "This executes again every row that its maker executed, and compares all of it:",
        fence("\n".join([*fetch, f"agent-r verify {folder}"]), "console"),
        "This compares judgements, errors and corrections with the world's expert, where it has "
        "one, and shows every tree, every judgement and every row in the browser:",
        fence(f"agent-r audit {folder}\nagent-r view {folder}", "console"),
    ]
    if facts.tables("sources"):
        parts.append("It is a merge: the versions under *Merged from* say how they were made.")
    if config := facts.table("config"):
        parts += _again(facts, config)
    return "\n\n".join(parts)


def _again(facts: ManifestFacts, config: dict[str, Any]) -> tuple[str, ...]:
    iteration = max((i for i in facts.items("iterations") if isinstance(i, int)), default=1)
    return (
        "These settings and this command make such rows again; with an actor that answers alike, "
        f"the same ones, to the digest {code(facts.text('content_digest')[:16])}. The endpoint is "
        "left out: put yours under `[endpoint]` (a model folder of an iteration: `--model`).",
        fence(f"agent-r collect --config config.toml --iteration {iteration}", "console"),
        details("<code>config.toml</code>", fence(toml(config), "toml")),
    )


def licences(facts: ManifestFacts) -> str:
    """Every world's licence and source: the rows hold its text."""
    counted = facts.counts("env")
    rows = [
        (
            code(world.get("name", "unknown")),
            code(world.get("version", "unknown")),
            inline(_licence(world)),
            inline(world.get("source", "unknown")),
            number(counted.get(str(world.get("name")), "")),
        )
        for world in facts.tables("environments")
    ]
    if not rows:
        return ""
    parts = [
        "## Licences",
        table(("world", "version", "licence", "source", "`sft` rows:"), rows),
        "Of each row, the column `env` names the world whose text and licence it has, and `actor` "
        "the model that wrote it.",
    ]
    if any(hub_id(_licence(world)) is None for world in facts.tables("environments")):
        parts.append("**Not every licence here is an open one: ask before you pass rows on.**")
    parts.append("The actor's model may have terms of its own for what it wrote.")
    return "\n\n".join(parts)


def _licence(world: dict[str, object]) -> str:
    return str(world.get("licence") or "unknown")


def limits(facts: ManifestFacts) -> str:
    """What the numbers themselves warn of, and what any such data do."""
    found = [*_limits_of_judge(facts), *_limits_of_rows(facts), *_RISKS]
    return "\n".join(("## Bias, risk and known limits", "", *(f"- {text}" for text in found)))


def _limits_of_judge(facts: ManifestFacts) -> list[str]:
    found = []
    if len(facts.actors) == 1:
        found.append(
            f"One actor, {code(facts.actors[0])}, made everything: the mistakes are this model's, "
            "and so are its words."
        )
    judged = facts.counts("localiser")
    if judged.keys() & {"actor", "vote", "both"}:
        agreed = f" The tree's value confirms it in {percent(facts.agreement)}."
        found.append(
            "The judge is the actor itself: a step that it calls Bad need not be the first wrong "
            f"one.{agreed if facts.agreement.n else ''}"
        )
    if direct := judged.get("direct"):
        found.append(f"{number(direct)} revisions are cut at the end, with no error located.")
    signals = facts.counts("signal_source")
    if template := signals.get("template"):
        found.append(
            f"{number(template)} of {number(sum(signals.values()))} revision signals are fixed "
            "sentences: varied wording is not in the data."
        )
    if signals.get("critique"):
        found.append("A signal is what the actor said of its step; it may give a wrong reason.")
    return found


def _limits_of_rows(facts: ManifestFacts) -> list[str]:
    found = [_cleaned(one) for one in facts.tables("cleaned")]
    if facts.executed is False:
        known = f"{facts.assumed} revisions" if facts.assumed else "Revisions"
        found.append(
            f"{known} were never executed: their observations come from another path, and their "
            "reward is assumed."
        )
    rewards = facts.histogram("reward_bad").keys() | facts.histogram("reward").keys()
    if rewards and rewards <= {0.0, 1.0}:
        found.append("Every reward is 0 or 1: nothing here is half right.")
    found.append(
        "A task that the actor always solves, or never, gives no revision: tasks of middling "
        "difficulty are over-represented."
    )
    found.append(
        "Rows of one task are alike: the split `validation` is of whole tasks, and so must be one "
        "of your own."
    )
    if len(facts.worlds) == 1:
        found.append(f"One world, {code(facts.worlds[0])}, in English: transfer is not shown.")
    return found


def _cleaned(done: dict[str, Any]) -> str:
    """What was taken out because it must not be published, and what that means for a row."""
    rows = sum(ManifestFacts(done).numbers("rows").values())
    if done.get("way") == "drop":
        return f"{number(rows)} rows that held private data are left out."
    return (
        f"In {number(rows)} rows private data are replaced by {code('[redacted: …]')}. "
        f"{number(done.get('unverified'))} conversations could not be executed again since then: "
        "of them `verified` is false, and the reward is the one that they had."
    )


def citation(facts: ManifestFacts, repo: str) -> str:
    """BibTeX of the paper and of this very version."""
    name, version = _tex(facts.text("dataset")), _tex(facts.text("version"))
    key = re.sub(r"[^A-Za-z0-9]+", "-", f"{facts.text('dataset')[:60]}-{version}").strip("-")
    where = f",\n  url   = {{https://huggingface.co/datasets/{_tex(repo)}}}" if repo else ""
    own = (
        f"@misc{{{key},\n  title = {{{name}, version {version}: self-critique data made with "
        f"Agent-R}},\n  note  = {{Content digest {_tex(facts.text('content_digest'))}}}{where}\n}}"
    )
    return f"## How to cite\n\n{fence(f'{_PAPER}{chr(10)}{chr(10)}{own}', 'bibtex')}"


def _tex(text: str) -> str:
    return re.sub(r"([_%&#$])", r"\\\1", re.sub(r"[{}\\~^]", "", line(text)))
