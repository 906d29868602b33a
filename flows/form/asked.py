"""Make the settings of a run of what was asked of a person: a base, fields, single overrides."""

from __future__ import annotations

import json
from collections.abc import Sequence

from agent_r.config import Table, layered, merge, overrides, parse
from agent_r.errors import ConfigError
from agent_r.settings import Config
from flows.form.kept import filled_in
from flows.form.limits import guard, guard_paths
from flows.form.parameters import AS_SET
from flows.form.sources import file_of, is_own, table_of

NOTHING = "no"  # the repository of a run that publishes nothing, whatever the base says


async def asked(
    base: Config | str,
    lines: Sequence[str] = (),
    *,
    world: Table | None = None,
    endpoint: Table | None = None,
    dataset: str = "",
    repo: str = "",
    budget: Table = AS_SET,
    folders: Sequence[str] = (),
) -> Config:
    """The settings of a run; what was left empty is as `base` has it.

    Args:
        base: Settings, or where they are (`flows.form.sources`).
        lines: Single settings, as `search.simulations=4`, on top of all others.
        world: Of one kind; where `base` has another kind, nothing of that one is kept.
        endpoint: Likewise.
        dataset: Its name.
        repo: Where it is published; "no" for nowhere.
        budget: Any limits; trees and iterations are among them.
        folders: Of models and versions, that the run's other parameters name.

    Raises:
        ConfigError: the base is not to be had, or all together say what cannot be, or what the
            parameters of a run may not.
    """
    guard_paths(folders if isinstance(base, Config) else (*folders, *file_of(base)))
    limits = dict(budget)
    counts = {name: limits.pop(name, None) for name in ("trees", "iterations")}
    boxes = {"dataset": {"name": dataset}, "hub": {"repo": repo}, "budget": limits}
    typed = _typed(counts | boxes)
    if repo == NOTHING:
        typed["hub"] = {"repo": ""}
    over = overrides([line for line in lines if line.strip()])
    if isinstance(base, Config) and not (world or endpoint or typed or over):
        guard(base.model_dump(), {})
        return base
    values = base.model_dump() if isinstance(base, Config) else await table_of(base)
    own = values if isinstance(base, str) and is_own(base) else {}
    values = _chosen(values, "env", _world(world or {}), usual="textcraft")
    values = _chosen(values, "endpoint", _typed(endpoint or {}), usual="embedded")
    values = await filled_in(layered(values, typed, over))
    guard(values, own)
    return parse(values, source="the settings of this run")


def _typed(fields: Table) -> Table:
    """What was not left empty.

    >>> _typed({"trees": None, "dataset": {"name": ""}, "budget": {"tokens": 0}})
    {'budget': {'tokens': 0}}
    """
    kept = {k: _typed(v) if isinstance(v, dict) else v for k, v in fields.items()}
    return {name: value for name, value in kept.items() if value not in (None, "", {})}


def _world(world: Table) -> Table:
    """A world as the settings have it: its form has text where they have tables."""
    typed = _typed(world)
    if isinstance(typed.get("action"), str):
        try:
            typed["action"] = json.loads(typed["action"])
        except ValueError as error:
            raise ConfigError(f"world.action is no JSON: {error}") from error
    if typed.get("kind") == "mixture":
        typed["worlds"] = [_member(dict(member)) for member in typed.get("worlds") or ()]
    return typed


def _member(member: Table) -> Table:
    lines = member.pop("settings", [])
    return merge(_typed(member), overrides(lines))


def _chosen(values: Table, name: str, chosen: Table, *, usual: str) -> Table:
    """The kind that was chosen, on top of the base's where that is of the same kind."""
    below = values.get(name)
    below = below if isinstance(below, dict) else {}
    kind = below.get("kind", usual)
    same = chosen.get("kind", kind) == kind
    return values | {name: merge(below, chosen) if same else chosen} if chosen else values
