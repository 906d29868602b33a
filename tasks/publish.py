"""Publish a dataset version."""

from __future__ import annotations

from pathlib import Path

from prefect.cache_policies import NO_CACHE

from agent_r.hub.known_values import Private
from agent_r.hub.publish import Published
from agent_r.hub.publish import publish as publish_version
from agent_r.hub.repository import Hub
from agent_r.settings import HubConfig
from tasks.orchestration import task


@task(
    name="publish",
    task_run_name="publish {version.name} to {hub.repo}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
def publish(version: Path, hub: Hub, settings: HubConfig, known: Private) -> Published:
    """One commit and its tag; a version that is there already is found."""
    return publish_version(
        version,
        hub,
        private=settings.private,
        accept_licence=settings.accept_licence,
        known=known,
        allow=settings.allow,
        attempts=settings.attempts,
    )
