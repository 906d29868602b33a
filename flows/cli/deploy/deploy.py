"""`agent-r deploy`: all that a Prefect server needs to run the flows, in one command."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from agent_r.config import default_environment

if TYPE_CHECKING:
    from flows.cli.deploy.setting_up import Done

USUAL = "http://127.0.0.1:4200/api"  # of `prefect server start`
KINDS = ("pool", "block type", "automation", "deployment", "schedule")


def run_deploy(arguments: argparse.Namespace) -> int:
    """Deploy, and say what was done; a second time nothing is."""
    default_environment({"DO_NOT_TRACK": "1"})
    from prefect.settings import PREFECT_API_URL, temporary_settings

    url = PREFECT_API_URL.value() or USUAL
    with temporary_settings({PREFECT_API_URL: url}):
        print("\n".join(report(asyncio.run(deploy(arguments.file)), url)))
    return 0


async def deploy(file: Path) -> list[Done]:
    """Bring the server to what the file and the automations beside it ask for.

    Raises:
        ConfigError: the file, or something in it, cannot be.
        PrefectFault: the server does not answer.
    """
    from prefect.client.orchestration import get_client

    from flows.cli.deploy import deployments, setting_up
    from flows.cli.deploy.project import Project
    from flows.cli.prefect_faults import check_server
    from tasks.blocks import OURS

    project = Project.at(file)
    await check_server("begin one with `prefect server start`, or set PREFECT_API_URL to yours")
    async with get_client() as client:
        return [
            *await setting_up.pools(client, project.pools),
            *await setting_up.block_types(client, OURS),
            *await setting_up.automations(client, project.automations),
            *await deployments.deployments(client, project),
        ]


def report(done: list[Done], url: str) -> list[str]:
    """What was made, changed or cleared, a line for each kind; what is as it was, in one."""
    lines = []
    for kind in KINDS:
        for how in dict.fromkeys(each.how for each in done if each.kind == kind and each.how):
            names = [each.name for each in done if (each.kind, each.how) == (kind, how)]
            lines.append(f"{_count(kind, len(names))} {how}: {', '.join(names)}")
    same = {kind: sum(not each.how for each in done if each.kind == kind) for kind in KINDS}
    if left := [_count(kind, n) for kind, n in same.items() if n]:
        lines.append(f"as it was: {', '.join(left)}" if lines else
                     f"nothing to change: {', '.join(left)} are as they should be")  # fmt: skip
    pools = dict.fromkeys(each.name for each in done if each.kind == "pool")
    return [
        *lines,
        f"{url.removesuffix('/api')} has them; what runs them, in a terminal of its own:",
        *(f"  PREFECT_API_URL={url} prefect worker start --pool {pool}" for pool in pools),
    ]


def _count(kind: str, number: int) -> str:
    return f"{number} {kind}{'' if number == 1 else 's'}"
