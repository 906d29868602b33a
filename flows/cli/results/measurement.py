"""Print a measurement, or two side by side: tables for a person, a JSON document for a script."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from agent_r.dataset.view.command import hint
from agent_r.endpoint.budget import prices
from agent_r.evaluation.compared_tables import costs_beside, gain_tables, who
from agent_r.evaluation.comparison import compare, read_measurement
from agent_r.evaluation.evaluate import Measurement
from agent_r.evaluation.score_tables import Table, cost_lines, document, tables, unsteady_line
from agent_r.settings import Config
from flows.cli.finding_rows import console_of


def show(
    measured: Measurement, config: Config, *, file: Path, episodes: Path, as_json: bool
) -> None:
    """Rates first, then the tables, what it cost, and where it lies."""
    prices_paid = prices(config.endpoint)
    if as_json:
        where = {"file": str(file), "episodes": str(episodes)}
        print(json.dumps(document(measured, prices_paid) | where, indent=2))
        return
    lines = [unsteady_line(measured), *cost_lines(measured, prices_paid)]
    rates = f"{measured.actor}: {measured.line()}  (95 %)"
    _print(console_of(), [rates], tables(measured), ["", *filter(None, lines)])
    print(f"measurement  {file}")
    print(hint(episodes))


def show_comparison(first: Path, last: Path, *, as_json: bool) -> None:
    """The last measurement against the first.

    Raises:
        DatasetError: one of them is none, or they are not of the same tasks and settings.
    """
    (one, before), (other, after) = map(read_measurement, (first, last))
    compared = compare(before, after, (str(one), str(other)))
    if as_json:
        print(compared.model_dump_json(indent=2))
        return
    _print(
        console_of(),
        who(compared, one, other),
        gain_tables(compared),
        ["", *costs_beside(before, after)],
    )


def _print(
    console: Console, above: Sequence[str], shown: Sequence[Table], below: Sequence[str]
) -> None:
    for line in above:
        console.print(line, markup=False)
    for table in shown:
        console.print()
        console.print(_grid(table))
    for line in below:
        console.print(line, markup=False)


def _grid(table: Table) -> Grid:
    """A table of plain text: nothing in a cell is markup."""
    grid = Grid(title=table.title, title_justify="left", title_style="bold")
    for at, heading in enumerate(table.headings):
        grid.add_column(heading, overflow="fold", justify="right" if at else "left")
    for row in table.rows:
        grid.add_row(*map(Text, row))
    return grid
