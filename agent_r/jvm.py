"""Worlds that live in a Java virtual machine: one of bounded size, many simulators in it.

Calls block, so they are made in a thread: the event loop never waits. In one thread, for programs
share some things among their simulators: of four ScienceWorlds that began at once, one was seen to
begin in another room. A machine that ended is replaced when the next simulator is asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from agent_r.errors import ConfigError, EnvironmentFault
from agent_r.leases import Leases

R = TypeVar("R")


class _Quiet(logging.Filter):
    """py4j writes a traceback to the root logger where a machine ends; we raise one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.module != "java_gateway"


logging.getLogger().addFilter(_Quiet())
logging.getLogger("py4j").setLevel(logging.CRITICAL)
START_S = 60.0  # seconds that a machine may take to start
MOST_SENT = 300  # characters of an action


@dataclass(frozen=True, slots=True)
class Program:
    """What runs in the machine: a jar, and the class of its simulators."""

    name: str  # as a person calls it
    jar: Path
    simulator: str  # dotted, made without arguments
    heap_mb: int


def require_java(what: str) -> None:
    """Find a Java runtime, or say what to install.

    Raises:
        ConfigError: there is none.
    """
    if shutil.which("java") is None:
        raise ConfigError(
            f"{what} needs a Java runtime, and no `java` was found: install one "
            "(Debian: apt-get install default-jre-headless)"
        )


class Machine:
    """A running Java virtual machine; it ends with this process, however that ends."""

    def __init__(self, program: Program, process: subprocess.Popen[bytes], port: int) -> None:
        from py4j.java_gateway import GatewayParameters, JavaGateway

        self.program, self._process = program, process
        self._gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port))
        # What the program prints must be read, or it would wait for ever.
        self._reader = threading.Thread(target=process.stdout.read, daemon=True)  # type: ignore[union-attr]
        self._reader.start()

    @classmethod
    def start(cls, program: Program) -> Machine:
        """Blocks for a second or three.

        Raises:
            EnvironmentFault: it does not start.
        """
        from py4j.java_gateway import find_jar_path

        require_java(program.name)
        # The gateway ends when its standard input does: also after kill -9 of this process.
        process = subprocess.Popen(
            ["java", f"-Xmx{program.heap_mb}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=4",
             "-cp", f"{find_jar_path()}:{program.jar}",
             "py4j.GatewayServer", "--die-on-broken-pipe", "0"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            cwd=program.jar.parent,  # where some find their data
        )  # fmt: skip
        ends = threading.Timer(START_S, process.kill)
        ends.start()
        line = process.stdout.readline() if process.stdout else b""
        ends.cancel()
        if not line.strip().isdigit():
            _end(process)
            raise EnvironmentFault(
                f"{program.name}: its Java virtual machine did not start "
                f"(heap {program.heap_mb} MB)"
            )
        return cls(program, process, int(line))

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def simulator(self) -> Any:
        """A simulator of its own; the calls on it block."""
        made = self._gateway.jvm
        for name in self.program.simulator.split("."):
            made = getattr(made, name)
        return made()

    def end(self) -> None:
        """Blocks until the process and its threads are gone; twice does no harm."""
        from py4j.protocol import Py4JError

        with contextlib.suppress(Py4JError, OSError):
            self._gateway.shutdown()
        self._process.kill()
        self._reader.join()
        _end(self._process)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        if process.stdin:
            process.stdin.close()
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


@dataclass(eq=False, slots=True)
class Simulator:
    """One simulator, and the machine that it lives in."""

    machine: Machine
    server: Any
    loaded: str = ""  # the task that its next reset begins


class Simulators:
    """At most `limit` simulators of a program, in one machine that is started when first needed."""

    def __init__(self, program: Program, *, limit: int) -> None:
        self._program = program
        self._threads = ThreadPoolExecutor(1, thread_name_prefix=program.name)
        self._leases: Leases[Simulator] = Leases(self.extra, _forget, limit=limit)
        self._starting = asyncio.Lock()
        self._machines: list[Machine] = []  # the last one is in use, if it is alive

    @property
    def machine(self) -> Machine | None:
        """The one that runs, if any."""
        return self._machines[-1] if self._machines and self._machines[-1].alive else None

    @property
    def held(self) -> int:
        """Simulators that are lent, or wait to be."""
        return self._leases.held

    async def take(self) -> Simulator:
        """One that nobody else has, in a machine that is alive."""
        while not (simulator := await self._leases.take()).machine.alive:
            await self._leases.drop(simulator)
        return simulator

    def give_back(self, simulator: Simulator) -> None:
        self._leases.give_back(simulator)

    async def drop(self, simulator: Simulator) -> None:
        """A call on it was left alone, or its machine ended."""
        await self._leases.drop(simulator)

    async def extra(self) -> Simulator:
        """One beside those that are lent: the caller's own."""
        async with self._starting:
            machine = self.machine
            if machine is None:
                machine = await self._run(self._start)
        return Simulator(machine, await self.call(machine.simulator))

    def _start(self) -> Machine:
        """In a thread: who waited may be gone by then, and still it must be ended one day."""
        for machine in self._machines:
            machine.end()
        self._machines[:] = [Machine.start(self._program)]
        return self._machines[-1]

    async def call(self, ask: Callable[[], R]) -> R:
        """Make blocking calls in a thread.

        Raises:
            EnvironmentFault: the machine ended, or the program failed.
        """
        from py4j.protocol import Py4JError, Py4JJavaError

        try:
            return await self._run(ask)
        except Py4JJavaError as error:
            said = str(error.java_exception).splitlines()[0] if self.machine else "ended"
            raise EnvironmentFault(f"{self._program.name} failed: {said[:200]}") from error
        except (Py4JError, OSError) as error:
            raise EnvironmentFault(
                f"{self._program.name}: its Java virtual machine has ended"
            ) from error

    async def _run(self, ask: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)

    async def aclose(self) -> None:
        """End the machine; calls that are still being made end with it."""
        await self._leases.aclose()
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        for machine in self._machines:
            machine.end()
        self._threads.shutdown(cancel_futures=True)
        for machine in self._machines:  # one may have been starting
            machine.end()
        self._machines.clear()


class Seat:
    """An environment's hold on a simulator, from its first question to its close.

    Where a call was left alone (cancelled) or failed, nobody knows the simulator's state: it is
    dropped, and the next question gets another.
    """

    def __init__(self, simulators: Simulators) -> None:
        self._simulators = simulators
        self._held: Simulator | None = None

    async def ask(self, calls: Callable[[Simulator], R]) -> R:
        """Make blocking calls on the simulator, one question at a time.

        Raises:
            EnvironmentFault: the machine ended, or the program failed.
        """
        held = self._held or await self._simulators.take()
        self._held = held
        try:
            return await self._simulators.call(lambda: calls(held))
        except BaseException:
            self._held = None
            await self._simulators.drop(held)
            raise

    def leave(self) -> None:
        """Let another environment have it; doing so twice does no harm."""
        held, self._held = self._held, None
        if held is not None:
            self._simulators.give_back(held)


def said(action: str) -> str:
    """What is sent of an action: printable, one line, and not endless.

    >>> said("  open\n door\ud800 "), len(said("x" * 100_000))
    ('open door', 300)
    """
    printable = "".join(c if c.isprintable() else " " for c in action[:MOST_SENT])
    return " ".join(printable.split())


async def _forget(simulator: Simulator) -> None:
    """The machine frees what nobody refers to."""
