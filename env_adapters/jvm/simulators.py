"""Run many simulators of one program in one Java machine, and lend them to environments.

Calls block, so they are made in a thread: the event loop never waits. It is one thread, for what
such programs keep once for all their simulators (a generator of random numbers, a counter of
things) is safe only while one call is made at a time. A machine that ended is replaced when the
next simulator is asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agent_r.errors import EnvironmentFault
from agent_r.printable import printable_line
from env_adapters.jvm.machine import Machine, Program
from env_adapters.pool import Pool

R = TypeVar("R")
MOST_SENT = 300  # characters of an action


@dataclass(eq=False, slots=True)
class Simulator:
    """One simulator, the machine that it lives in, and what its world notes of it."""

    machine: Machine
    server: Any
    notes: dict[str, Any] = field(default_factory=dict)


class Simulators:
    """At most `limit` simulators of a program, in one machine that is started when first needed."""

    def __init__(self, program: Program, *, limit: int) -> None:
        self.program = program
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=program.name)
        self._leases: Pool[Simulator] = Pool(self.extra, _forget, limit=limit)
        self._machine: Machine | None = None
        self._closed = False

    @property
    def machine(self) -> Machine | None:
        """The one that runs, if any."""
        return self._machine if self._machine is not None and self._machine.alive else None

    @property
    def held(self) -> int:
        """Simulators that are lent, or wait to be."""
        return self._leases.held

    async def take(self) -> Simulator:
        """Borrow a simulator in a machine that is alive."""
        while not (simulator := await self._leases.take()).machine.alive:
            await self._leases.drop(simulator)
        return simulator

    def give_back(self, simulator: Simulator) -> None:
        self._leases.give_back(simulator)

    async def drop(self, simulator: Simulator) -> None:
        """Give up a simulator whose call was cancelled, or whose machine ended."""
        await self._leases.drop(simulator)

    async def extra(self) -> Simulator:
        """Make a simulator of the caller's own, beside those that are lent."""
        return await self.call(self._new)

    def _new(self) -> Simulator:
        """In the thread: who waits for a machine may be gone when it runs, and it is not lost."""
        if self.machine is None:
            if self._machine is not None:
                self._machine.end()
                self._machine = None
            self._machine = Machine.start(self.program)
        machine = self._machine
        assert machine is not None
        return Simulator(machine, machine.member(self.program.simulator)())

    async def call(self, ask: Callable[[], R], machine: Machine | None = None) -> R:
        """Make blocking calls in the thread, after those that were asked for before.

        Args:
            machine: where the calls go; None: to the one that runs by then.

        Raises:
            EnvironmentFault: the machine ended, the program failed, or all is closed.
        """
        if self._closed:
            raise EnvironmentFault(f"{self.program.name}: this world is closed")
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._answer, ask, machine
        )

    def _answer(self, ask: Callable[[], R], machine: Machine | None) -> R:
        from py4j.protocol import Py4JError, Py4JJavaError

        name = self.program.name
        if self._closed:
            raise EnvironmentFault(f"{name}: this world is closed")
        if machine is not None and not machine.alive:
            raise EnvironmentFault(f"{name}: its Java virtual machine has ended")
        try:
            return ask()
        except Py4JJavaError as error:
            with contextlib.suppress(Py4JError):  # its words are in the machine
                words = " ".join(str(error.java_exception).split())
                raise EnvironmentFault(f"{name} failed: {words[:200]}") from error
            raise EnvironmentFault(f"{name}: its Java virtual machine has ended") from error
        except (Py4JError, OSError) as error:
            if used := machine or self._machine:  # one that does not answer is of no use to anybody
                used.end()
            raise EnvironmentFault(f"{name}: its Java virtual machine has ended") from error

    async def aclose(self) -> None:
        """End the machine; calls that are still being made end with it."""
        self._closed = True
        await self._leases.aclose()
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        if self._machine is not None:
            self._machine.kill()
        self._thread.shutdown()  # when one was starting, it runs by then
        if self._machine is not None:
            self._machine.end()
            self._machine = None


class Seat:
    """An environment's hold on a simulator, from its first question to its close.

    Where a call was left alone (cancelled) or failed, nobody knows the simulator's state: it is
    dropped, and the next question gets another.
    """

    def __init__(self, simulators: Simulators) -> None:
        self._simulators = simulators
        self._held: Simulator | None = None

    async def begin(self, calls: Callable[[Simulator], R]) -> R:
        """Make blocking calls that need no earlier state, on a simulator that works."""
        if self._held is not None and not self._held.machine.alive:
            held, self._held = self._held, None
            await self._simulators.drop(held)
        if self._held is None:
            self._held = await self._simulators.take()
        return await self.ask(calls)

    async def ask(self, calls: Callable[[Simulator], R]) -> R:
        """Make blocking calls on the simulator that began, one question at a time.

        Raises:
            EnvironmentFault: the machine ended, the program failed, or nothing was begun.
        """
        held = self._held
        if held is None:
            raise EnvironmentFault("the episode was lost with its simulator: reset first")
        try:
            return await self._simulators.call(lambda: calls(held), held.machine)
        except BaseException:
            self._held = None
            await self._simulators.drop(held)
            raise

    def leave(self) -> None:
        """Return the simulator to the pool; doing so twice does no harm."""
        held, self._held = self._held, None
        if held is not None:
            self._simulators.give_back(held)


def sent_text(action: str) -> str:
    """What is sent of an action: printable, one line, and not endless.

    >>> sent_text("  open\\n door\\ud800 "), len(sent_text("x" * 100_000))
    ('open door', 300)
    """
    return printable_line(action[:MOST_SENT])


async def _forget(simulator: Simulator) -> None:
    """Do nothing: the machine frees what nobody refers to."""
