"""Print a run's results: a table, and the paths of its files."""

from __future__ import annotations

from rich.table import Table

from agent_r.collection.plan import dataset_folder
from agent_r.dataset.view.command import hint
from agent_r.diagnostics.account import account_lines
from agent_r.evaluation.report import HEADINGS, RunReport, notes, table
from agent_r.settings import Config, env_specs
from flows.cli.finding_rows import console_of
from flows.states import nothing_new_line


def show_report(report: RunReport, config: Config) -> None:
    """Print the table and the paths to standard output."""
    console = console_of()
    worlds = ", ".join(world.kind for world in env_specs(config.env))
    shown = Table(title=f"Agent-R on {worlds}, seed {report.seed}", title_justify="left")
    for heading in HEADINGS:
        shown.add_column(heading, overflow="fold", no_wrap=heading == "actor")
    for row in table(report):
        shown.add_row(*row)
    console.print(shown)
    if not report.new:
        versions = [it.built.dataset.version for it in report.iterations]
        console.print(nothing_new_line(versions))
    for line in notes(report):
        console.print(line)
    sign = "more" if report.gain > 0 else "less" if report.gain < 0 else "changed"
    console.print(
        f"Held-out success: {100 * abs(report.gain):.0f} points {sign} than at the start, "
        f"± {100 * report.gain_half_width:.0f} (95 %, the same tasks). "
        f"{report.seconds / 60:.1f} minutes.",
        highlight=False,
    )
    for it in report.iterations:
        print(f"iteration {it.iteration}")
        for line in [*account_lines(it.built.account), *it.built.advice]:
            print(f"  {line}")
    for it in report.iterations:
        print(f"dataset   {it.built.dataset.path}  ({it.built.dataset.digest[:12]})")
        if it.published:
            print(f"          {it.published.url}  (commit {it.published.commit[:12]})")
    folder = dataset_folder(config)
    print(f"model     {report.iterations[-1].model}")
    print(f"report    {folder / 'report.json'}")
    if (folder / "curve.png").is_file():
        print(f"picture   {folder / 'curve.png'}")
    print(hint(report.iterations[-1].built.dataset.path))
