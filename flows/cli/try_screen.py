"""Show an episode in the terminal as it happens; its texts are never markup."""

from __future__ import annotations

import json
from collections.abc import Mapping

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from agent_r.algorithm.critique import Critique
from agent_r.diagnostics.live_episode import LiveTurn, Played
from agent_r.endpoint.transport import Sent
from agent_r.reading.reply import Outcome

LONGEST = 1_500  # characters of one text on the screen
LONGEST_SENT = 100  # of one message of a request
_ODD = {
    Outcome.NO_ACTION: "no action in it",
    Outcome.CUT: "cut by the token limit",
    Outcome.EMPTY: "empty",
    Outcome.FILTERED: "stopped by a content filter",
    Outcome.FAILED: "broken off by the server",
}
_VERDICTS = {"Good": "green", "Bad": "red", "Uncertain": "yellow"}


class Screen:
    """Implements Audience: shows all of it on a console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._instructed: set[str] = set()  # worlds whose instruction was shown

    def begins(self, played: Played) -> None:
        title = f"{played.world.name} {played.world.version} · {played.task.id}"
        self._console.print(Text(printable(title), style="bold"))
        if played.world.name not in self._instructed:
            self._instructed.add(played.world.name)
            self._show("instruction", played.world.instruction, "dim")
        self._show("world", played.prompt, "cyan")

    def says(self, turn: LiveTurn) -> None:
        self._console.print()
        if turn.reading.reasoning:
            self._show(f"{turn.number:>3} reasons", turn.reading.reasoning, "dim italic")
        outcome = turn.reading.outcome
        read = outcome is Outcome.ACTION or turn.reading.reasoning
        text = turn.reading.text if read else turn.completion.text  # with marks and all, where odd
        self._console.print(_row(f"{turn.number:>3} actor", marked(text, turn.reading.action)))
        if outcome is not Outcome.ACTION:
            end = turn.completion.finish_reason
            text = f"✗ {_ODD[outcome]} (finish_reason: {printable(end) or 'none'})"
            self._console.print(_row("", Text(text, style="bold red")))

    def answers(self, turn: LiveTurn) -> None:
        asked = turn.reading.outcome is Outcome.ACTION
        self._show("world" if asked else "we", turn.observation or "", "cyan" if asked else "dim")
        if turn.reward:
            self._console.print(_row("", Text(f"reward {turn.reward:g}", style="magenta")))

    def ends(self, played: Played) -> None:
        if (episode := played.episode) is None:
            return
        how = str(episode.stop).replace("_", " ")
        text = f"reward {episode.reward:g} after {len(episode.steps)} steps ({how})"
        self._console.print()
        self._console.print(_row("end", Text(text, style="bold magenta")))

    def judges(self, step: int, critique: Critique) -> None:
        self._console.print()
        if critique.reasoning:
            self._show("reasons", critique.reasoning, "dim italic")
        verdict = str(critique.verdict or "no verdict")
        self._show("judge", critique.reason if critique.verdict else critique.text, "dim")
        text = Text(f"step {step}: {verdict}", style=f"bold {_VERDICTS.get(verdict, 'red')}")
        self._console.print(_row("", text))

    def _show(self, who: str, text: str, style: str) -> None:
        self._console.print(_row(who, Text(shortened(printable(text)), style=style)))


def _row(who: str, text: Text) -> Table:
    """A name in the margin, and the text beside it, its own lines kept."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=12, justify="right", style="bold")
    table.add_column(overflow="fold")
    table.add_row(Text(who), text)
    return table


def marked(text: str, action: str) -> Text:
    """A reply with its action marked; where that is spelt otherwise in it, it stands below."""
    shown = Text(shortened(printable(text)))
    if not action:
        return shown
    at = shown.plain.rfind(printable(action))
    if at >= 0:
        shown.stylize("bold green", at, at + len(printable(action)))
    else:
        shown.append(f"\n→ {printable(action)}", style="bold green")
    return shown


def request(sent: Sent) -> Padding:
    """A request as it went out, a line for each message, long texts shortened."""
    body = dict(sent.body)
    messages = ",\n    ".join(_message(one) for one in body.pop("messages", ()))
    lines = [
        f"POST {sent.url}",
        *(f"{name}: {value}" for name, value in sent.headers.items()),
        "{",
        f'  "messages": [\n    {messages}\n  ],',
        f"  {json.dumps(body, ensure_ascii=False)[1:-1]}",
        "}",
    ]
    return Padding(Text(printable("\n".join(lines)), style="dim"), (0, 0, 0, 2), expand=False)


def _message(message: Mapping[str, str]) -> str:
    short = {name: shortened(text, LONGEST_SENT) for name, text in message.items()}
    return json.dumps(short, ensure_ascii=False)


def shortened(text: str, most: int = LONGEST) -> str:
    """A text's beginning, and how long it is.

    >>> shortened("abcdef", 4)
    'abcd… (6 characters)'
    """
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def printable(text: str) -> str:
    """A text that moves no cursor and sets no colour.

    >>> printable("a\\x1b[31mb\\tc\\nd")
    'a�[31mb c\\nd'
    """
    return "".join(
        c if c.isprintable() or c == "\n" else " " if c in "\t\r" else "\ufffd" for c in text
    )
