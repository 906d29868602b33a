"""`agent-r view`: write the page of a run's trees, and open it where there is a browser."""

from __future__ import annotations

import argparse
import webbrowser
from pathlib import Path


def run_view(arguments: argparse.Namespace) -> int:
    """Write the page, print where it is, open it."""
    from agent_r.dataset.view.page import write_page
    from agent_r.dataset.view.path import collection

    shown = collection(arguments.path, task=arguments.task)
    page = write_page(shown, arguments.out or shown.beside / f"{shown.name}.html")
    some = "" if page.drawn == page.trees else f" ({page.drawn:,} of them with their picture)"
    trees = "1 tree" if page.trees == 1 else f"{page.trees:,} trees"
    print(f"{page.path}: {trees}{some}, {page.bytes / 1e6:.1f} MB")
    if arguments.out is None and not arguments.no_open:
        open_page(page.path)
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
