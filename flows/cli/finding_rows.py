"""Print a check's findings as rows: a mark, a name, and what was found."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 108
MARKS = {"ok": ("✓", "green"), "failed": ("✗", "red"), "warned": ("!", "yellow"),
         "skipped": ("–", "dim")}  # fmt: skip


class Paper(Console):
    """A console whose reader may leave: that ends the command, and is no failure of it."""

    def on_broken_pipe(self) -> None:
        try:
            super().on_broken_pipe()  # what is left goes nowhere
        except SystemExit:
            raise SystemExit(0) from None


def console_of() -> Console:
    """Standard output; a log file has no width, and rich would assume 80."""
    console = Paper(highlight=False)
    return console if console.is_terminal else Paper(width=WIDTH, highlight=False)


def row(verdict: str, name: str, text: str, *, width: int) -> Table:
    """One finding; `width` is that of the longest name."""
    mark, style = MARKS[verdict]
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=1)
    table.add_column(width=width)
    table.add_column(overflow="fold")
    table.add_row(Text(mark, style=style), Text(name), Text(text))
    return table
