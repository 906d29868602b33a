"""Bring a Prefect server to what a project wants, one kind of thing at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prefect.blocks.core import Block
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound
from prefect.workers.utilities import (
    get_available_work_pool_types,
    get_default_base_job_template_for_infrastructure_type,
)

from agent_r.errors import ConfigError


@dataclass(frozen=True)
class Done:
    """What became of one thing on the server."""

    kind: str  # pool, block type, automation, deployment, schedule
    name: str
    how: str  # made, changed, cleared; as it was


MADE, CHANGED, CLEARED, AS_IT_WAS = "made", "changed", "cleared", ""


async def pools(client: PrefectClient, wanted: dict[str, str]) -> list[Done]:
    """Make the work pools that are not there; one that is there keeps its limits and template.

    Raises:
        ConfigError: Prefect knows no such type, or the pool has another.
    """
    done = []
    for name, type_ in wanted.items():
        try:
            there = (await client.read_work_pool(name)).type
        except ObjectNotFound:
            known = await get_available_work_pool_types()
            if type_ not in known:
                raise ConfigError(
                    f"the pool {name} is of type '{type_}': choose one of {', '.join(known)}"
                ) from None
            template = await get_default_base_job_template_for_infrastructure_type(type_) or {}
            pool = WorkPoolCreate(name=name, type=type_, base_job_template=template)
            await client.create_work_pool(pool)
            done.append(Done("pool", name, MADE))
        else:
            if there != type_:
                raise ConfigError(
                    f"the pool {name} is of type '{there}' on the server, and '{type_}' in the "
                    "file: rename one of them"
                )
            done.append(Done("pool", name, AS_IT_WAS))
    return done


async def block_types(client: PrefectClient, wanted: Sequence[type[Block]]) -> list[Done]:
    """Register block types, so that the UI has a form for each."""
    done = []
    for block in wanted:
        before = await _newest_schema(client, block)
        register: Any = block.register_type_and_schema(client=client)
        await register
        same = await _newest_schema(client, block) == before
        done.append(Done("block type", block.get_block_type_name(), AS_IT_WAS if same else MADE))
    return done


async def _newest_schema(client: PrefectClient, block: type[Block]) -> Any:
    try:
        type_ = await client.read_block_type_by_slug(block.get_block_type_slug())
    except ObjectNotFound:
        return None
    schema = await client.get_most_recent_block_schema_for_block_type(type_.id)
    return schema and schema.id


async def automations(client: PrefectClient, wanted: list[AutomationCore]) -> list[Done]:
    """One automation of each name, as it is wanted; whether it is switched on stays as it is."""
    done = []
    for automation in wanted:
        there = await client.read_automations_by_name(automation.name)
        if not there:
            await client.create_automation(automation)
            done.append(Done("automation", automation.name, MADE))
            continue
        first, *doubles = sorted(there, key=lambda each: str(each.id))
        await asyncio.gather(*(client.delete_automation(each.id) for each in doubles))
        kept = automation.model_copy(update={"enabled": first.enabled})
        changed = bool(doubles) or content(first) != content(kept)
        if changed:
            await client.update_automation(first.id, kept)
        done.append(Done("automation", automation.name, CHANGED if changed else AS_IT_WAS))
    return done


def content(automation: AutomationCore) -> dict[str, Any]:
    """What an automation does, whatever its number and owner."""
    core = AutomationCore.model_validate(automation.model_dump())
    return core.model_dump(exclude={"owner_resource"})  # plain JSON would put its sets in an order
