"""Audit the rows of a version that is on the disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_r.dataset.audit.auditor import AUDITED, Auditor, WorldKey
from agent_r.dataset.audit.coverage import Threshold
from agent_r.dataset.manifest import Manifest, read_manifest
from agent_r.dataset.shards import read_rows
from agent_r.environment import World
from agent_r.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found, and what a person should know beside it."""

    value: dict[str, Any]
    faults: list[str]  # rows that the world or its expert broke at
    unclosed: Counter[str]  # closings that failed, by world


async def audit_version(version: Path, world_of: Callable[[dict[str, Any]], World]) -> Audit:
    """Compare a version's rows with its worlds' experts.

    `world_of` makes a world from its entry in the manifest.

    Raises:
        DatasetError: the version's files are not what its manifest says.
        ConfigError: a world is not to be had here, or none has an expert.
    """
    manifest = read_manifest(version)
    worlds: dict[WorldKey, World] = {}
    auditor = Auditor(worlds, Threshold.of(_settings(manifest)))
    try:
        for entry in manifest.get("environments", []):
            worlds[entry["name"], entry["version"]] = world_of(entry)
        if not any(world.expert for world in worlds.values()):
            named = ", ".join(name for name, _ in worlds)
            raise ConfigError(f"{version}: no world has an expert to compare with ({named})")
        for config in AUDITED:
            for row in read_rows(version, config):
                await auditor.add(config, row)
    finally:
        await auditor.aclose()
    return Audit(auditor.value(), auditor.faults, auditor.unclosed)


def _settings(manifest: Manifest) -> dict[str, Any]:
    """A version's own; a merged one has those of its sources, of which the first count."""
    known = [manifest, *manifest.get("sources", [])]
    return next((one["config"] for one in known if one.get("config")), {})
