"""What the run that a person started shows while it runs: its stages, its warnings, its account."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from uuid import UUID

from agent_r.collection.progress import Progress, watched
from agent_r.diagnostics.account import Account
from flows.page.run_table import account_rows, bar, plain

MOST_WARNINGS = 12  # shown; the log has all
DONE, FAILED, STOPPED = "done", "failed", "stopped"


@dataclass(slots=True)
class Stage:
    """One run of a flow's: the loop has many, a run by itself is the only one."""

    name: str = ""  # unnamed, it is not shown: it has not begun, or is over at once
    line: str = ""  # what it sets out to do, or what came of it
    progress: Progress | None = None  # the newest count of it
    end: str = ""

    def fail(self, line: str) -> None:
        self.line, self.end = line, FAILED

    def text(self) -> str:
        """An item of a list: what came of it, or how far it is."""
        if self.end or self.progress is None:
            line = f": {plain(self.line)}" if self.line else ""
            return f"- **{self.name}**, {self.end or 'begun'}{line}"
        done = self.progress.line()
        return f"- **{self.name}** {bar(self.progress.share)}: {done}"


@dataclass(slots=True)
class RunPage:
    """All that is known of a run by now; `run` is the one that a person started."""

    run: UUID
    dataset: str = ""
    stages: list[Stage] = field(default_factory=list)
    warnings: Counter[str] = field(default_factory=Counter)
    account: Callable[[], Account] = Account
    counted: str = ""  # what the account is of

    @property
    def shown(self) -> list[Stage]:
        """Its own stage says nothing that those within it do not say, as long as it runs."""
        named = [stage for stage in self.stages if stage.name]
        return named if len(named) == 1 else [*named[1:], *(one for one in named[:1] if one.end)]

    @property
    def newest(self) -> str:
        """How far it is, in a line."""
        last = next((s for s in reversed(self.shown) if not s.end), None) or self.shown[-1]
        return plain(last.line) if last.end or not last.progress else last.progress.line()

    def progress(self) -> str:
        """Its stages, and what a person should know of them."""
        stages = [stage.text() for stage in self.shown]
        listed = [f"- **!** {plain(line)}" for line in list(self.warnings)[:MOST_WARNINGS]]
        if (more := len(self.warnings) - len(listed)) > 0:
            listed.append(f"- {more} warnings more are in the log")
        return "\n".join([*stages, *(["\n## Warnings\n"] if listed else []), *listed])

    def rows(self) -> tuple[list[dict[str, str]], str]:
        """The account as a table, and what it is of."""
        account = self.account()
        trees = sum(account.trees.values())
        return account_rows(account), f"{self.counted}: {trees:,} trees"


_page: ContextVar[RunPage | None] = ContextVar("page", default=None)
_stage: ContextVar[Stage | None] = ContextVar("stage", default=None)


@contextmanager
def opened(run: UUID) -> Iterator[tuple[RunPage, Stage]]:
    """Add a stage to the page of the run that a person started, or begin that page."""
    page, stage = _page.get() or RunPage(run), Stage()
    page.stages.append(stage)
    tokens = _page.set(page), _stage.set(stage)
    try:
        with watched(_counting):
            yield page, stage
    except Exception:
        stage.end = FAILED
        raise
    except BaseException:  # it was cancelled, or suspended
        stage.end = stage.end or STOPPED
        raise
    finally:
        stage.end = stage.end or DONE
        _page.reset(tokens[0])
        _stage.reset(tokens[1])


def current_page() -> RunPage | None:
    """That of the run that a person started; None outside of any."""
    return _page.get()


def current_stage() -> Stage:
    """Of the run that calls; outside of any, one that nobody sees."""
    return _stage.get() or Stage()


def show_account(account: Callable[[], Account], of: str) -> None:
    """From now on the page has this account, as it is when somebody looks."""
    if (page := _page.get()) is not None:
        page.account, page.counted = account, of


def _counting(progress: Progress) -> None:
    current_stage().progress = progress
