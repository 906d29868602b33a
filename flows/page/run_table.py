"""An artifact's text: Markdown as Prefect's pages read it, and a run's account as a table."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent_r.dataset.card.markup import inline
from agent_r.diagnostics.account import Account

BLOCKS = 12  # of a bar
MOST_CHARS = 400  # of a line


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


def account_rows(account: Account) -> list[dict[str, str]]:
    """What became of every reply, judgement, episode, tree and pair: a row for each count."""
    return [
        {"of all": name, "so many were": what.replace("_", " "), "how many": f"{n:,}",
         "share": f"{n / sum(table.values()):.0%}"}
        for name, table in account.model_dump().items()
        for what, n in table.items()
    ]  # fmt: skip


def bar(share: float) -> str:
    """
    >>> bar(0.5)
    '▓▓▓▓▓▓░░░░░░ 50 %'
    """
    full = round(BLOCKS * share)
    return f"{'▓' * full}{'░' * (BLOCKS - full)} {100 * share:.0f} %"


def plain(line: str) -> str:
    """A line in which nothing acts as markup: it may hold what a model or a server has said.

    >>> plain("no answer: <b>")
    'no answer\\\\: \\\\<b\\\\>'
    """
    return escaped(inline(line, MOST_CHARS))


def escaped(card: str) -> str:
    """A card's text for Prefect's pages, which show entities as they are spelt.

    >>> escaped("&#91;a&#93; <span>&#64;</span>b")
    '\\\\[a\\\\] \\\\@b'
    """
    marks = re.sub(r"&#(\d+);", lambda entity: f"\\{chr(int(entity[1]))}", card)
    return re.sub(r"</?span>", "", marks)
