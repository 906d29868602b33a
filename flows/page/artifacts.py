"""Publish a run's results as Prefect artifacts: its dataset version, report and curve."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect.events import emit_event

from agent_r.dataset.build import BuildResult
from agent_r.dataset.card.facts import ManifestFacts
from agent_r.dataset.card.page import example
from agent_r.dataset.card.tree_figure import TREE
from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.view.command import command
from agent_r.evaluation.report import HEADINGS, RunReport, notes, table
from agent_r.hub.publish import Published
from flows.page.one_artifact import in_line, key, leave
from flows.page.run_table import escaped, markdown, plain
from tasks.orchestration import plain_run

WRITTEN = "agent_r.dataset.written"
PUBLISHED = "agent_r.dataset.published"
TRAINED = "agent_r.model.trained"


async def show_version(
    built: BuildResult, *, name: str, actor: str, iteration: int, warnings: Sequence[str]
) -> None:
    """A dataset version: where it is, what went into it, what was dropped and why."""
    ref = built.dataset
    counted = [[what, f"{n:,}"] for what, n in built.counts.items()]
    dropped = [[f"dropped: {why}", f"{n:,}"] for why, n in built.drops.items()]
    path = Path(ref.path).absolute()
    parts = [
        f"# {name} {ref.version}",
        f"Iteration {iteration}, actor `{actor}`.",
        "\n".join(f"- **!** {plain(line)}" for line in warnings),
        f"It lies in `{path}` on `{socket.gethostname()}` (digest `{ref.digest[:12]}`). There "
        f"`{command(path)}` opens a page of all its trees, with every judgement and row.",
        await asyncio.to_thread(one_revision, path),
        "## What went into it",
        markdown(("what", "how many"), counted + dropped),
    ]
    await leave(
        key("dataset", name),
        "markdown",
        "\n\n".join(filter(None, parts)),
        f"{ref.version}: {built.counts.get('revisions', 0)} revisions, "
        f"{built.counts.get('good', 0)} good",
    )


def one_revision(version: Path) -> str:
    """A revision of a version's, turn by turn, with the picture of its tree in it."""
    text = escaped(example(ManifestFacts(read_manifest(version))))
    picture = version / TREE
    if not picture.is_file():
        return text
    return text.replace(f"]({TREE})", f"]({in_line(picture.read_bytes())})")


async def show_published(published: Published) -> None:
    """Where a version is on the Hub."""
    await leave(
        key("hub", published.dataset),
        "markdown",
        f"[{published.address}]({published.url})",
        f"commit `{published.commit[:12]}`, digest `{published.digest[:12]}`",
    )


def announce_written(built: BuildResult, *, name: str, iteration: int) -> None:
    """A version lies in its folder: what a deployment of `publish` can wait for."""
    _emit(WRITTEN, f"dataset.{name}", asdict(built.dataset) | {"iteration": iteration})


def announce_published(published: Published) -> None:
    """A version can be trained on: `path` is its address on the Hub, or its folder."""
    payload = {"path": published.address} | published.model_dump()
    _emit(PUBLISHED, f"dataset.{published.dataset}", payload)


def announce_folder(built: BuildResult, *, name: str, iteration: int) -> None:
    """Announce the folder as a version to train on, where no Hub is configured."""
    _emit(PUBLISHED, f"dataset.{name}", asdict(built.dataset) | {"iteration": iteration})


def announce_trained(model: str, *, name: str, iteration: int) -> None:
    """A model can be measured: `path` is its folder."""
    _emit(TRAINED, f"model.{name}", {"path": model, "iteration": iteration})


def _emit(event: str, what: str, payload: dict[str, Any]) -> None:
    if plain_run() is not None:  # nobody waits for it
        return
    emit_event(event, resource={"prefect.resource.id": f"agent_r.{what}"}, payload=payload)


async def show_report(report: RunReport, picture: Path) -> None:
    """The whole run: the gain, the curve where it could be drawn, the table, and what was left."""
    gain = gain_line(report)
    measures = zip(HEADINGS, *table(report), strict=True)
    (_, *actors), *rows = ([*row] for row in measures)
    parts = [
        f"# {report.dataset}, seed {report.seed}",
        f"**{gain}** on held-out tasks, last actor against first (95 %, the same tasks).",
    ]
    if picture.is_file():
        address = in_line(picture.read_bytes())
        parts.append(f"![success, recovery and share kept by iteration]({address})")
    parts += [markdown(("", *actors), rows), "\n".join(f"- {line}" for line in notes(report))]
    host = f"On `{socket.gethostname()}`:"
    files = [f"- model `{Path(report.iterations[-1].model).absolute()}`"]
    for it in report.iterations:
        path = Path(it.built.dataset.path).absolute()
        files.append(f"- dataset `{path}`; `{command(path)}` shows its trees")
        if it.published is not None:
            files.append(f"- published as [{it.published.address}]({it.published.url})")
    parts += ["## Where it lies", host, "\n".join(files)]
    await leave(key("report", report.dataset), "markdown", "\n\n".join(parts), gain)


def gain_line(report: RunReport) -> str:
    """What all came to."""
    return f"{100 * report.gain:+.0f} ± {100 * report.gain_half_width:.0f} points of success"
