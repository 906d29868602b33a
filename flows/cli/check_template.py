"""`agent-r check-template`: how rows come out with a model's chat template."""

from __future__ import annotations

import argparse
from itertools import islice

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from flows.cli.finding_rows import console_of, row
from flows.cli.try_screen import printable

SHOWN = 4_000  # characters of the row that is shown


def run_check_template(arguments: argparse.Namespace) -> int:
    """Render a version's rows, or an example; 1 where they cannot be trained on."""
    from agent_r.dataset.manifest import read_manifest
    from agent_r.dataset.shards import read_rows
    from agent_r.local_model.token_count import load
    from agent_r.training.template_check import check_template

    rows: list[list[dict[str, object]]] = []
    if arguments.version is not None:
        read_manifest(arguments.version)
        first = islice(read_rows(arguments.version, "sft", "train"), arguments.rows)
        rows = [one["messages"] for one in first]
    report = check_template(load(arguments.model), rows)
    console = console_of()
    width = max(len(finding.name) for finding in report.findings)
    for finding in report.findings:
        console.print(row(finding.mark, finding.name, printable(finding.text), width=width))
    show(report.shown, console)
    return 0 if report.usable else 1


def show(pieces: list[tuple[str, bool]], console: Console) -> None:
    """A row's text; what is trained is green, and marked for those who see no colour."""
    if not pieces:
        return
    text = Text()
    for piece, trained in pieces:
        if trained:
            text.append(f"⟦{printable(piece)}⟧", style="bold green")
        else:
            text.append(printable(piece), style="dim")
    console.print()
    console.print(Text("The first row, its trained tokens in ⟦ ⟧", style="bold"))
    console.print(Padding(text[:SHOWN], (0, 0, 0, 2)))
