"""Publish a run's results as Prefect artifacts: its dataset version, report and curve."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect.artifacts import acreate_link_artifact, acreate_markdown_artifact
from prefect.events import emit_event

from agent_r.dataset.build import BuildResult
from agent_r.dataset.view.command import command
from agent_r.diagnostics.account import Account
from agent_r.evaluation.report import HEADINGS, RunReport, notes, table
from agent_r.hub.publish import Published

WRITTEN = "agent_r.dataset.written"
PUBLISHED = "agent_r.dataset.published"


async def show_version(built: BuildResult, *, name: str, actor: str, iteration: int) -> None:
    """A dataset version: where it is, what went into it, what was dropped and why."""
    ref = built.dataset
    counted = [[what, f"{n:,}"] for what, n in built.counts.items()]
    dropped = [[f"dropped: {why}", f"{n:,}"] for why, n in built.drops.items()]
    await acreate_markdown_artifact(
        f"# {name} {ref.version}\n\nIteration {iteration}, actor `{actor}`.\n\n"
        f"`{ref.path}`, digest `{ref.digest}`; `{command(ref.path)}` shows its trees\n\n"
        + markdown(("what", "how many"), counted + dropped)
        + "\n\n"
        + account_table(built.account)
        + "".join(f"\n\n**{line}**" for line in built.advice),
        key=key("dataset", name),
        description=f"{ref.version}: {built.counts.get('revisions', 0)} revisions, "
        f"{built.counts.get('good', 0)} good",
    )


def account_table(account: Account) -> str:
    """What became of every reply, episode, tree and pair."""
    rows = [
        [name, what.replace("_", " "), f"{n:,}"]
        for name, table in account.model_dump().items()
        for what, n in table.items()
    ]
    return markdown(("of all", "so many were", "how many"), rows)


async def show_published(published: Published) -> None:
    """Where a version is on the Hub."""
    await acreate_link_artifact(
        published.url,
        link_text=published.address,
        key=key("hub", published.dataset),
        description=f"commit `{published.commit}`, digest `{published.digest}`",
    )


def announce_written(built: BuildResult, *, name: str, iteration: int) -> None:
    """A version lies in its folder: what a deployment of `publish` can wait for."""
    _emit(WRITTEN, name, asdict(built.dataset) | {"iteration": iteration})


def announce_published(published: Published) -> None:
    """A version can be trained on: `path` is its address on the Hub, or its folder."""
    _emit(PUBLISHED, published.dataset, {"path": published.address} | published.model_dump())


def announce_folder(built: BuildResult, *, name: str, iteration: int) -> None:
    """Announce the folder as a version to train on, where no Hub is configured."""
    _emit(PUBLISHED, name, asdict(built.dataset) | {"iteration": iteration})


def _emit(event: str, name: str, payload: dict[str, Any]) -> None:
    emit_event(event, resource={"prefect.resource.id": f"agent_r.dataset.{name}"}, payload=payload)


async def show_report(report: RunReport, picture: Path) -> None:
    """The whole run: the gain, the table, and the curve where it could be drawn."""
    gain = gain_line(report)
    parts = [
        f"# {report.dataset}, seed {report.seed}",
        f"**{gain}** on held-out tasks, last actor against first (95 %, the same tasks).",
        markdown(HEADINGS, table(report)),
        *notes(report),
    ]
    if picture.is_file():
        data = base64.b64encode(picture.read_bytes()).decode()
        parts.append(
            f"![success, recovery and share kept by iteration](data:image/png;base64,{data})"
        )
    parts += [f"Model: `{report.iterations[-1].model}`"]
    paths = [it.built.dataset.path for it in report.iterations]
    parts += [f"Dataset: `{path}`; `{command(path)}` shows its trees" for path in paths]
    await acreate_markdown_artifact(
        "\n\n".join(parts), key=key("report", report.dataset), description=gain
    )


def gain_line(report: RunReport) -> str:
    """What all came to."""
    return f"{100 * report.gain:+.0f} ± {100 * report.gain_half_width:.0f} points of success"


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table.

    >>> print(markdown(("a", "b"), [["1", "x|y"]]))
    | a | b |
    | --- | --- |
    | 1 | x\\|y |
    """
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


def key(kind: str, name: str) -> str:
    """One artifact's name; the runs of one dataset are its history.

    >>> key("report", "My_Data.2")
    'report-my-data-2'
    """
    return f"{kind}-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}"
