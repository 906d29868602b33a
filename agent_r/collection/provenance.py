"""Record which settings made the stored trees; log changed ones, refuse another format."""

from __future__ import annotations

import json
import logging
from typing import Any

from agent_r.algorithm.schema import SCHEMA_VERSION
from agent_r.collection.identity import unnamed
from agent_r.collection.object_store import ObjectStore
from agent_r.collection.tree_store import TreeStore
from agent_r.config import dotted
from agent_r.errors import StoreError

FORMAT = 2  # of stored trees and revisions; SCHEMA_VERSION is that of a dataset's rows
MOST_SAID = 4  # settings that differ

_log = logging.getLogger("agent_r.progress")


async def record(
    object_store: ObjectStore, tree_store: TreeStore, *, actor: str, iteration: int
) -> None:
    """Record the settings of this tree store, and log how they differ from the stores beside it.

    Raises:
        StoreError: trees of another format lie there; they would not be found again.
    """
    mine = describe(tree_store, actor=actor, iteration=iteration)
    name = f"forest-{tree_store.key}.json"
    others = [other for other in await object_store.names() if other.startswith("forest-")]
    for other in others:
        stored = await _read(object_store, other)
        if stored.get("format") != [FORMAT, SCHEMA_VERSION]:
            raise StoreError(
                f"{object_store} holds trees of another agent-r (format {stored.get('format')}, "
                f"this is {[FORMAT, SCHEMA_VERSION]}): go on with that one, or take another "
                "dataset.name"
            )
        if name not in others and (changed := _changed(stored, mine)):
            _log.info("other trees lie in %s and are left as they are: %s", object_store, changed)
    if name not in others:
        content = json.dumps(mine, indent=2, ensure_ascii=False) + "\n"
        await object_store.write(name, content.encode())


def describe(tree_store: TreeStore, *, actor: str, iteration: int) -> dict[str, Any]:
    """All settings that a tree store's folders are named by."""
    info, config = tree_store.world, tree_store.config
    return {
        "format": [FORMAT, SCHEMA_VERSION],
        "actor": actor,
        "iteration": iteration,
        "seed": config.seed,
        **unnamed(config),
        "world": f"{info.name} {info.version}",
        "instruction": info.instruction,
        "search": config.search.model_dump(mode="json"),
        "critique": config.critique.model_dump(mode="json"),
        "revision": tree_store.revision.model_dump(mode="json"),
    }


def _changed(stored: dict[str, Any], mine: dict[str, Any]) -> str:
    """Which settings differ; "" where it is another iteration, actor or world, as it should be."""
    if any(stored.get(key) != mine[key] for key in ("iteration", "actor")):
        return ""
    if str(stored.get("world")).split(" ")[0] != mine["world"].split(" ")[0]:
        return ""
    before, now = dotted(stored), dotted(mine)
    changes = [
        f"{key} was {before[key]}, is {now[key]}"
        for key in before
        if key in now and before[key] != now[key] and key != "instruction"  # world's number tells
    ]
    more = f" (and {len(changes) - MOST_SAID} more)" if len(changes) > MOST_SAID else ""
    return ", ".join(changes[:MOST_SAID]) + more


async def _read(object_store: ObjectStore, name: str) -> dict[str, Any]:
    content = await object_store.read(name)
    try:
        stored = json.loads(content or b"{}")
    except ValueError:
        stored = {}
    return stored if isinstance(stored, dict) else {}
