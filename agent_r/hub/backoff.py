"""Retry a call to the Hub until it succeeds or no tries are left."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from agent_r.errors import HubUnavailable

FIRST_WAIT_S = 1.0
MAX_WAIT_S = 600.0  # the Hub's own limits are counted in windows of five minutes
ATTEMPTS = 8

_log = logging.getLogger(__name__)
T = TypeVar("T")


def patiently(
    what: str,
    work: Callable[[], T],
    *,
    attempts: int = ATTEMPTS,
    sleep: Callable[[float], None] = time.sleep,
    rng: random.Random | None = None,
) -> T:
    """Retry what failed for a passing reason; waits double, or are what the Hub asks for.

    Raises:
        HubUnavailable: all tries are used up.
    """
    rng = rng or random.Random()

    def wait(state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome else None
        asked = failure.after_s if isinstance(failure, HubUnavailable) else 0.0
        widest = FIRST_WAIT_S * 2 ** min(state.attempt_number - 1, 8)
        return min(asked + rng.uniform(widest / 2, widest), MAX_WAIT_S)

    def note(state: RetryCallState) -> None:
        failure = state.outcome.exception() if state.outcome else None
        _log.info("%s, try %d: %s", what, state.attempt_number, failure)

    tries = Retrying(
        retry=retry_if_exception_type(HubUnavailable),
        stop=stop_after_attempt(attempts),
        wait=wait,
        sleep=sleep,
        before_sleep=note,
        reraise=True,
    )
    try:
        return tries(work)
    except HubUnavailable as error:
        tried = f"gave up after {attempts} tries; the same command goes on from here"
        raise HubUnavailable(f"{error}: {tried}") from None
