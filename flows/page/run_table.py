"""Tables of an artifact's: in Markdown, and of a run's account."""

from __future__ import annotations

from collections.abc import Sequence

from agent_r.diagnostics.account import Account

BLOCKS = 12  # of a bar


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
