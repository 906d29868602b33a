"""Show Prefect's failures in one line; bugs of our own keep their traceback."""

from __future__ import annotations

import asyncio
import sys
from types import TracebackType

from agent_r.concurrency import first_of
from agent_r.errors import PrefectFault
from agent_r.printable import public_line

PATIENCE_S = 30.0  # for a first answer; Prefect's own client would try for minutes
OR_ELSE = "start it, or unset PREFECT_API_URL: then the run needs none"
_OURS = {"agent_r", "env_adapters", "flows", "tasks"}
MAX_SAID_CHARS = 300


async def check_server(remedy: str = OR_ELSE) -> None:
    """Find out before a run whether Prefect's server answers; the temporary one is not there yet.

    Raises:
        PrefectFault: it does not; or whatever Prefect's client makes of its answers.
    """
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        return
    try:
        async with asyncio.timeout(PATIENCE_S), get_client() as client:
            failure = await client.api_healthcheck()
    except TimeoutError:
        raise PrefectFault(f"{_server(remedy)}: no answer in {PATIENCE_S:.0f} s") from None
    if failure is not None:
        raise PrefectFault(f"{_server(remedy)}: {_cause(failure)}") from None


def prefect_fault(error: BaseException) -> PrefectFault | None:
    """The failure in a line, where it is Prefect's: of its code, below which there is none of ours.

    A run passes Prefect's engine in any case, so what counts is who was at work last.
    """
    if isinstance(error, BaseExceptionGroup):
        error = first_of(error)
    if type(error).__module__.partition(".")[0] != "prefect" and _at_work(error) != "prefect":
        return None
    return PrefectFault(f"{_server()}: {_cause(error)}")


def _at_work(error: BaseException) -> str:
    """The last package, of Prefect's and ours, that the error came out of."""
    last, trace = "", error.__traceback__
    while trace is not None:
        if (package := _package(trace)) in {*_OURS, "prefect"}:
            last = package
        trace = trace.tb_next
    return last


def _package(trace: TracebackType) -> str:
    return str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]


def _server(remedy: str = OR_ELSE) -> str:
    """Which server it is; the temporary one has no address that says anything."""
    settings = sys.modules.get("prefect.settings")
    url = str(settings.PREFECT_API_URL.value() or "") if settings else ""
    if not url:
        return "Prefect's temporary server cannot be used"
    return f"Prefect's server at {public_line(url)} cannot be used ({remedy})"


def _cause(error: BaseException) -> str:
    """The first line of what was said; what lies behind it where it says nothing."""
    text, inner = str(error), error.__cause__ or error.__context__
    while inner is not None and not text.strip():
        text, inner = str(inner), inner.__cause__ or inner.__context__
    line = next((line for line in text.splitlines() if line.strip()), type(error).__name__)
    return public_line(line)[:MAX_SAID_CHARS]
