"""What a commit changes in a repository: our own files, and a card around what people wrote."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, RepoFile

from agent_r.algorithm.schema import SCHEMAS
from agent_r.dataset.card.region import has_region, merged
from agent_r.dataset.manifest import Manifest
from agent_r.digests import sha256_of
from agent_r.errors import HubRejected
from agent_r.hub.repository import Hub, Refs
from agent_r.hub.upload import Parcel

CARD = "README.md"

_log = logging.getLogger(__name__)


def commit_operations(
    parcel: Parcel, hub: Hub, refs: Refs, head: Manifest | None
) -> list[CommitOperationAdd | CommitOperationDelete]:
    """Fresh operations each time, since the client marks those that it has sent.

    Ours and old are the files that the head's own manifest names; all others stay.

    Raises:
        HubRejected: a file that is not ours would be overwritten, or read as rows of ours.
    """
    there = hub.files(refs.head)
    before: dict[str, str] = {**head["files"], **head.get("figures", {})} if head else {}
    require_no_strangers(parcel, hub, there, before)
    tagged = refs.tags.get(head["version"]) if head else None
    left = hub.files(tagged) if tagged else {}
    changed = {path for path in left if path in there and there[path].blob_id != left[path].blob_id}
    for path in sorted(changed & before.keys()):
        _log.warning(
            "%s: somebody changed %s since the last version: this one replaces it, and the "
            "repository's history keeps it",
            hub.url,
            path,
        )
    card = card_for(parcel, hub, refs, there, untouched=CARD in left and CARD not in changed)
    files = parcel.files | {CARD: card}
    gone = sorted(path for path in before if path in there and path not in files)
    return [
        *(CommitOperationAdd(path, source) for path, source in sorted(files.items())),
        *(CommitOperationDelete(path) for path in gone),
    ]


def require_no_strangers(
    parcel: Parcel, hub: Hub, there: Mapping[str, RepoFile], before: Mapping[str, str]
) -> None:
    """Somebody's file is never removed: where it is in the way, a person decides.

    Raises:
        HubRejected: one is.
    """
    ours = {*before, CARD, "manifest.json"}
    for path in sorted(set(there) - ours):
        if path in parcel.files or is_read(path):
            raise HubRejected(
                f"{hub.url} holds {path}, which is not ours, and would be "
                f"{'overwritten' if path in parcel.files else 'read as rows of this version'}: "
                "remove or rename it there, and publish again"
            )


def is_read(path: str) -> bool:
    """Whether the card's configs name such a file: whoever loads them reads it."""
    return path.startswith(tuple(f"data/{name}/" for name in SCHEMAS)) and path.endswith(".parquet")


def card_for(
    parcel: Parcel, hub: Hub, refs: Refs, there: Mapping[str, RepoFile], *, untouched: bool
) -> bytes:
    """Our card around what somebody wrote into the repository's README.

    One without a region is ours where it is `untouched` since we left it: cards had none once.
    """
    if CARD not in there:
        return parcel.card.encode()
    theirs = (hub.content(refs.head, CARD) or b"").decode("utf-8", "replace")
    if untouched and not has_region(theirs):
        return parcel.card.encode()
    return merged(parcel.card, theirs).encode()


def same_file(there: RepoFile, digest: str, sent: Path | bytes | None) -> bool:
    """By SHA-256; a small file that the Hub keeps in git itself has git's digest only."""
    if there.lfs is not None:
        return bool(there.lfs.sha256 == digest)
    content = sent.read_bytes() if isinstance(sent, Path) else sent or b""
    blob = b"blob %d\0" % len(content) + content
    same = sha256_of(content) == digest
    return same and there.blob_id == hashlib.sha1(blob, usedforsecurity=False).hexdigest()
