"""End a run in a Prefect state with a one-line message, the same as in the terminal."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, cast

from prefect.client.schemas.objects import State
from prefect.exceptions import ParameterTypeError
from prefect.states import Completed, Failed
from pydantic import ValidationError

from agent_r.errors import AgentRError, ConfigError, NothingMade
from agent_r.settings import first_problem
from flows.page.run_log import warn
from flows.page.run_names import rename
from flows.page.this_run import this_flow
from flows.page.upkeep import on_its_page
from flows.preflight import looking_once
from tasks.orchestration import plain_run

# A name of its own, for a green "Completed" would hide it; automations can wait for it.
NOTHING_NEW = "NothingNew"

P = ParamSpec("P")
T = TypeVar("T")
_log = logging.getLogger("agent_r.flows")
_prefects = logging.getLogger("prefect.flows")


def fails_in_one_line(
    work: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    """What is raised on purpose becomes a Failed state with its line; whoever awaits it meets it.

    Raised out of a flow it would be a traceback in the run's logs, for each flow that it crosses.
    """

    signature = inspect.signature(work, eval_str=True)

    @functools.wraps(work)
    async def reported(*args: P.args, **kwargs: P.kwargs) -> T:
        async with on_its_page() as stage:
            try:
                understood = _validated(signature.bind(*args, **kwargs))
                with looking_once():
                    return await work(*understood.args, **understood.kwargs)
            except AgentRError as error:
                stage.fail(str(error))
                if not stage.name:
                    await rename(f"{work.__name__.replace('_', '-')}, refused")
                _log.debug("where it failed:", exc_info=True)
                if isinstance(error, NothingMade):
                    warn(error.lines)
                    error.lines = []  # they were said: whoever awaits this run need not
                if plain_run() is not None:
                    raise
                return cast(T, Failed(message=str(error), data=error))

    # Prefect would look for the annotations' names in this module.
    vars(reported)["__signature__"] = signature
    return reported


def _validated(parameters: inspect.BoundArguments) -> inspect.BoundArguments:
    """A run's parameters as its flow wants them; Prefect's own check would end in a traceback.

    Raises:
        ConfigError: the first that cannot be, in one line.
    """
    if (flow := this_flow()) is not None:
        _prefects.disabled = True  # it would log all parameters of a run with a wrong one
        try:
            values = flow.validate_parameters(dict(parameters.arguments))
        except ParameterTypeError as error:
            cause = error.__cause__ or error.__context__
            what = first_problem(cause) if isinstance(cause, ValidationError) else cause or error
            raise ConfigError(str(what)) from None
        finally:
            _prefects.disabled = False
        parameters.arguments.update(values)
    return parameters


def nothing_new(result: T, versions: list[str]) -> T:
    """The result of a run that found all it was to make.

    Prefect takes the state that a flow returns for its end, and whoever awaits it gets the data.
    """
    if plain_run() is not None:
        return result
    ended: State[T] = Completed(name=NOTHING_NEW, message=nothing_new_line(versions), data=result)
    return cast(T, ended)


def nothing_new_line(versions: list[str]) -> str:
    """
    >>> nothing_new_line(["v1.3"])
    'nothing new: v1.3 holds the same rows'
    """
    return f"nothing new: {', '.join(versions)} {'hold' if versions[1:] else 'holds'} the same rows"
