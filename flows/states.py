"""End a run in a Prefect state with a one-line message, the same as in the terminal."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, cast

from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from agent_r.errors import AgentRError
from flows.preflight import looking_once

# A name of its own, for a green "Completed" would hide it; automations can wait for it.
NOTHING_NEW = "NothingNew"

P = ParamSpec("P")
T = TypeVar("T")
_log = logging.getLogger("agent_r.flows")


def fails_in_one_line(
    work: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    """What is raised on purpose becomes a Failed state with its line; whoever awaits it meets it.

    Raised out of a flow it would be a traceback in the run's logs, for each flow that it crosses.
    """

    @functools.wraps(work)
    async def reported(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with looking_once():
                return await work(*args, **kwargs)
        except AgentRError as error:
            _log.debug("where it failed:", exc_info=True)
            return cast(T, Failed(message=str(error), data=error))

    # Prefect would look for the annotations' names in this module.
    vars(reported)["__signature__"] = inspect.signature(work, eval_str=True)
    return reported


def nothing_new(result: T, versions: list[str]) -> T:
    """The result of a run that found all it was to make.

    Prefect takes the state that a flow returns for its end, and whoever awaits it gets the data.
    """
    ended: State[T] = Completed(name=NOTHING_NEW, message=nothing_new_line(versions), data=result)
    return cast(T, ended)


def nothing_new_line(versions: list[str]) -> str:
    """
    >>> nothing_new_line(["v1.3"])
    'nothing new: v1.3 holds the same rows'
    """
    return f"nothing new: {', '.join(versions)} {'hold' if versions[1:] else 'holds'} the same rows"


def run_id() -> str:
    """Of the flow run that this is; it stays the same when the run is retried."""
    return str(flow_run.id)
