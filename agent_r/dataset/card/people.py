"""The parts of a card on people: who made it and with what, what it is for, and what it risks."""

from __future__ import annotations

import re
from typing import Any

from agent_r.dataset.card.facts import ManifestFacts
from agent_r.dataset.card.markup import code, fence, inline, line, link, number, table

_KINDS = {
    "embedded": "a small Llama-style language model that `agent-r` runs itself",
    "openai": "a language model behind an OpenAI-compatible server, by the name that it has there",
    "scripted": "no language model: a script that plays well and errs at random, for trying out",
}
# What a shell takes as one word between double quotes.
_INSTALLED = re.compile(r"(git\+)?https://[A-Za-z0-9._~:/?#@%+=-]{1,200}")


def people(facts: ManifestFacts) -> str:
    """Who maintains the dataset, how to reach them, and which program made it."""
    tool = facts.table("tool")
    version = f" {inline(tool['version'])}" if tool.get("version") else ""
    address = f", {link(tool['address'])}" if tool.get("address") else ""
    lines = (
        f"**Maintained by:** {inline(facts.text('maintainer')) or 'nobody was named'}",
        f"**To reach them:** {_contact(facts) or 'no address was given'}",
        f"**Made with:** `agent-r`{version}{address}",
    )
    return f"## Who made it\n\n{_list(lines)}"


def _contact(facts: ManifestFacts) -> str:
    contact = facts.text("contact")
    return link(contact) if contact else ""


def generators(facts: ManifestFacts) -> str:
    """What wrote the rows: each model, and what is known of it."""
    known = {str(one.get("name")): one for one in facts.tables("generators")}
    names = list(dict.fromkeys([*known, *facts.actors]))
    if not names:
        return ""
    rows = [(code(name), _about(known.get(name, {}))) for name in names[:20]]
    more = f"{len(names) - 20} more are left out." if len(names) > 20 else ""
    parts = (
        "The actor wrote every reply and every judgement; each row names it in its column `actor`. "
        "No person labelled anything; what the column `proved` says comes from the world itself.",
        table(("actor", "what it is"), rows),
        more,
    )
    return "\n\n".join(part for part in parts if part)


def _about(generator: dict[str, Any]) -> str:
    kind = _KINDS.get(str(generator.get("kind")), "")
    size = generator.get("parameters")
    if kind and isinstance(size, int) and not isinstance(size, bool):
        kind += f", of {number(size)} parameters"
    about = inline(generator.get("about") or "", 400)
    if not kind and not about:
        return "*Its maker said nothing of it.*"
    refused = generator.get("refused")
    without = ", ".join(map(code, refused[:20])) if isinstance(refused, list) else ""
    without = f"Its server did not take {without}: it played without" if without else ""
    return ". ".join(part for part in (kind, without, about) if part)


def scripted(facts: ManifestFacts) -> bool:
    """Whether no language model had a part in it."""
    kinds = {str(one.get("kind")) for one in facts.tables("generators")}
    return kinds == {"scripted"}


def uses(facts: ManifestFacts) -> str:
    """What the rows are good for, and what they are not."""
    actor = code(facts.actors[0]) if len(facts.actors) == 1 else "the actors"
    world = code(facts.worlds[0]) if len(facts.worlds) == 1 else "these worlds"
    start = (
        f"Start with {actor}, or a model of its kind: the errors are its own, and other models "
        "make others. Then measure, explore again, and train on that."
    )
    if scripted(facts):
        start = "Try things out: a script made these rows, and there is little in them to learn."
    good = (
        "Fine-tune an agent to recover from its own errors (`sft`, `prompt_completion`), to "
        "take the better way at a fork (`preference`), or to judge steps (`critique`).",
        start,
        "Study search and self-correction: `trees` has every node with its value and its verdict.",
    )
    bad = (
        "**Not every message is to be trained.** The errors are there to be seen: train where "
        "`train` is true, and nowhere else.",
        f"Not a benchmark: a model that was trained on it has seen these tasks of {world}. Measure "
        "on its `test` split.",
        "Not a source of facts, manners or safety: the rules of these worlds are those of games, "
        "and no row shows when an agent should stop, ask or refuse.",
        "Not for an agent whose actions cannot be undone: here an error always has a way back.",
    )
    return "\n\n".join(
        ("## What it is for", _list(good), "**And what it is not for:**", _list(bad))
    )


def personal_data(facts: ManifestFacts) -> str:
    """Whether people occur in the rows, and what to do if so."""
    contact = _contact(facts)
    tell = f" Whoever finds some is asked to tell {contact}." if contact else ""
    return (
        "## Personal data\n\nIt was not asked for, collected or added. The texts are the worlds' "
        "own and what the actor wrote; names in them are the worlds', or invented by a model, "
        "which may repeat what it was once trained on. Nobody read all of it; `agent-r publish` "
        "scans every text for secrets, the names and paths of its machine, and personal data."
        f"{tell}"
    )


def getting_the_tool(facts: ManifestFacts) -> str:
    """How a stranger installs the program that checks a version."""
    address = line(facts.table("tool").get("address") or "", 400)
    if _INSTALLED.fullmatch(address):
        install = fence(f'pip install "{address}"', "console")
        return (
            f"The program is for Python 3.11; this is where its maker says that it is:\n\n{install}"
        )
    return (
        "The program is `agent-r`, for Python 3.11; where to get it was not said, and a package of "
        "that name elsewhere may be another."
    )


def _list(items: tuple[str, ...]) -> str:
    return "\n".join(f"- {item}" for item in items)
