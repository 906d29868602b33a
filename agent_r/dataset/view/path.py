"""Find the trees at a path: a version, a dataset's folder, a work folder, or a tree's file."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from agent_r.collection.tree_store import TREE
from agent_r.dataset.manifest import Manifest, read_manifest
from agent_r.dataset.shards import read_columns
from agent_r.dataset.view.exhibit import Exhibit
from agent_r.dataset.view.version import of_version
from agent_r.dataset.view.work import Work
from agent_r.dataset.writer import versions
from agent_r.diagnostics.account import Account, account_lines
from agent_r.errors import DatasetError, UnknownTask
from agent_r.files import load, slug

_NEAR = 3  # names that are suggested
_KINDS = "a dataset version, a dataset's folder, a work folder, or a tree's file"


@dataclass(frozen=True, slots=True)
class Collection:
    """Trees to look at: where they are from, and each of them once it is asked for."""

    title: str
    kind: str  # in words
    exhibits: Callable[[], Iterator[Exhibit]]
    beside: Path  # the folder that a page is laid into
    name: str  # of the page's file, without an ending
    growing: int = 0  # trees that are not finished yet
    account: tuple[str, ...] = ()  # what became of everything, where it is known


def collection(path: Path, *, task: str = "") -> Collection:
    """The trees at a path, or those of one task.

    Raises:
        DatasetError: there is nothing of ours.
        UnknownTask: there is no tree of that task.
    """
    if not path.exists():
        raise DatasetError(f"{path} does not exist")
    path = path.resolve()
    if path.is_file():
        return _file(path)
    if (path / "manifest.json").is_file():
        return _version(path, task)
    if any(path.glob("trees-*")) or any(path.glob("journal-*")):
        return _work(path, task)
    if found := versions(path):
        return _version(found[-1], task)
    if (path / "work").is_dir():
        return collection(path / "work", task=task)
    raise DatasetError(f"{path} is not {_KINDS}")


def _version(version: Path, task: str) -> Collection:
    manifest = read_manifest(version)
    if task:
        names = [name for (name,) in read_columns(version, "trees", ["task"])]
        _require(task, names, version)
    return Collection(
        f"{manifest['dataset']} {manifest['version']}",
        "dataset version",
        lambda: of_version(version, task=task),
        version.parent,
        f"view-{version.name}" + (f"-{slug(task)}" if task else ""),
        account=() if task else _account(manifest),
    )


def _account(manifest: Manifest) -> tuple[str, ...]:
    """The account of a version's making; a merged or an older one has none."""
    try:
        return tuple(account_lines(Account.model_validate(manifest.get("account") or {})))
    except ValidationError:
        return ()


def _work(folder: Path, task: str) -> Collection:
    work = Work.of(folder)
    files = [path for paths in work.trees.values() for path in paths]
    if task:
        files = work.trees.get(slug(task), [])
        if not files:
            _require(task, list(filter(None, map(_task_of, work.trees.values()))), folder)
    if not files:
        raise DatasetError(f"{folder} has no finished tree yet ({work.growing} are growing)")
    return Collection(
        f"{folder.parent.name}, work folder",
        "work folder",
        lambda: (shown for path in files if (shown := work.exhibit(path)) is not None),
        folder,
        "view" + (f"-{slug(task)}" if task else ""),
        work.growing,
    )


def _file(path: Path) -> Collection:
    shown = Work.of(path.parent.parent).exhibit(path) if path.suffix == ".json" else None
    if shown is None:
        raise DatasetError(f"{path} is not a tree's file")
    return Collection(
        shown.row["task"],
        "one tree",
        lambda: iter([shown]),
        path.parent.parent,
        f"view-{path.stem}",
    )


def _require(task: str, names: list[str], where: Path) -> None:
    if task in names:
        return
    near = difflib.get_close_matches(task, dict.fromkeys(names), n=_NEAR, cutoff=0.4)
    like = f"; near it: {', '.join(repr(name) for name in near)}" if near else ""
    raise UnknownTask(f"{where} has no tree of the task '{task[:80]}'{like}")


def _task_of(files: list[Path]) -> str:
    """The task of a tree's file."""
    tree = load(files[0], TREE)
    return tree.task if tree else ""
