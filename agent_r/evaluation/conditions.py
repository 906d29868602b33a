"""Note under what conditions an actor was measured: what two measurements must share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from agent_r import files
from agent_r.algorithm.prompts import NO_ACTION
from agent_r.collection.identity import arguments_of, of_world
from agent_r.config import digest
from agent_r.environment import TaskSpec
from agent_r.run_worlds import Worlds
from agent_r.settings import Config

FILE = "about.json"  # beside the episodes


class AboutEpisodes(BaseModel):
    """What no episode says by itself: who played, how, and what worlds tell an actor to do."""

    actor: str
    conditions: dict[str, str] = {}
    instructions: dict[str, str] = {}  # by world
    depths: dict[str, int] = {}  # by world and task, `world/task`; only those that are known


ABOUT = TypeAdapter(AboutEpisodes)


def about_episodes(
    actor: str, tasks: Sequence[TaskSpec], config: Config, worlds: Worlds
) -> AboutEpisodes:
    """What is known before the first of these tasks is played."""
    return AboutEpisodes(
        actor=actor,
        conditions=conditions_of(config, worlds),
        instructions={info.name: info.instruction for info in worlds.infos},
        depths={f"{task.world}/{task.id}": task.depth for task in tasks if task.depth},
    )


def conditions_of(config: Config, worlds: Worlds) -> dict[str, str]:
    """Settings and worlds by name; of the actor nothing, for that is what may differ."""
    found = {
        "measure.temperature": f"{config.measure.temperature:g}",
        "measure.max_steps": str(config.measure.max_steps),
        "search.max_tokens": str(config.search.max_tokens),
        "what is said where a reply holds no action": NO_ACTION,
    }
    for info in worlds.infos:
        version = digest(*of_world(info), *arguments_of(config))
        found[f"the world {info.name}"] = f"version {info.version} ({version})"
    return found


def difference(first: dict[str, str], last: dict[str, str]) -> str:
    """The first condition that differs, in words; "" where all are the same.

    >>> difference({"measure.max_steps": "20"}, {"measure.max_steps": "30"})
    'measure.max_steps is 20 and 30'
    """
    for name in [*first, *last]:
        one, other = first.get(name, "not there"), last.get(name, "not there")
        if one != other:
            return f"{name} is {one} and {other}"
    return ""


def note(folder: Path, about: AboutEpisodes) -> None:
    """Write it beside the episodes, for whoever looks at them while or after they are played."""
    if files.load(folder / FILE, ABOUT) != about:
        files.save(folder / FILE, ABOUT, about)
