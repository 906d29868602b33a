"""Fetch a published version into a folder: by its commit, checked, and whole or not at all."""

from __future__ import annotations

import fcntl
import glob
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from huggingface_hub import snapshot_download

from agent_r.dataset.card.page import render_card
from agent_r.dataset.manifest import Manifest, number_of, peek, place, read_manifest
from agent_r.dataset.writer import DatasetRef, versions
from agent_r.errors import DatasetError, HubRejected, StoreError, VersionConflict
from agent_r.files import keep, link, sha256, write_bytes
from agent_r.hub.backoff import ATTEMPTS, patiently
from agent_r.hub.repository import KIND, Hub, Refs, spoken


@dataclass(frozen=True, slots=True)
class Address:
    """A version on the Hub, as a person writes it: `owner/name@v1.3`; `owner/name`: the newest."""

    repo: str
    tag: str

    @classmethod
    def of(cls, text: str) -> Address | None:
        """None where it is no such address (a folder, for one)."""
        match = re.fullmatch(r"([\w.-]+/[\w.-]+)(?:@(v\d+\.\d+))?", text)
        return cls(match[1], match[2] or "") if match else None


def pull(
    hub: Hub,
    tag: str,
    out: Path,
    *,
    attempts: int = 4,
    sleep: Callable[[float], None] = time.sleep,
) -> DatasetRef:
    """Download a version into `out/<version>`; a download that broke off goes on where it was.

    Args:
        tag: `v<schema>.<number>`; empty for the newest.
        attempts: tries, where the Hub has trouble that may pass.

    Raises:
        HubError: the Hub has no such version, or does not answer.
        DatasetError: what came is not what its manifest says.
        VersionConflict: another version of that name lies there.
    """
    what = f"pull {hub.repo} {tag}".strip()
    return patiently(what, partial(_pull, hub, tag, out), attempts=attempts, sleep=sleep)


def _pull(hub: Hub, tag: str, out: Path) -> DatasetRef:
    refs = hub.refs()
    if refs is None:
        raise HubRejected(f"{hub.url} is not there, or not to be seen with this token")
    tag = tag or newest_tag(refs)
    if tag not in refs.tags:
        known = ", ".join(sorted(refs.tags, key=place)[-5:]) or "none"
        raise HubRejected(f"{hub.url} has no version {tag or 'of ours'} (it has {known})")
    commit = refs.tags[tag]
    manifest = hub.manifest(commit)
    if manifest is None or manifest["version"] != tag:
        raise DatasetError(f"{hub.url} at {tag} has no manifest that says so")
    folder, half = out / tag, out / f".{tag}-{commit[:12]}.partial"
    if not folder.exists():
        with _alone(half):
            if folder.exists():  # a twin was faster
                shutil.rmtree(half, ignore_errors=True)
            else:
                _fill(hub, commit, manifest, half)
                keep(half, folder)
    return existing(folder, manifest)


@contextmanager
def _alone(half: Path) -> Iterator[None]:
    """Wait until nobody else fills this folder; the lock on it ends with its process."""
    try:
        half.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(half, os.O_RDONLY)
    except OSError as error:
        raise StoreError(f"cannot write {half}: {error.strerror or error}") from error
    try:
        with suppress(OSError):  # some network file systems have no such locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _fill(hub: Hub, commit: str, manifest: Manifest, folder: Path) -> None:
    """All of a version's files, checked."""
    borrow(manifest, folder.parent, folder)
    download(hub, commit, manifest, folder)
    read_manifest(folder)
    # The card is made from the checked manifest: it alone has no digest to be checked by.
    write_bytes(folder / "README.md", render_card(manifest, repo=hub.repo).encode())
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the client's own notes


def borrow(manifest: Manifest, out: Path, folder: Path) -> None:
    """Link what another version in `out` has already: later versions hold files of earlier ones."""
    held: dict[str, Path] = {}
    for version in versions(out):
        with suppress(DatasetError):  # a damaged one lends nothing
            held |= {digest: version / name for name, digest in peek(version)["files"].items()}
    for name, digest in manifest["files"].items():
        there = held.get(digest)
        if there and there.is_file() and not (folder / name).exists() and sha256(there) == digest:
            link(there, folder / name)


def download(hub: Hub, commit: str, manifest: Manifest, folder: Path) -> None:
    """The files that the manifest names, and no others; those that are there whole are left out."""
    token = hub.token.get_secret_value()
    names = [*manifest["files"], *manifest.get("figures", {}), "manifest.json"]
    try:
        with spoken(hub):
            snapshot_download(
                hub.repo,
                repo_type=KIND,
                revision=commit,
                local_dir=folder,
                endpoint=hub.endpoint or None,
                token=token or False,
                allow_patterns=[glob.escape(name) for name in names],
            )
    except OSError as error:
        raise StoreError(f"cannot write {folder}: {error.strerror or error}") from error


def existing(folder: Path, published: Manifest) -> DatasetRef:
    """A folder of that name: the same rows, or a conflict."""
    manifest = read_manifest(folder)
    if manifest["content_digest"] != published["content_digest"]:
        raise VersionConflict(f"{folder} has other rows than the Hub's {folder.name}")
    return DatasetRef(str(folder), folder.name, manifest["content_digest"], manifest["rows"])


def newest_tag(refs: Refs) -> str:
    """The highest number; "" where nothing was published."""
    return max((tag for tag in refs.tags if number_of(tag)), key=number_of, default="")


def newest_published(
    hub: Hub, *, attempts: int = ATTEMPTS, sleep: Callable[[float], None] = time.sleep
) -> Manifest | None:
    """The manifest of the newest version on the Hub, tagged or not: numbering goes on from it."""

    def look() -> Manifest | None:
        refs = hub.refs()
        if refs is None:
            return None
        tag = newest_tag(refs)
        commits = [refs.head, *([refs.tags[tag]] if tag else [])]
        there = [manifest for commit in commits if (manifest := hub.manifest(commit))]
        return max(there, key=lambda manifest: place(manifest["version"]), default=None)

    return patiently(f"look at {hub.repo}", look, attempts=attempts, sleep=sleep)
