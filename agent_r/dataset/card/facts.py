"""Read a version's manifest for its card; whatever is missing is an empty value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agent_r.algorithm.metrics import Rate, wilson


@dataclass(frozen=True, slots=True)
class ManifestFacts:
    """A manifest, old, hand-made or whole; every property has an empty value where it is silent."""

    manifest: dict[str, Any]

    def table(self, *path: str) -> dict[str, Any]:
        """The table at a path of keys; an empty one where there is none."""
        found: Any = self.manifest
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}

    def items(self, key: str) -> list[Any]:
        """The list at a key; an empty one where there is none."""
        found = self.manifest.get(key)
        return list(found) if isinstance(found, list | tuple) else []

    def tables(self, key: str) -> list[dict[str, Any]]:
        return [item for item in self.items(key) if isinstance(item, dict)]

    def text(self, key: str) -> str:
        found = self.manifest.get(key)
        return "" if found is None else str(found)

    def numbers(self, *path: str) -> dict[str, int]:
        """The whole numbers of a table."""
        return whole(self.table(*path))

    def counts(self, name: str) -> dict[str, int]:
        """A distribution of the statistics: `kind`, `env`, `verified`, …"""
        return self.numbers("statistics", "counts", name)

    def crossed(self, name: str) -> Iterator[tuple[str, dict[str, int]]]:
        """A crossed distribution of the statistics, one group at a time."""
        for key in self.table("statistics", "crossed", name):
            yield key, self.numbers("statistics", "crossed", name, key)

    def histogram(self, name: str) -> dict[float, int]:
        """A histogram of the statistics, by the number that its keys spell."""
        found = self.numbers("statistics", "histograms", name)
        return {float(key): n for key, n in found.items() if _is_number(key)}

    @property
    def rows(self) -> dict[str, int]:
        return self.numbers("rows")

    @property
    def revisions(self) -> int:
        return self.counts("kind").get("revision", self.numbers("counts").get("revisions", 0))

    @property
    def good(self) -> int:
        return self.counts("kind").get("good", self.numbers("counts").get("good", 0))

    @property
    def interleaved(self) -> int:
        return self.counts("kind").get("interleaved", 0)

    @property
    def executed(self) -> bool | None:
        """Whether all revisions were executed again; None where nobody says."""
        asked = self.table("config", "revision").get("verify")
        seen = self.counts("verified")
        if asked is False or seen.get("false") or seen.get("unknown"):
            return False
        return True if asked or seen else None

    @property
    def assumed(self) -> str:
        """How many revisions were not executed, of how many; nothing where it is not some of them.

        >>> ManifestFacts({"statistics": {"counts": {"verified": {"true": 1, "false": 2}}}}).assumed
        '2 of 3'
        """
        seen = self.counts("verified")
        total = sum(seen.values())
        missing = total - seen.get("true", 0)
        return f"{missing:,} of {total:,}" if 0 < missing < total else ""

    @property
    def agreement(self) -> Rate:
        """Share of revisions whose error the tree's value confirms, of those where it can say."""
        agrees = self.counts("agrees_with_value")
        known = agrees.get("true", 0) + agrees.get("false", 0)
        return wilson(agrees.get("true", 0), known)

    @property
    def worlds(self) -> list[str]:
        named = [str(world.get("name")) for world in self.tables("environments")]
        return list(dict.fromkeys(named)) or list(self.counts("env"))

    @property
    def actors(self) -> list[str]:
        return [str(actor) for actor in self.items("actors")] or list(self.counts("actor"))


def whole(table: dict[str, Any]) -> dict[str, int]:
    """The entries that are whole numbers.

    >>> whole({"trees": 3, "verified": True, "cost": "?"})
    {'trees': 3}
    """
    return {str(k): v for k, v in table.items() if isinstance(v, int) and not isinstance(v, bool)}


def _is_number(key: str) -> bool:
    try:
        return abs(float(key)) < float("inf")
    except ValueError:
        return False
