"""A million rows like real ones, one after the other, from a seed.

A scripted actor explores a few dozen trees for real. Each of them is then told again and again with
other materials, counts and ids, drawn by seed and the same all over the tree: a renamed tree is as
consistent as the first one, and its rows stand together, as a build writes them.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from agent_r.algorithm.rows import Row
from agent_r.algorithm.schema import SCHEMAS
from agent_r.collection.plan import tasks_of_iteration
from agent_r.collection.tree_store import TreeStore
from agent_r.dataset.build import build
from agent_r.dataset.shards import read_rows
from agent_r.run_worlds import Worlds
from agent_r.settings import Config, ScriptedEndpoint
from env_adapters import world_of
from env_adapters.textcraft.scripted import ScriptedCrafter

TREES = 60
SETTINGS = {
    "trees": TREES,
    "endpoint": {"kind": "scripted", "error_rate": 0.5},
    "search": {"simulations": 16, "candidates": 3, "max_depth": 12},
}
SYLLABLES = (
    "ba dor el fin gar hol im jas kel lum mar nor os pel quin ras sil tor ul ven wil yar zin"
)
VOCABULARY = 3000
MATERIAL = re.compile(r"(?:craft|get) [1-9] ([a-z]+) [a-z]")  # the first word of an item's name
CONFIGS = tuple(SCHEMAS)
Named = tuple[str, Row]
Group = list[tuple[str, str]]  # text as it is, and what follows it, to be renamed


def make_trees(folder: Path) -> Path:
    """A dataset version made for real."""
    config = Config.model_validate(SETTINGS)
    assert isinstance(config.endpoint, ScriptedEndpoint)
    worlds = Worlds.of(config.env, world_of)
    actor = ScriptedCrafter(config.endpoint, config.env)
    tree_store = TreeStore.of(
        folder / "work", worlds.environment, config, actor=actor.name, iteration=1
    )
    tasks = tasks_of_iteration(worlds, config, 1)

    async def tree_revisions() -> None:
        for task in tasks:
            await tree_store.explore(actor, task)
            await tree_store.revise(actor, task)

    asyncio.run(tree_revisions())
    return Path(
        build(tree_store, tasks, folder / "demo", actor=actor.name, iteration=1).dataset.path
    )


def provenance(trees: Path) -> dict[str, Any]:
    """What the small version's manifest says of its making."""
    manifest = json.loads((trees / "manifest.json").read_text())
    names = ("environments", "actors", "iterations", "prompt_digest", "config", "counts", "drops")
    return {name: manifest[name] for name in names if name in manifest}


def rows(trees: Path, count: int, *, seed: int) -> Iterator[Named]:
    """`count` rows of all configs; one tree's are in memory."""
    return itertools.islice(_endless(trees, seed), count)


def _endless(trees: Path, seed: int) -> Iterator[Named]:
    rng = random.Random(seed)
    syllables = SYLLABLES.split()
    words = ["".join(rng.choices(syllables, k=rng.choice((2, 2, 3)))) for _ in range(VOCABULARY)]
    groups = _groups(trees)
    for number in itertools.count():
        own = random.Random(f"{seed} {number}")  # a tree does not hang on those before it
        text = _renamed(groups[number % len(groups)], words, own, f"{seed} {number}")
        yield from map(tuple, json.loads(text))


def _groups(trees: Path) -> list[Group]:
    """Each tree's rows as one JSON text, cut where a name, a count or an id is."""
    by_tree: dict[str, list[Named]] = {}
    for config in SCHEMAS:
        for row in read_rows(trees, config):
            by_tree.setdefault(row.get("tree") or row["id"], []).append((config, row))
    manifest = json.loads((trees / "manifest.json").read_text())
    texts = [json.dumps(group) for group in by_tree.values()]
    materials = {found for text in texts for found in MATERIAL.findall(text)}
    name = "|".join(sorted(materials))
    digest = rf"(?<!\.)(?!{manifest['prompt_digest']})[0-9a-f]{{16}}"
    slot = re.compile(rf"\b(?:{name})\b|\b{digest}\b|(?<=[a-z] )[1-9](?= [a-z])")
    return [_cut(text, slot) for text in texts]


def _cut(text: str, slot: re.Pattern[str]) -> Group:
    group, end = [], 0
    for match in slot.finditer(text):
        group.append((text[end : match.start()], match[0]))
        end = match.end()
    return [*group, (text[end:], "")]


def _renamed(group: Group, words: list[str], rng: random.Random, salt: str) -> str:
    known = {str(n): str(m) for n, m in zip(range(1, 10), rng.sample(range(1, 10), 9), strict=True)}
    known[""] = ""
    parts = []
    for before, name in group:
        if name not in known:
            known[name] = _digest(name, salt) if len(name) == 16 else rng.choice(words)
        parts += (before, known[name])
    return "".join(parts)


def _digest(name: str, salt: str) -> str:
    return hashlib.blake2b(f"{name} {salt}".encode(), digest_size=8).hexdigest()


def changed(
    named: Iterable[Named], kind: str, places: int, *, count: int, seed: int
) -> Iterator[Named]:
    """The same rows but for some scattered ones, left out ("drop") or with a word more ("edit")."""
    chosen = set(random.Random(f"change {seed}").sample(range(count), places))
    for number, (config, row) in enumerate(named):
        if number not in chosen:
            yield config, row
        elif kind == "edit":
            yield config, edited(row)


def edited(row: Row) -> Row:
    """A row with a word more in it, and therefore with another id."""
    stem, _, digest = row["id"].partition("-")
    column = next(name for name in ("messages", "completion", "chosen", "nodes") if name in row)
    text = "response" if column == "nodes" else "content"
    *before, last = row[column]
    other = {**last, text: f"{last[text]} Indeed."}
    return {**row, "id": f"{stem}-{_digest(digest, 'edited')}", column: [*before, other]}
