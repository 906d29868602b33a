"""Write the page of a measurement's episodes: a list of tasks, and each attempt step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from agent_r import files
from agent_r.dataset.view.chunks import MOST_BYTES, Chunks
from agent_r.dataset.view.single_file import asset, single_file
from agent_r.errors import UnknownTask
from agent_r.evaluation.episodes import PlayedEpisode
from agent_r.evaluation.view.kept_episodes import KeptEpisodes

_ASSETS = resources.files(__package__) / "assets"
_SHARED = ("dom", "unpack")
_OWN = ("tasks", "filters", "steps", "reading")


@dataclass(frozen=True, slots=True)
class EpisodePage:
    """A page that was written."""

    path: Path
    episodes: int
    readable: int  # of them with all their steps; the others are in the list alone
    bytes: int


def write_episodes(
    shown: Sequence[KeptEpisodes], out: Path, *, task: str = "", most_bytes: int = MOST_BYTES
) -> EpisodePage:
    """Write the page of one actor's episodes, or of two actors'; of one task alone, if it is named.

    Raises:
        UnknownTask: there is no episode of that task.
        StoreError: the file cannot be written.
    """
    lines: list[dict[str, Any]] = []
    chunks = Chunks(most_bytes)
    for actor, episode in _chosen(shown, task):
        lines.append(_line(episode, actor, shown[actor].about.depths))
        chunks.add(len(lines) - 1, partial(_record, episode))
    if not lines:
        raise UnknownTask(f"{shown[0].folder} has no episode of the task '{task[:80]}'")
    chunks.close()
    places = chunks.places()
    for at, place in places.items():
        lines[at]["at"] = place
    content = single_file(
        asset("episodes.html", _ASSETS),
        style=asset("style.css") + asset("episodes.css", _ASSETS),
        scripts=[asset(f"{name}.js") for name in _SHARED]
        + [asset(f"{name}.js", _ASSETS) for name in _OWN],
        data={"about": _about(shown), "episodes": lines},
        chunks=chunks.packed(),
    ).encode()
    files.write_bytes(out, content)
    return EpisodePage(out, len(lines), len(places), len(content))


def _chosen(shown: Sequence[KeptEpisodes], task: str) -> Iterator[tuple[int, PlayedEpisode]]:
    for actor, kept in enumerate(shown):
        for episode in kept.episodes():
            if task in ("", episode.task):
                yield actor, episode


def _about(shown: Sequence[KeptEpisodes]) -> dict[str, Any]:
    """Who played; two of one name are told apart by their folders."""
    names = [kept.about.actor for kept in shown]
    if len(set(names)) < len(names):
        names = [f"{kept.about.actor} ({kept.folder.name})" for kept in shown]
    instructions: dict[str, str] = {}
    for kept in shown:
        instructions |= kept.about.instructions
    return {
        "title": " and ".join(names),
        "actors": names,
        "instructions": instructions,
        "conditions": [kept.about.conditions for kept in shown],
    }


def _line(episode: PlayedEpisode, actor: int, depths: dict[str, int]) -> dict[str, Any]:
    """What the list shows of an episode, filters by and sorts by."""
    return {
        "task": episode.task,
        "world": episode.world,
        "depth": depths.get(f"{episode.world}/{episode.task}", 0),
        "actor": actor,
        "attempt": episode.attempt,
        "opening": episode.opening,
        "reward": episode.reward,
        "stop": episode.stop.value,
        "steps": len(episode.steps),
        "calls": episode.calls,
        "tokens": [episode.prompt_tokens, episode.completion_tokens],
    }


def _record(episode: PlayedEpisode) -> dict[str, Any]:
    """All that was said in it."""
    return {
        "prompt": episode.prompt,
        "steps": [
            [step.response, step.action, step.observation, step.reasoning] for step in episode.steps
        ],
    }
