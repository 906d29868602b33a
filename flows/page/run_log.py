"""Bring what a run says to its page: our own log, with no setting of the worker's.

Warnings, and the line that begins or ends a stage, are in the log of the run that a person started
as well, though a run within it says them.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_API_URL

from agent_r.errors import AgentRError

_ours = logging.getLogger("agent_r")
_log = logging.getLogger("agent_r.progress")
_started: ContextVar[UUID | None] = ContextVar("started", default=None)
_STAGE = {"stage": True}


def tell(line: str) -> None:
    """What a stage of the run sets out to do, or what came of it."""
    _log.info("%s", line, extra=_STAGE)


def warn(notes: Iterable[str]) -> None:
    """What a person should know of a run, in its page's log and in a terminal alike."""
    for note in notes:
        _log.warning("%s", note)


@contextmanager
def on_its_page() -> Iterator[None]:
    """Within, a run of Prefect's shows what we log; the outermost one all that matters.

    A temporary server's page is seen by nobody: nothing is sent there.
    """
    run = _run()
    if run is not None and PREFECT_API_URL.value():
        _ours.addHandler(_to_page)
        if _ours.level == logging.NOTSET:
            _ours.setLevel(logging.INFO)
    for engine in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(engine).addFilter(_in_one_line)
    before = _started.set(_started.get() or run)
    try:
        yield
    finally:
        _started.reset(before)


def started_run() -> UUID | None:
    """The run that a person started: it has those that it starts on its page."""
    return _started.get() or _run()


class _ToPage(APILogHandler):
    def emit(self, record: logging.LogRecord) -> None:
        run, started = _run(), _started.get()
        if run is None:
            return  # a thread of a library's
        super().emit(record)
        matters = record.levelno >= logging.WARNING or hasattr(record, "stage")
        if matters and started not in (None, run):
            again = copy.copy(record)
            again.flow_run_id = started
            super().emit(again)


def _in_one_line(record: logging.LogRecord) -> bool:
    """What was raised on purpose is its line; anything else is a bug, and keeps its traceback."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, AgentRError):
        record.msg, record.args, record.exc_info = str(error), (), None
    return True


def _run() -> UUID | None:
    """The run that calls; None where there is none."""
    if (task := TaskRunContext.get()) is not None:
        return task.task_run.flow_run_id
    flow = FlowRunContext.get()
    return flow.flow_run.id if flow is not None and flow.flow_run is not None else None


_to_page = _ToPage()
