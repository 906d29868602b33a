"""Commands that look at what was made: its trees, its rows, its secrets."""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import sys
import webbrowser
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from agent_r import closing
from agent_r.config import load, overrides
from agent_r.environment import World
from agent_r.errors import DatasetError
from agent_r.settings import env_specs
from flows.cli.commands import on_hub, settings
from flows.cli.finding_rows import console_of, row
from flows.cli.runner import say

if TYPE_CHECKING:
    from agent_r.evaluation.view.kept_episodes import KeptEpisodes


def run_view(arguments: argparse.Namespace) -> int:
    """Write the page, print where it is, open it."""
    from agent_r.evaluation.view.kept_episodes import kept_at

    measured = kept_at(arguments.path)
    path = _view_trees(arguments) if measured is None else _view_episodes(arguments, measured)
    if arguments.out is None and not arguments.no_open:
        open_page(path)
    return 0


def _view_episodes(arguments: argparse.Namespace, measured: KeptEpisodes) -> Path:
    """A measurement's, or two side by side."""
    from agent_r.evaluation.view.episode_page import write_episodes
    from agent_r.evaluation.view.kept_episodes import kept_at

    shown = [measured]
    if arguments.other is not None:
        other = kept_at(arguments.other)
        if other is None:
            raise DatasetError(f"{arguments.other} is not a measurement, nor its episodes")
        shown.append(other)
    name = "-".join(["view", *(kept.folder.name for kept in shown)])
    out = arguments.out or measured.folder.parent / f"{name}.html"
    page = write_episodes(shown, out, task=arguments.task)
    some = "" if page.readable == page.episodes else f" ({page.readable:,} with their steps)"
    episodes = "1 episode" if page.episodes == 1 else f"{page.episodes:,} episodes"
    print(f"{page.path}: {episodes}{some}, {page.bytes / 1e6:.1f} MB")
    return page.path


def _view_trees(arguments: argparse.Namespace) -> Path:
    """A collection's trees."""
    from agent_r.dataset.view.page import write_page
    from agent_r.dataset.view.path import collection

    if arguments.other is not None:
        raise DatasetError(f"{arguments.path} is not a measurement: nothing is shown beside it")
    shown = collection(arguments.path, task=arguments.task)
    page = write_page(shown, arguments.out or shown.beside / f"{shown.name}.html")
    some = "" if page.drawn == page.trees else f" ({page.drawn:,} of them with their picture)"
    trees = "1 tree" if page.trees == 1 else f"{page.trees:,} trees"
    print(f"{page.path}: {trees}{some}, {page.bytes / 1e6:.1f} MB")
    return page.path


def run_verify(arguments: argparse.Namespace) -> int:
    """Execute a dataset again; 1 where a row differs."""
    from agent_r.dataset.verification import verify_version

    result = asyncio.run(verify_version(arguments.path, worlds_of_manifest(arguments)))
    say(closing.notes(result.unclosed))
    for line in result.problems[:20]:
        print(line, file=sys.stderr)
    unverified = f", {result.unverified} were published unverified" if result.unverified else ""
    print(
        f"{arguments.path}: {result.rows} rows executed, {len(result.problems)} differ{unverified}"
    )
    return 1 if result.problems else 0


def run_audit(arguments: argparse.Namespace) -> int:
    """Compare a dataset with what its worlds' experts know."""
    from agent_r.dataset.audit.audit_lines import audit_lines
    from agent_r.dataset.audit.version_audit import audit_version

    audit = asyncio.run(audit_version(arguments.path, worlds_of_manifest(arguments)))
    say([*closing.notes(audit.unclosed), *audit.faults[:20]])
    found = [json.dumps(audit.value, indent=2)] if arguments.json else audit_lines(audit.value)
    print("\n".join(found))
    return 0


def worlds_of_manifest(arguments: argparse.Namespace) -> Callable[[dict[str, Any]], World]:
    """How to make a manifest's worlds: with what the command's settings know of them."""
    from env_adapters import world_of_manifest

    over = overrides(arguments.set)
    own = env_specs(load(arguments.config, over=over).env) if arguments.config or over else ()
    return functools.partial(world_of_manifest, own=own)


def run_scan(arguments: argparse.Namespace) -> int:
    """List what must not go out, or write a version without it; 1 where something is left."""
    config = settings(arguments)
    from agent_r.dataset.manifest import peek
    from agent_r.hub.clean import clean
    from agent_r.hub.secret_scan import scan
    from flows.hub_client import detector_of

    contact = str(peek(arguments.path).get("contact", ""))
    detector = asyncio.run(detector_of(config)).reaching(contact)
    if not arguments.way:
        found = [f"{one.level}: {one}" for one in scan(arguments.path, detector)]
        print("\n".join([*found, f"{arguments.path}: {len(found)} findings"]))
        return 1 if found else 0
    elsewhere = on_hub(config.hub.repo) if config.hub.repo else None
    worlds = worlds_of_manifest(arguments)
    cleaned, done = asyncio.run(
        clean(arguments.path, arguments.way, detector, world_of=worlds, elsewhere=elsewhere)
    )
    print(
        f"{cleaned.path}: {dict(done.rows)} rows, of them {done.unverified} not verified any more"
    )
    return 0


def open_page(path: Path) -> None:
    """Open a page in a browser with windows; one that would take over this terminal is left."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return
    in_terminal = type(browser) is webbrowser.GenericBrowser or browser.name == "elinks"
    if not in_terminal:
        browser.open(path.resolve().as_uri())


SHOWN = 4_000  # characters of the row that is shown


def run_check_template(arguments: argparse.Namespace) -> int:
    """Render a version's rows, or an example; 1 where they cannot be trained on."""
    from agent_r.dataset.manifest import read_manifest
    from agent_r.dataset.shards import read_rows
    from agent_r.local_model.token_count import load
    from agent_r.training.template_check import check_template
    from flows.cli.try_screen import printable

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
    from flows.cli.try_screen import printable

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
