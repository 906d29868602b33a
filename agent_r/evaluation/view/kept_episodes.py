"""Find a measurement's episodes: by their folder, the measurement's file, or one episode's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent_r import files
from agent_r.dataset.writer import versions
from agent_r.errors import DatasetError, StoreError
from agent_r.evaluation.conditions import ABOUT, FILE, AboutEpisodes
from agent_r.evaluation.episodes import EPISODE, PlayedEpisode


@dataclass(frozen=True, slots=True)
class KeptEpisodes:
    """One actor's episodes, each read once it is asked for."""

    folder: Path
    about: AboutEpisodes
    paths: list[Path]

    def episodes(self) -> Iterator[PlayedEpisode]:
        """Those that can be read: whatever else lies in the folder is no episode."""
        for path in self.paths:
            episode = files.load(path, EPISODE)
            if episode is not None:
                yield episode


def kept_at(path: Path) -> KeptEpisodes | None:
    """The episodes at a path; None where there is something else, or nothing.

    Raises:
        DatasetError: a measurement's episodes are gone, or a folder holds several measurements.
    """
    if path.is_file():
        return _of_file(path)
    if (path / FILE).is_file() or path.name.startswith("episodes-"):
        return _of_folder(path)
    if not path.is_dir() or any(path.glob("trees-*")) or versions(path):
        return None
    if not (found := sorted(path.glob("episodes-*"))):
        return kept_at(path / "work") if (path / "work").is_dir() else None
    if len(found) > 1:
        named = ", ".join(folder.name for folder in found)
        raise DatasetError(f"{path} holds several measurements' episodes: name one of {named}")
    return _of_folder(found[0])


def _of_file(path: Path) -> KeptEpisodes | None:
    """Of a measurement, or of the document that `measure --json` prints; or a single episode."""
    if files.load(path, EPISODE) is not None:
        about = files.load(path.parent / FILE, ABOUT) or AboutEpisodes(actor="unknown")
        return KeptEpisodes(path.parent, about, [path])
    try:
        value = files.read_json(path)
    except StoreError:
        return None
    name = value.get("episodes") if isinstance(value, dict) and "openings" in value else None
    if not name:
        return None
    for folder in (path.parent / name, Path(name)):
        if folder.is_dir():
            return _of_folder(folder)
    raise DatasetError(f"the episodes of {path} are not in {path.parent / name} any more")


def _of_folder(folder: Path) -> KeptEpisodes:
    about = files.load(folder / FILE, ABOUT) or AboutEpisodes(actor="unknown")
    paths = [path for path in sorted(folder.glob("*.json")) if path.name != FILE]
    if not paths:
        raise DatasetError(f"{folder} has no finished episode yet")
    return KeptEpisodes(folder, about, paths)
