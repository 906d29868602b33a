"""Publish a measurement as a Prefect artifact: its rates and tables, and where its episodes lie."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from agent_r.dataset.view.command import command
from agent_r.endpoint.budget import prices
from agent_r.evaluation.evaluate import Measurement
from agent_r.evaluation.score_tables import cost_lines, tables, unsteady_line
from agent_r.settings import Config
from flows.page.one_artifact import key, leave
from flows.page.run_table import markdown, plain


async def show_measurement(
    measured: Measurement, config: Config, file: Path, episodes: Path
) -> None:
    """One actor's measurement; that of a whole loop's actors is in its report."""
    lines = [unsteady_line(measured), *cost_lines(measured, prices(config.endpoint))]
    lines += measured.notes()
    parts = [f"# {plain(measured.actor)}", f"**{measured.line()}** (95 %)."]
    for table in await asyncio.to_thread(tables, measured):
        rows = [[plain(cell) for cell in row] for row in table.rows]
        parts += [f"## {table.title}", markdown(table.headings, rows)]
    parts += [
        "\n".join(f"- {plain(line)}" for line in lines if line),
        f"It lies in `{file.absolute()}` on `{socket.gethostname()}`; there "
        f"`{command(episodes.absolute())}` opens a page of all its episodes.",
    ]
    name = key("measurement", config.dataset.name)
    await leave(name, "markdown", "\n\n".join(parts), measured.line())
