"""What a Hub keeps: repositories, their commits and tags, and files named by their content."""

from __future__ import annotations

import hashlib
import itertools
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# The Hub writes this file into every new repository: a publisher that deletes what it does not
# know, or that takes the first commit for its own, meets it here too.
GITATTRIBUTES = b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"


class RefusalError(Exception):
    """The Hub says no: a status, a message, and the code its clients look at."""

    def __init__(self, status: int, message: str, code: str = "", **body: Any) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.body = status, message, code, body


@dataclass(frozen=True, slots=True)
class Blob:
    """One file of a tree: `sha256` is set when the bytes are an LFS object."""

    oid: str  # what git calls it: of the content, or of the pointer to the LFS object
    size: int
    sha256: str | None = None

    @property
    def shown_oid(self) -> str:
        """The name by which a client compares its own file with this one."""
        return self.sha256 or self.oid


@dataclass(frozen=True, slots=True)
class Commit:
    """An immutable state of a repository."""

    oid: str
    parent: str | None
    title: str
    message: str
    date: datetime
    tree: Mapping[str, Blob]


@dataclass(frozen=True, slots=True)
class Change:
    """What one commit asks for: files to write, and files or folders (ending in /) to delete."""

    title: str
    message: str = ""
    parent: str | None = None
    files: Mapping[str, Blob] = field(default_factory=dict)
    deleted: tuple[str, ...] = ()


def git_oid(content: bytes) -> str:
    """The name git gives to a file.

    >>> git_oid(b"hello")
    'b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0'
    """
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def pointer(sha256: str, size: int) -> bytes:
    """The small file that stands for an LFS object in git."""
    spec = "https://git-lfs.github.com/spec/v1"
    return f"version {spec}\noid sha256:{sha256}\nsize {size}\n".encode()


@dataclass(slots=True)
class Repo:
    """A repository; trees are never changed, only the refs are moved."""

    id: str
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def name(self) -> str:
        return self.id.removeprefix("models/")

    @property
    def head(self) -> Commit:
        return self.commits[self.branches["main"]]

    def at(self, revision: str) -> Commit:
        """The commit that a branch, a tag or a full sha names; a branch goes before a tag."""
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        oid = self.branches.get(name) or self.tags.get(name) or revision
        if oid not in self.commits:
            raise RefusalError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[oid]

    def history(self, commit: Commit) -> list[Commit]:
        """The commit and its ancestors, newest first."""
        line = [commit]
        while line[-1].parent is not None:
            line.append(self.commits[line[-1].parent])
        return line

    def last_change(self, commit: Commit, path: str) -> Commit:
        """The newest commit up to this one that changed a file, or anything in a folder."""
        line = self.history(commit)
        for newer, older in itertools.pairwise(line):
            if _under(newer.tree, path) != _under(older.tree, path):
                return newer
        return line[-1]

    def commit(self, branch: str, change: Change, *, date: datetime) -> Commit:
        """Move a branch to a new commit, or refuse and change nothing."""
        with self.lock:
            head = self.at(branch)
            if branch not in self.branches:
                raise RefusalError(400, f"Invalid rev id: {branch} is not a branch")
            if change.parent is not None and not _names(head.oid, change.parent):
                raise RefusalError(
                    412, "A commit has happened since. Please refresh and try again."
                )
            tree = _without(head.tree, change.deleted) | dict(change.files)
            commit = self._append(head.oid, change, tree, date)
            self.branches[branch] = commit.oid
            return commit

    def tag(self, name: str, commit: Commit) -> None:
        with self.lock:
            if name in self.tags:
                raise RefusalError(409, f"Tag reference exists already: {name}")
            self.tags[name] = commit.oid

    def delete_tag(self, name: str) -> None:
        with self.lock:
            if self.tags.pop(name, None) is None:
                raise RefusalError(404, f"Invalid rev id: {name}", "RevisionNotFound")

    def branch(self, name: str, commit: Commit) -> None:
        with self.lock:
            if name in self.branches:
                raise RefusalError(409, f"Reference already exists: {name}")
            self.branches[name] = commit.oid

    def begin(self, tree: Mapping[str, Blob], date: datetime) -> None:
        commit = self._append(None, Change("initial commit"), tree, date)
        self.branches["main"] = commit.oid

    def _append(
        self, parent: str | None, change: Change, tree: Mapping[str, Blob], date: datetime
    ) -> Commit:
        # The count makes two commits of the same tree in the same millisecond differ.
        facts = (self.id, len(self.commits), parent, change.title, sorted(tree), date.isoformat())
        oid = hashlib.sha1(repr(facts).encode()).hexdigest()
        commit = Commit(oid, parent, change.title, change.message, date, dict(tree))
        self.commits[oid] = commit
        return commit


def _names(oid: str, shorthand: str) -> bool:
    return len(shorthand) >= 7 and oid.startswith(shorthand)


def _under(tree: Mapping[str, Blob], path: str) -> dict[str, Blob]:
    return {p: blob for p, blob in tree.items() if p == path or p.startswith(f"{path}/")}


def _without(tree: Mapping[str, Blob], deleted: tuple[str, ...]) -> dict[str, Blob]:
    kept = dict(tree)
    for path in deleted:
        gone = [p for p in kept if p == path or (path.endswith("/") and p.startswith(path))]
        if not gone:
            raise RefusalError(404, "A file with this name doesn't exist", "EntryNotFound")
        for each in gone:
            del kept[each]
    return kept


class HubStore:
    """All repositories in memory, all content as files in a folder, each under its hash."""

    def __init__(
        self, folder: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.folder, self.clock = folder, clock
        self.repos: dict[str, Repo] = {}
        self._lock = threading.RLock()
        for name in ("git", "lfs", "parts"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def create(self, repo_id: str, *, private: bool = False) -> Repo:
        with self._lock:
            if repo_id in self.repos:
                raise RefusalError(409, "You already created this repo")
            repo = Repo(repo_id, private)
            repo.begin({".gitattributes": self.keep(GITATTRIBUTES)}, self.clock())
            self.repos[repo_id] = repo
            return repo

    def delete(self, repo_id: str) -> None:
        with self._lock:
            del self.repos[repo_id]

    def commit(self, repo_id: str, change: Change, *, branch: str = "main") -> Commit:
        return self.repos[repo_id].commit(branch, change, date=self.clock())

    def keep(self, content: bytes) -> Blob:
        """Store a regular file."""
        oid = git_oid(content)
        scratch = self.scratch()
        scratch.write_bytes(content)
        scratch.replace(self.folder / "git" / oid)
        return Blob(oid, len(content))

    def scratch(self) -> Path:
        """A new name on the same disk, for bytes that are still arriving."""
        return self.folder / "parts" / uuid.uuid4().hex

    def lfs_path(self, sha256: str) -> Path:
        return self.folder / "lfs" / sha256

    def lfs_blob(self, sha256: str) -> Blob | None:
        """The LFS object of that name, if all of it has arrived."""
        path = self.lfs_path(sha256)
        if not path.is_file():
            return None
        size = path.stat().st_size
        return Blob(git_oid(pointer(sha256, size)), size, sha256)

    def path(self, blob: Blob) -> Path:
        return self.lfs_path(blob.sha256) if blob.sha256 else self.folder / "git" / blob.oid

    def read(self, repo_id: str, path: str, revision: str = "main") -> bytes:
        """The bytes of a file, for tests that look behind the Hub's back."""
        return self.path(self.repos[repo_id].at(revision).tree[path]).read_bytes()
