"""Deployments: made and updated by `prefect deploy` itself, and compared with what was there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName
from prefect.client.schemas.responses import DeploymentResponse
from prefect.settings import PREFECT_API_URL

from agent_r.config import process_environment
from agent_r.errors import ConfigError
from agent_r.printable import public_line
from flows.cli.deploy.code_version import VERSION, code_version
from flows.cli.deploy.project import Project
from flows.cli.deploy.setting_up import AS_IT_WAS, CHANGED, CLEARED, MADE, Done, content

COMPARED = set(
    "concurrency_options description enforce_parameter_schema entrypoint job_variables parameters "
    "parameter_openapi_schema path paused pull_steps tags version work_pool_name "
    "work_queue_name".split()
)


async def deployments(client: PrefectClient, project: Project) -> list[Done]:
    """Deploy all of the file, and clear the schedules that it has no longer.

    Raises:
        ConfigError: Prefect refuses one of them.
    """
    before = {each.id: await _state(client, each) for each in await _there(client, project)}
    output = prefect_deploy(project.file)
    known = {(each.name, each.entrypoint): each for each in await _there(client, project)}
    done = []
    for wanted in project.deployments:
        each = known.get((wanted.name, wanted.entrypoint))
        if each is None:
            raise ConfigError(f"{project.file}: {wanted.name} is not deployed: {_last(output)}")
        name = f"{(await client.read_flow(each.flow_id)).name}/{each.name}"
        if each.schedules and not wanted.scheduled:
            for schedule in each.schedules:
                await client.delete_deployment_schedule(each.id, schedule.id)
            done.append(Done("schedule", name, CLEARED))
        done.append(Done("deployment", name, await _what_happened(client, each, before)))
    return done


def prefect_deploy(file: Path) -> str:
    """Run `prefect deploy --all`, and return what it said.

    Raises:
        ConfigError: it ends with an error; the line is its last.
    """
    words = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    ran = subprocess.run(
        [*words, "--prefect-file", file.name],
        cwd=file.resolve().parent,
        env=process_environment(
            {
                VERSION: code_version(file.parent),
                "PREFECT_API_URL": str(PREFECT_API_URL.value()),
                "COLUMNS": "1000",  # a line stays a line, however long it is
            }
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise ConfigError(f"prefect deploy: {_last(ran.stderr) or _last(ran.stdout)}")
    return ran.stdout


def _last(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    return public_line(lines[-1]) if lines else ""


async def _there(client: PrefectClient, project: Project) -> list[DeploymentResponse]:
    """The server's deployments of these names and entrypoints."""
    names = [wanted.name for wanted in project.deployments]
    wanted = {(wanted.name, wanted.entrypoint) for wanted in project.deployments}
    found = await client.read_deployments(
        deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=names))
    )
    return [each for each in found if (each.name, each.entrypoint) in wanted]


async def _what_happened(
    client: PrefectClient, each: DeploymentResponse, before: Mapping[UUID, dict[str, Any]]
) -> str:
    if each.id not in before:
        return MADE
    return AS_IT_WAS if await _state(client, each) == before[each.id] else CHANGED


async def _state(client: PrefectClient, deployment: DeploymentResponse) -> dict[str, Any]:
    """All that a deployment does: equal where a second `prefect deploy` has changed nothing."""
    related = await client.read_resource_related_automations(f"prefect.deployment.{deployment.id}")
    triggers = [content(each) for each in related]
    limit = deployment.global_concurrency_limit
    schedules = [
        each.model_dump(mode="json", include={"schedule", "active", "parameters", "slug"})
        for each in deployment.schedules
    ]
    return deployment.model_dump(mode="json", include=COMPARED) | {
        "limit": limit and limit.limit,
        "schedules": schedules,
        "triggers": sorted(triggers, key=lambda trigger: str(trigger["name"])),
    }
