"""Write a card's front matter, which the Hub and `datasets` read."""

from __future__ import annotations

import json
from typing import Any

import yaml

from agent_r.algorithm.schema import SCHEMAS, Type
from agent_r.dataset.card.facts import ManifestFacts
from agent_r.dataset.card.markup import line
from agent_r.dataset.manifest import place
from agent_r.dataset.shards import SPLITS
from agent_r.digests import sha256_of
from agent_r.licences import hub_id

_TAGS = "agent-r agents self-critique self-correction trajectories synthetic"
_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")


def front_matter(manifest: dict[str, Any]) -> str:
    """YAML that names the files of every config: without it the manifest would be read as data.

    It has no `splits`: with them `load_dataset(…, filters=…)` fails, because `datasets` then
    demands all rows back (NonMatchingSplitsSizesError), and without it finds them by itself.

    `datasets` keeps what it has loaded under a folder's last name, the patterns of its files and
    what is said of them here, and never looks at the files again: two datasets' folders `v1.1`
    would be one. So each config names the digest of all files, as its description. Its `version` is
    what a consumer can ask for when `datasets`, offline, has chosen among several itself.
    """
    facts = ManifestFacts(manifest)
    identity = _identity(facts)
    meta = {
        **licence(facts),
        "language": ["en"],
        "pretty_name": line(facts.text("dataset"), 80),
        "tags": _TAGS.split(),
        "task_categories": ["text-generation"],
        "size_categories": [size_category(sum(facts.rows.values()))],
        "annotations_creators": ["machine-generated"],
        "configs": [_files(name, facts) | identity for name in SCHEMAS],
        "dataset_info": [
            {
                "config_name": name,
                "features": [_feature(c, t) for c, (t, _) in columns.items()],
                **sizes(facts, name),
            }
            for name, columns in SCHEMAS.items()
        ],
    }
    dumped = yaml.safe_dump(meta, sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{dumped}---\n"


def licence(facts: ManifestFacts) -> dict[str, str]:
    """The one open licence of all worlds, or the Hub's `other`: then the card's table is read."""
    worlds = facts.tables("environments")
    names = {hub_id(str(world.get("licence", ""))) for world in worlds}
    if not worlds:
        return {"license": "unknown"}
    common = names.pop() if len(names) == 1 else None
    if common is None:
        return {"license": "other", "license_name": "licences-of-the-worlds"}
    return {"license": common}


def size_category(rows: int) -> str:
    """The Hub's name for so many rows.

    >>> size_category(999), size_category(1000), size_category(10**12)
    ('n<1K', '1K<n<10K', '1B<n<10B')
    """
    for power, name in enumerate(_SIZES):
        if rows < 10 ** (3 + power):
            return name
    return "1B<n<10B"


def _files(name: str, facts: ManifestFacts) -> dict[str, Any]:
    """A config's files by split; one without a row is not named, for it could not be loaded."""
    default = {"default": True} if name == "sft" else {}
    held = facts.numbers("splits", name)
    splits = [split for split in SPLITS if held.get(split) or split == SPLITS[0]]
    files = [{"split": split, "path": f"data/{name}/{split}-*.parquet"} for split in splits]
    return {"config_name": name, **default, "data_files": files}


def _identity(facts: ManifestFacts) -> dict[str, str]:
    """What no other version says: its number, and a digest of its files, whatever their sizes."""
    files = json.dumps(facts.table("files"), sort_keys=True)
    major, minor = place(facts.text("version"))
    version = {"version": f"{major}.{minor}.0"} if minor else {}
    return {"description": f"files {sha256_of(files, 16)}", **version}


def sizes(facts: ManifestFacts, config: str) -> dict[str, int]:
    """Bytes to download, and in memory; nothing for a version that did not count them."""
    shards = facts.table("shards")
    own = [facts.numbers("shards", name) for name in shards if name.startswith(f"data/{config}/")]
    if not own:
        return {}
    return {
        "download_size": sum(one.get("bytes", 0) for one in own),
        "dataset_size": sum(one.get("arrow_bytes", 0) for one in own),
    }


def _feature(name: str, kind: Type) -> dict[str, Any]:
    """A column in the Hub's own spelling of `datasets.Features`."""
    if isinstance(kind, list) and isinstance(kind[0], dict):
        return {"name": name, "list": [_feature(n, k) for n, k in kind[0].items()]}
    return (
        {"name": name, "list": kind[0]}
        if isinstance(kind, list)
        else {
            "name": name,
            "dtype": kind,
        }
    )
