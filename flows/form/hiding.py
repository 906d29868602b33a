"""Keep parameters of a flow out of its form: those that only another flow can give."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Flow

P = ParamSpec("P")
R = TypeVar("R")


def hides(*names: str) -> Callable[[Flow[P, R]], Flow[P, R]]:
    """The flow as it was, but a deployment of it does not ask for these."""

    def hiding(flow: Flow[P, R]) -> Flow[P, R]:
        signature = inspect.signature(flow.fn, eval_str=True)
        shown = [one for name, one in signature.parameters.items() if name not in names]
        # A deployment reads the flow's own signature; a call is bound to its function's.
        visible: Any = flow
        visible.__signature__ = signature.replace(parameters=shown)
        return flow

    return hiding
