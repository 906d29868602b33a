"""The dataset card: generated from the manifest, for a person first, then for the Hub's viewer.

Its other sections are in the modules beside it; all that comes from outside goes through `markup`.
"""

from __future__ import annotations

import json
from typing import Any

from agent_r.algorithm.schema import SCHEMAS, Type
from agent_r.dataset.card.beside_expert import beside_expert
from agent_r.dataset.card.covered import covered
from agent_r.dataset.card.facts import ManifestFacts
from agent_r.dataset.card.front_matter import front_matter, licence, sizes
from agent_r.dataset.card.history import changes, sources
from agent_r.dataset.card.markup import (
    code,
    details,
    fence,
    inline,
    line,
    lines,
    megabytes,
    number,
    table,
)
from agent_r.dataset.card.method import citation, licences, limits, making, reproduction
from agent_r.dataset.card.numbers import composition, critic, spending
from agent_r.dataset.card.outcomes import outcomes
from agent_r.dataset.card.people import people, personal_data, scripted, uses
from agent_r.dataset.card.region import in_region
from agent_r.dataset.card.tree_figure import ALT, TREE

PAPER = "https://arxiv.org/abs/2501.11425"
_TURNS = 16  # of the example: earlier ones are left out

_ABOUT = {
    "sft": (
        "a conversation with a `train` flag per message",
        "axolotl (`message_field_training: train`), `agent-r train`; ms-swift, verl, xtuner and "
        "OpenAI after `agent-r export`",
    ),
    "prompt_completion": (
        "one trained reply, and all that came before it",
        "TRL's SFTTrainer, as it is",
    ),
    "preference": ("what to do at the fork, and what not to", "TRL's DPOTrainer, as it is"),
    "critique": ("the judge's prompt and its judgement", "training a critic"),
    "trees": ("a whole search tree, all its nodes", "research: values, other pairings"),
}


def render_card(manifest: dict[str, Any], *, repo: str = "") -> str:
    """README.md of a version; with `repo` it says how to load that version from the Hub."""
    facts = ManifestFacts(manifest)
    sections = (
        introduction(facts),
        snippet(facts, repo),
        example(facts),
        uses(facts),
        making(facts),
        configs(facts),
        columns(),
        composition(facts),
        covered(facts),
        critic(facts),
        beside_expert(facts),
        outcomes(facts),
        limits(facts),
        personal_data(facts),
        spending(facts),
        licences(facts),
        sources(facts),
        reproduction(facts, repo),
        changes(facts),
        people(facts),
        citation(facts, repo),
    )
    body = "\n\n".join(section for section in sections if section)
    return f"{front_matter(manifest)}{in_region(body)}"


def introduction(facts: ManifestFacts) -> str:
    """The title, what this is in two or three sentences, and the facts at a glance."""
    title = f"# {inline(facts.text('dataset'))} {inline(facts.text('version'))}"
    recovering = facts.revisions + facts.interleaved
    known = recovering or facts.good
    what = (
        f"**{f'{number(recovering)} c' if known else 'C'}onversations in which "
        f"{'an' if scripted(facts) else 'a language-model'} agent makes a mistake and recovers**"
        + (f", and {number(facts.good)} in which it simply succeeds." if facts.good else ".")
    )
    how = (
        "They come from the agent's own attempts at text tasks, cut and corrected by "
        f"[Agent-R]({PAPER})."
    )
    summary = " ".join(part for part in (what + _interleaved(facts), how, _executed(facts)) if part)
    return "\n\n".join((title, summary, _glance(facts)))


def _interleaved(facts: ManifestFacts) -> str:
    if not facts.interleaved:
        return ""
    return (
        f" In {number(facts.interleaved)} of them several of its own errors are laid into a path "
        "that succeeded."
    )


def _glance(facts: ManifestFacts) -> str:
    """The facts that someone compares datasets by, in one line."""
    tasks = facts.table("statistics").get("tasks")
    found = (
        ("world", facts.worlds),
        ("actor", facts.actors),
        ("iteration", [str(i) for i in facts.items("iterations")]),
    )
    parts = [_count(name, values) for name, values in found if values]
    parts += [f"{number(tasks)} tasks"] if tasks else []
    parts += [f"by {inline(by)}"] if (by := facts.text("maintainer")) else []
    common = licence(facts)["license"]
    parts.append("licences: see below" if common == "other" else f"licence {common}")
    return " · ".join(parts)


def _count(name: str, values: list[str]) -> str:
    return f"{name} {code(values[0])}" if len(values) == 1 else f"{len(values)} {name}s"


def _executed(facts: ManifestFacts) -> str:
    if facts.executed is None:
        return ""
    if facts.executed:
        return (
            "Every revision was executed again: its observations and its reward are what the "
            "world really answered."
        )
    return (
        f"{facts.assumed or 'The'} revisions were not executed: that they earn the good "
        "trajectory's reward is assumed."
    )


def snippet(facts: ManifestFacts, repo: str) -> str:
    """How to load it: from the Hub pinned to the version, or from this folder."""
    version = line(facts.text("version"))
    if repo:
        where, pin = json.dumps(line(repo)), f", revision={json.dumps(version)}"
    else:
        where, pin = json.dumps(f"path/to/{version}"), ""
    call = f'rows = load_dataset({where}, "sft", split="train"{pin})'
    return fence(f"from datasets import load_dataset\n\n{call}", "python")


def example(facts: ManifestFacts) -> str:
    """One real revision, turn by turn."""
    row = facts.table("statistics", "example")
    messages = [m for m in row.get("messages") or () if isinstance(m, dict)]
    turns = list(_turns(messages, row.get("parts") or (), row.get("final_observation") or ""))
    if not turns:
        return ""
    task = "\n".join(str(m.get("content")) for m in messages[:2] if m.get("role") == "user")
    left_out = max(0, len(turns) - _TURNS)
    rewards = f"reward {number(row.get('reward_bad'))} → {number(row.get('reward'))}"
    parts = (
        "## One revision",
        f"The task (`sft` row {code(row.get('id'))}, {rewards}):",
        f"> {lines(_ends(task))}",
        f"![{ALT}]({TREE})" if TREE in facts.table("figures") else "",
        f"The first {left_out} turns are left out." if left_out else "",
        table(("part", "trained", "the agent said →", "the world answered"), turns[left_out:]),
        "*initial* is what the failed and the good path share, *bad* is the failed path up to its "
        "first wrong step, *signal* (where there is one) is where the agent admits the error, "
        "*good* is the rest of the good path. Only the last two are trained: the mistake is seen, "
        "and not learnt.",
    )
    return "\n\n".join(part for part in parts if part)


def _turns(messages: list[dict[str, Any]], parts: Any, final: str) -> Any:
    replies = [i for i, m in enumerate(messages) if m.get("role") == "assistant"]
    for position, part in zip(replies, parts, strict=False):
        reply = messages[position]
        after = messages[position + 1] if position + 1 < len(messages) else {}
        answer = after.get("content") or final
        trained = "**yes**" if reply.get("train") else "no"
        yield inline(part), trained, lines(reply.get("content")), lines(answer, 200)


def _ends(text: str, most: int = 360) -> str:
    """The beginning and the end of a long text: a task's goal often stands last."""
    return text if len(text) <= 2 * most else f"{text[:most].rstrip()} …\n… {text[-most:].lstrip()}"


def configs(facts: ManifestFacts) -> str:
    """The five views of the same trees, and what eats them."""
    known = any(_size(facts, name) for name in SCHEMAS)  # older manifests do not say
    rows = [
        (
            f"`{name}`",
            number(facts.rows.get(name, 0)),
            *([_size(facts, name)] if known else []),
            *_ABOUT[name],
        )
        for name in SCHEMAS
        if name in _ABOUT
    ]
    heads = ("config", "rows:", *(["download:"] if known else []), "a row is", "made for")
    return f"## Configs and columns\n\n{table(heads, rows)}"


def _size(facts: ManifestFacts, config: str) -> str:
    return megabytes(sizes(facts, config).get("download_size", 0))


def columns() -> str:
    """Every field of every config, from the schema."""
    parts = []
    for name, fields in SCHEMAS.items():
        rows = [(f"`{c}`", _spell(kind), meaning) for c, (kind, meaning) in fields.items()]
        summary = f"<code>{name}</code>: {len(rows)} columns"
        parts.append(details(summary, table(("column", "type", "meaning"), rows)))
    return "\n\n".join(parts)


def _spell(kind: Type) -> str:
    if isinstance(kind, list):
        return f"list of {_spell(kind[0])}"
    if isinstance(kind, dict):
        return "{" + ", ".join(kind) + "}"
    return str(kind)
