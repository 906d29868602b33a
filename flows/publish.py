"""Publish a dataset version to the Hugging Face Hub."""

from __future__ import annotations

import asyncio
from pathlib import Path

from prefect import flow

from agent_r.hub.publish import Published
from agent_r.settings import Config
from flows.artifacts import announce_published, show_published
from flows.hub_client import hub_of, private_here
from flows.preflight import Needs, preflight
from flows.run_context import RunContext
from flows.states import fails_in_one_line
from tasks.publish import publish as publish_task


@flow(
    name="publish",
    flow_run_name="publish-{config.hub.repo}",
    persist_result=False,
)
@fails_in_one_line
async def publish(version: str, config: Config = Config()) -> Published:
    """One commit, then a tag that never moves; running it again finds what is there.

    Args:
        version: Folder of a dataset version.
        config: All settings; `hub` is what matters here.
    """
    await preflight(RunContext.of(config), Needs(publishes=True, versions=(version,)))
    hub = await hub_of(config.hub)
    known = private_here(config, hub)
    published = await asyncio.to_thread(publish_task, Path(version), hub, config.hub, known)
    await show_published(published)
    announce_published(published)
    return published
