"""Gather the files of one commit, and refuse those with private data."""

from __future__ import annotations

import itertools
import json
import logging
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from agent_r.dataset.card.page import render_card
from agent_r.dataset.card.region import has_region, merged
from agent_r.dataset.manifest import Manifest, number_of, read_manifest
from agent_r.errors import DatasetError
from agent_r.hub.known_values import Private
from agent_r.hub.leaks import Leak, refuse
from agent_r.hub.secret_rules import Detector
from agent_r.hub.secret_scan import LIMIT, Allowing, scan, scan_text
from agent_r.licences import hub_id

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parcel:
    """All that goes into one commit: path in the repository → a file, or bytes."""

    manifest: Manifest
    files: dict[str, Path | bytes]

    @property
    def tag(self) -> str:
        return str(self.manifest["version"])

    @property
    def card(self) -> str:
        """The README, before what is written in the repository's own is added."""
        content = self.files["README.md"]
        return (content if isinstance(content, bytes) else content.read_bytes()).decode()

    @property
    def digest(self) -> str:
        return str(self.manifest["content_digest"])

    @property
    def title(self) -> str:
        """The commit's message: by it a commit that was never tagged is found again."""
        return f"{self.tag} {self.digest[:16]}"

    @property
    def size(self) -> int:
        """Bytes."""
        sources = self.files.values()
        return sum(len(s) if isinstance(s, bytes) else s.stat().st_size for s in sources)


def pack(
    version: Path,
    repo: str,
    *,
    accept_licence: bool,
    known: Private,
    allow: Collection[str] = (),
    private: bool = True,
) -> Parcel:
    """Read a version, and refuse what must not go out.

    What `allow` names may, and the manifest that goes out says so.

    Raises:
        DatasetError: damaged, not licensed for it, or with something private in it.
    """
    manifest = read_manifest(version)
    if not number_of(manifest["version"]):
        raise DatasetError(f"{version}: '{manifest['version']}' is no version to publish")
    if not manifest["rows"].get("sft"):
        raise DatasetError(f"{version} has no sft row: there is nothing to publish")
    if not accept_licence:
        require_licences(manifest)
    card = merged(render_card(manifest, repo=repo), *written_here(version, manifest))
    detector = Allowing(Detector(known), frozenset(allow)).reaching(
        str(manifest.get("contact", ""))
    )
    found = itertools.chain(scan(version, detector), scan_text(card, detector, where="README.md"))
    require_clean(found, private=private)
    names = [*manifest["files"], *manifest.get("figures", {}), "manifest.json"]
    files: dict[str, Path | bytes] = {name: version / name for name in names}
    if detector.used:
        outgoing = manifest | {"allowed": sorted(detector.used)}
        files["manifest.json"] = f"{json.dumps(outgoing, indent=2, ensure_ascii=False)}\n".encode()
    return Parcel(manifest, files | {"README.md": card.encode()})


def require_clean(found: Iterable[Leak], *, private: bool) -> None:
    """Secrets never go out, personal data not to where all can read it.

    Raises:
        DatasetError: something of the kind was found.
    """
    refused: list[Leak] = []
    personal: list[Leak] = []
    counts: Counter[str] = Counter()
    for finding in found:
        if finding.level == "secret" or not private:
            refused.append(finding)
        else:
            personal = personal or [finding]
            counts[finding.rule] += 1
        if len(refused) >= LIMIT:
            break
    refuse(refused, limit=LIMIT)
    if personal:
        listed = ", ".join(f"{rule} {n}" for rule, n in counts.most_common())
        _log.warning(
            "there may be personal data in this version (%s), which a private repository may hold "
            "and a public one may not; the first: %s",
            listed,
            personal[0],
        )


def written_here(version: Path, manifest: Manifest) -> list[str]:
    """The folder's README, if a person had a hand in it: before there was a region, ours began so.

    Raises:
        DatasetError: it cannot be read.
    """
    path = version / "README.md"
    try:
        readme = path.read_text(encoding="utf-8") if path.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error
    began = f"\n# {manifest['dataset']} {manifest['version']}\n"
    return [readme] if has_region(readme) or (readme and began not in readme) else []


def require_licences(manifest: Manifest) -> None:
    """Every world's licence must be known to let its texts be passed on.

    Raises:
        DatasetError: one is not, or no world is named at all.
    """
    knowingly = "--accept-licence (hub.accept_licence) if you know that it may be published"
    worlds = manifest.get("environments", [])
    if not worlds:
        raise DatasetError(f"the manifest names no world, and so no licence: {knowingly}")
    for world in worlds:
        if hub_id(world["licence"]) is None:
            raise DatasetError(
                f"the licence of {world['name']} ({world['licence']}) is not known to allow "
                f"passing its texts on: {knowingly}"
            )
