"""Publish a dataset version to the Hugging Face Hub."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent_r.hub.publish import Published
from flows.form.asked import asked
from flows.form.parameters import Base, Overrides, Repo
from flows.hub_client import hub_of, private_here
from flows.page.artifacts import announce_published, show_published
from flows.page.orphans import close_what_it_left
from flows.page.run_log import tell
from flows.page.run_names import rename
from flows.preflight import Needs, preflight
from flows.run_context import RunContext
from flows.states import fails_in_one_line
from tasks.orchestration import flow
from tasks.publish import publish as publish_task


@flow(
    name="publish",
    persist_result=False,
    validate_parameters=False,
    on_crashed=[close_what_it_left],
)
@fails_in_one_line
async def publish(
    version: str, settings: Base = "default", repo: Repo = "", overrides: Overrides = ()
) -> Published:
    """One commit, then a tag that never moves; running it again finds what is there.

    Args:
        version: Folder of a dataset version.
    """
    config = await asked(settings, overrides, repo=repo, folders=(version,))
    to = f" to {config.hub.repo}" if config.hub.repo else ""
    await rename(f"publish {'/'.join(Path(version).parts[-2:])}{to}")
    await preflight(RunContext.of(config), Needs(publishes=True, versions=(version,)))
    hub = await hub_of(config.hub)
    known = await private_here(config, hub)
    published = await asyncio.to_thread(publish_task, Path(version), hub, config.hub, known)
    await show_published(published)
    tell(published.url)
    announce_published(published)
    return published
