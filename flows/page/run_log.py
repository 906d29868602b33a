"""Bring what a run says to its page: our own log, with no setting of the worker's.

Warnings, and the line that begins or ends a stage, are in the log of the run that a person started
as well, though a run within it says them.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable

from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_API_URL

from agent_r.errors import AgentRError
from flows.page.run_page import current_page, current_stage
from flows.page.this_run import run_id

_ours = logging.getLogger("agent_r")
_log = logging.getLogger("agent_r.progress")
_STAGE = {"stage": True}


def tell(line: str) -> None:
    """What a stage of the run sets out to do, or what came of it."""
    stage = current_stage()
    stage.line = line
    _log.info("%s: %s", stage.name, line, extra=_STAGE)


def warn(notes: Iterable[str]) -> None:
    """What a person should know of a run, in its page's log and in a terminal alike."""
    for note in notes:
        _log.warning("%s", note)


def log_to_page() -> None:
    """From now on a run of Prefect's shows what we log; a temporary server's is seen by nobody."""
    if run_id() is not None and PREFECT_API_URL.value():
        _ours.addHandler(_to_page)
        if _ours.level == logging.NOTSET:
            _ours.setLevel(logging.INFO)
    for engine in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(engine).addFilter(_in_one_line)


class _ToPage(APILogHandler):
    def emit(self, record: logging.LogRecord) -> None:
        run, page = run_id(), current_page()
        if run is None:
            return  # a thread of a library's
        super().emit(record)
        warning = record.levelno >= logging.WARNING and record.name == _log.name
        if page is None or not (warning or hasattr(record, "stage")):
            return
        if warning:
            page.warnings[record.getMessage()] += 1
        if page.run != run:
            again = copy.copy(record)
            again.flow_run_id = page.run
            super().emit(again)


def _in_one_line(record: logging.LogRecord) -> bool:
    """What was raised on purpose is its line; anything else is a bug, and keeps its traceback."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, AgentRError):
        record.msg, record.args, record.exc_info = str(error), (), None
    return True


_to_page = _ToPage()
