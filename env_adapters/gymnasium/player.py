"""Run a Gymnasium environment in its own thread: made, called and closed there."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeAlias

from agent_r.errors import AgentRError, EnvironmentFault
from agent_r.loading import one_line

Job: TypeAlias = Callable[[Any], Any]


class GamePlayer:
    """Answers one call after the other, while the event loop goes on.

    What blocks for ever cannot be stopped, in Python: it is left alone. So the thread is a daemon;
    those of an executor are waited for when the process ends.
    """

    def __init__(self, make: Callable[[], Any], *, name: str, timeout_s: float) -> None:
        self._make, self._name, self._timeout_s = make, name, timeout_s
        self._jobs: SimpleQueue[tuple[Job, Future[Any]] | None] = SimpleQueue()
        self.env: Any = None
        self.ended: Future[None] = Future()
        threading.Thread(target=self._work, name=f"gym {name}", daemon=True).start()

    async def begin(self) -> GamePlayer:
        """Make the environment.

        Raises:
            EnvironmentFault: its factory fails, or takes too long.
        """
        try:
            await self.ask("the factory", lambda _: self._begin())
        except BaseException:
            self.end()
            raise
        return self

    def _begin(self) -> None:
        self.env = self._make()

    async def ask(self, what: str, job: Job) -> Any:
        """The answer to one call.

        Raises:
            EnvironmentFault: it raises, or takes too long.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.wrap_future(self._put(what, job))
        except TimeoutError as error:
            raise EnvironmentFault(
                f"{self._name}: {what} gave no answer in {self._timeout_s:g} s"
            ) from error

    def ask_now(self, what: str, job: Job) -> Any:
        """Make one call without awaiting it; the event loop is blocked meanwhile."""
        try:
            return self._put(what, job).result(self._timeout_s)
        except TimeoutError as error:
            raise EnvironmentFault(
                f"{self._name}: {what} gave no answer in {self._timeout_s:g} s"
            ) from error

    def end(self) -> None:
        """Close the environment after what it is doing now; nobody waits for it."""
        self._jobs.put(None)

    def _put(self, what: str, job: Job) -> Future[Any]:
        answer: Future[Any] = Future()
        self._jobs.put((lambda env: self._tried(what, job, env), answer))
        return answer

    def _tried(self, what: str, job: Job, env: Any) -> Any:
        try:
            return job(env)
        except AgentRError as error:
            raise EnvironmentFault(f"{self._name}: {error}") from error
        except BaseException as error:  # sys.exit() in a user's code, too
            raise EnvironmentFault(f"{self._name}: {what} raised {one_line(error)}") from error

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            ask, answer = job
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                answer.set_result(ask(self.env))
            except EnvironmentFault as error:
                answer.set_exception(error)
            del job, ask, answer  # an idle thread keeps nothing alive
        with contextlib.suppress(BaseException):  # it is not used any more
            if hasattr(self.env, "close"):
                self.env.close()
        self.env = None
        self.ended.set_result(None)
