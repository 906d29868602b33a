"""Publish a version: one commit, then a tag that never moves; to be run again until it is done.

Whatever happens in between (a lost answer, a kill, somebody else's commit), a new attempt begins
by looking at what the Hub has: a tag with our rows ends it, a commit with our rows is tagged, and
only where there is neither a commit is made, on exactly the head that was looked at.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict

from agent_r.dataset.manifest import Manifest, place, to_train
from agent_r.errors import HubError, HubRejected, HubUnavailable, NotOnHub, VersionConflict
from agent_r.hub.backoff import ATTEMPTS, patiently
from agent_r.hub.changes import commit_operations, is_read, same_file
from agent_r.hub.known_values import Private
from agent_r.hub.load_check import load_back
from agent_r.hub.repository import KIND, Hub, Refs, spoken
from agent_r.hub.upload import Parcel, pack

Load: TypeAlias = Callable[[Hub, str, dict[str, int]], None]

_log = logging.getLogger(__name__)


class Published(BaseModel):
    """A version on the Hub: `commit` is what `tag` points to, for good."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    repo: str
    tag: str
    commit: str
    digest: str
    iteration: int  # the newest that it has rows of
    url: str

    @property
    def address(self) -> str:
        """As `agent-r pull` and `agent-r train` take it."""
        return f"{self.repo}@{self.tag}"


def publish(
    version: Path,
    hub: Hub,
    *,
    private: bool = True,
    accept_licence: bool = False,
    known: Private = Private(),
    allow: Collection[str] = (),
    attempts: int = ATTEMPTS,
    load: Load = load_back,
    sleep: Callable[[float], None] = time.sleep,
    rng: random.Random | None = None,
) -> Published:
    """Bring a version to the Hub, once: running it again finds it there.

    Args:
        private: make a private repository, or find one; a public one is refused.
        accept_licence: publish although a world's licence is not known to allow it.
        known: secrets and names of this machine that must not go out.
        allow: findings that may go out, by name; the manifest on the Hub names those that do.
        load: the last check before the tag: hub, commit, and each config's rows to train on.
        attempts: tries of the whole.

    Raises:
        DatasetError: the version is damaged, or holds what must not go out.
        VersionConflict: the Hub has other rows under that name.
        HubError: it cannot be done, or not now.
    """
    parcel = pack(
        version,
        hub.repo,
        accept_licence=accept_licence,
        known=known,
        allow=allow,
        private=private,
    )
    size = f"{len(parcel.files)} files, {parcel.size / 1e6:.1f} MB"
    _log.info("publish %s to %s: %s", parcel.tag, hub.repo, size)
    return patiently(
        f"publish {parcel.tag}",
        lambda: attempt(parcel, hub, private=private, load=load),
        attempts=attempts,
        sleep=sleep,
        rng=rng,
    )


def attempt(parcel: Parcel, hub: Hub, *, private: bool, load: Load) -> Published:
    """One attempt: look, commit if nothing was committed, check what is there, tag it."""
    refs = hub.refs()
    if refs is None:
        hub.create(private=private)
        refs = hub.refs()
    if refs is None or not refs.head:
        raise HubUnavailable(f"{hub.url} was made, and cannot be seen yet")
    commit = refs.tags.get(parcel.tag)
    if commit is not None:
        require_unmoved(parcel, hub, commit)
    else:
        if private:
            hub.require_private()
        head = hub.manifest(refs.head)
        commit = find_commit(parcel, hub, refs, head) or make_commit(parcel, hub, refs, head)
        finish(parcel, hub, commit, load)
    return Published(
        dataset=parcel.manifest["dataset"],
        repo=hub.repo,
        tag=parcel.tag,
        commit=commit,
        digest=parcel.digest,
        iteration=max(parcel.manifest.get("iterations", []), default=1),
        url=f"{hub.url}/tree/{parcel.tag}",
    )


def same_rows(parcel: Parcel, there: Manifest | None, where: str) -> Manifest:
    """The manifest of what is there, if those are our rows: a published version never changes.

    Raises:
        VersionConflict: they are not.
    """
    if there is None or there["content_digest"] != parcel.digest:
        found = there["content_digest"][:16] if there else "no manifest of ours"
        raise VersionConflict(
            f"{where} has other rows ({found}) than the version at hand ({parcel.digest[:16]}): "
            "a published version never changes; build again, with hub.repo set, for the next number"
        )
    return there


def require_unmoved(parcel: Parcel, hub: Hub, commit: str) -> None:
    """The tag points to the commit that we made, and that one holds what we sent.

    Where the history was squashed our commit is gone; what the tag holds is looked at all the same.

    Raises:
        VersionConflict: somebody moved it.
    """
    same_rows(parcel, hub.manifest(commit), f"{hub.repo} at {parcel.tag}")
    ours = committed(parcel, hub)
    if ours is not None and ours != commit:
        raise VersionConflict(
            f"{hub.repo}: the tag {parcel.tag} was moved, from our commit {ours[:12]} to "
            f"{commit[:12]}: whoever loads it gets something else than was published; put it back "
            "(delete the tag, and publish again), or build again for the next number"
        )
    try:
        check(parcel, hub, commit)
    except HubRejected as error:
        raise VersionConflict(f"the tag {parcel.tag} holds something else: {error}") from None


def committed(parcel: Parcel, hub: Hub) -> str | None:
    """Our commit on `main`: the first one of that title, for a later one is a forgery."""
    found = [commit for commit, title in hub.commits() if title == parcel.title]
    return found[-1] if found else None


def find_commit(parcel: Parcel, hub: Hub, refs: Refs, head: Manifest | None) -> str | None:
    """A commit of an earlier attempt, or of a twin elsewhere, that was not tagged yet.

    Raises:
        VersionConflict: the head is another version of that name, or a later one.
        HubError: the repository holds something else.
    """
    if head is None:
        foreign = [p for p in hub.files(refs.head) if p not in (".gitattributes", "README.md")]
        if foreign:
            raise HubError(
                f"{hub.url} holds '{foreign[0]}' and no dataset of ours: name another repository"
            )
        return None
    commit = committed(parcel, hub)  # never the head for its own sake: others may have added to it
    if commit is not None:
        same_rows(parcel, hub.manifest(commit), f"commit {commit[:12]} of {hub.repo}")
        return commit
    if head["version"] == parcel.tag:
        same_rows(parcel, head, f"the head of {hub.repo}")
    if place(head["version"]) >= place(parcel.tag):
        raise VersionConflict(
            f"{hub.repo} is at {head['version']} already, and {parcel.tag} would replace it: "
            "build again, with hub.repo set, for the next number"
        )
    return None


def make_commit(parcel: Parcel, hub: Hub, refs: Refs, head: Manifest | None) -> str:
    """All files in one commit on the head that was looked at; what is ours and old goes."""
    operations = commit_operations(parcel, hub, refs, head)
    with spoken(hub):
        commit = hub.api.create_commit(
            hub.repo,
            operations,
            commit_message=parcel.title,
            repo_type=KIND,
            parent_commit=refs.head,
        )
    return str(commit.oid)


def finish(parcel: Parcel, hub: Hub, commit: str, load: Load) -> None:
    """Check a commit, load it as a stranger would, and name it: the commit, never a branch.

    Raises:
        HubError: it is not what it should be; then it gets no tag.
    """
    try:
        rows = check(parcel, hub, commit)
        load(hub, commit, rows)
        with spoken(hub):  # a tag that is there by now is a 409: look again
            hub.api.create_tag(
                hub.repo, tag=parcel.tag, tag_message=parcel.title, revision=commit, repo_type=KIND
            )
        refs = hub.refs()
        if refs is None or refs.tags.get(parcel.tag) != commit:
            raise HubUnavailable(f"{hub.url} took the tag {parcel.tag}, and does not show it")
    except NotOnHub as error:  # it was there a moment ago
        raise HubUnavailable(str(error)) from None


def check(parcel: Parcel, hub: Hub, commit: str) -> dict[str, int]:
    """The commit holds our rows, the files that its own manifest names, and no others to be read.

    A twin's commit may differ from ours in what it says of itself; its rows are the same.

    Raises:
        HubError: a file is missing, another, or too many.
    """
    manifest = same_rows(parcel, hub.manifest(commit), f"commit {commit[:12]} of {hub.repo}")
    there = hub.files(commit)
    named = manifest["files"] | manifest.get("figures", {})
    for path, digest in named.items():
        if path not in there or not same_file(there[path], digest, parcel.files.get(path)):
            raise HubRejected(f"{hub.url} at {commit[:12]}: {path} is not the file that was sent")
    extra = [path for path in there if is_read(path) and path not in named]
    if extra or "README.md" not in there:
        wrong = f"holds {extra[0]}, which nobody sent" if extra else "has no README.md"
        raise HubRejected(f"{hub.url} at {commit[:12]} {wrong}")
    return to_train(manifest)
