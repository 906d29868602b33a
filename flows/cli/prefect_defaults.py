"""Prefect's settings inside a command of ours."""

from __future__ import annotations

import logging
from pathlib import Path

from agent_r.config import default_environment


def quiet_prefect(home: Path) -> None:
    """Settings for Prefect inside a command of ours; what the user has set stays as it is.

    A home of its own keeps the user's untouched; the embedded server may need more than Prefect's
    20 s at its first start; without the silence a failed run prints a traceback per layer.
    """
    default_environment({
        "PREFECT_HOME": str(home.resolve()),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # A server of the user's may have an automation that waits for a sign of life as often.
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    })  # fmt: skip
    # At a run's end it warns of events that it is still sending: that is its work, and no news.
    logging.getLogger("EventsWorker").setLevel(logging.ERROR)
    # Of a server that dies meanwhile it would say so for each log line; the run says it, once.
    logging.raiseExceptions = False
