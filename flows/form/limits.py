"""What the parameters of a submitted run may not do, unless whoever runs the worker allows it.

A run is typed by whoever may press Run, and carried out on the worker's machine. So its parameters
name no Python, no command and no place outside the worker's folder; settings files of that machine
may name them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from agent_r.config import Table, read_allowed
from agent_r.errors import ConfigError
from flows.page.this_run import this_run

CODE, COMMANDS, PATHS = "code", "commands", "paths"
# By section (the nearest table's name) and setting.
GUARDED = {
    ("env", "factory"): CODE,
    ("worlds", "factory"): CODE,
    ("train", "command"): COMMANDS,
    ("serving", "command"): COMMANDS,
    ("env", "recipes"): PATHS,
    ("worlds", "recipes"): PATHS,
    ("endpoint", "checkpoint"): PATHS,
    ("dataset", "out"): PATHS,
    ("dataset", "store"): PATHS,
    ("dataset", "tokenizer"): PATHS,
    ("train", "general"): PATHS,
    ("trl", "model"): PATHS,
    ("pool", "shared"): PATHS,
}
_NAMES = {CODE: "Python", COMMANDS: "a command", PATHS: "a place outside the worker's folder"}


def guard(values: Table, own: Table) -> None:
    """Refuse what the parameters of a submitted run say, and the worker's `own` settings do not.

    Raises:
        ConfigError: they name Python, a command or a place elsewhere, and that is not allowed.
    """
    if not submitted():
        return
    known = dict(_guarded(own))
    for (name, kind), value in _guarded(values).items():
        if value and known.get((name, kind)) != value:
            _refuse_unless_allowed(name, kind, value)


def guard_paths(paths: Iterable[str]) -> None:
    """Refuse files and folders that the parameters of a submitted run name elsewhere.

    Raises:
        ConfigError: one is outside the worker's folder, and that is not allowed.
    """
    if submitted():
        for path in paths:
            _refuse_unless_allowed("a parameter", PATHS, path)


def submitted() -> bool:
    """Whether this run was submitted to a deployment, and not by another run of ours."""
    run = this_run()
    return run is not None and run.deployment_id is not None and run.parent_task_run_id is None


def _guarded(values: Table) -> dict[tuple[str, str], Any]:
    return {(name, kind): value for name, kind, value in _walk(values, "", "")}


def _walk(value: Any, section: str, at: str) -> Iterator[tuple[str, str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            name = f"{at}.{key}".lstrip(".")
            if kind := GUARDED.get((section, key)):
                yield name, kind, inner
            elif isinstance(inner, Mapping | list | tuple):
                yield from _walk(inner, key, name)
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from _walk(inner, section, f"{at}.{place}")


def _refuse_unless_allowed(name: str, kind: str, value: Any) -> None:
    if kind in read_allowed() or (kind == PATHS and inside(str(value))):
        return
    raise ConfigError(
        f"{name} = '{value}' names {_NAMES[kind]}, which the parameters of a run may not: put it "
        f"into a settings file of the worker's, or have its environment say AGENT_R_ALLOW={kind}"
    )


def inside(place: str) -> bool:
    """Whether a path stays in the current folder; a name of the Hub's does.

    >>> inside("datasets_out"), inside("../else"), inside("/etc"), inside("s3://bucket/trees")
    (True, False, False, False)
    """
    here = Path.cwd().resolve()
    return "://" not in place and (here / place).resolve().is_relative_to(here)
