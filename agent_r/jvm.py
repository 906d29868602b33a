"""Worlds that live in a Java virtual machine: one of bounded size, many simulators in it.

Calls block, so they are made in a thread: the event loop never waits. It is one thread, for what
such programs keep once for all their simulators (a generator of random numbers, a counter of
things) is safe only while one call is made at a time. A machine that ended is replaced when the
next simulator is asked for.
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from agent_r.errors import ConfigError, EnvironmentFault
from agent_r.leases import Leases

R = TypeVar("R")
START_S = 60.0  # seconds that a machine may take to start
CALL_S = 120.0  # that one call may take: a plan of ScienceWorld's takes seven
MOST_SENT = 300  # characters of an action


class _Quiet(logging.Filter):
    """py4j logs a traceback wherever a machine ends, to the root logger too; we raise one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.module != "java_gateway"


for _logger in ("root", "py4j.java_gateway"):
    logging.getLogger(_logger).addFilter(_Quiet())


@dataclass(frozen=True, slots=True)
class Program:
    """What runs in the machine: a jar, and the class of its simulators."""

    name: str  # as a person calls it
    jar: Path
    simulator: str  # dotted, made without arguments
    heap_mb: int
    options: tuple[str, ...] = ()  # of the machine


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

    def __init__(
        self, program: Program, process: subprocess.Popen[bytes], port: int, token: str
    ) -> None:
        from py4j.java_gateway import GatewayParameters, JavaGateway

        self.program, self._process = program, process
        self._gateway = JavaGateway(
            gateway_parameters=GatewayParameters(port=port, auth_token=token, read_timeout=CALL_S)
        )
        self._members: dict[str, Any] = {}
        # What the program prints must be read, or it would wait for ever.
        self._reader = threading.Thread(target=_drain, args=(process,), daemon=True)
        self._reader.start()

    @classmethod
    def start(cls, program: Program) -> Machine:
        """Blocks for a second or three.

        Raises:
            ConfigError: there is no Java.
            EnvironmentFault: it does not start.
        """
        require_java(program.name)
        process = subprocess.Popen(
            _command(program),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=program.jar.parent,  # where some find their data
        )
        late = threading.Timer(START_S, process.kill)
        late.start()
        port, token, said = _greeting(process)
        late.cancel()
        late.join()
        if not token:
            _end(process)
            raise EnvironmentFault(
                f"{program.name}: its Java virtual machine did not start: "
                f"{said[:200] or f'no word in {START_S:g} s'}"
            )
        return cls(program, process, port, token)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def member(self, path: str) -> Any:
        """A class, or a static member of one, by its dotted name; looked up once."""
        if path not in self._members:
            found = self._gateway.jvm
            for name in path.split("."):
                found = getattr(found, name)
            self._members[path] = found
        return self._members[path]

    def kill(self) -> None:
        """Calls that are being made fail at once."""
        self._process.kill()

    def end(self) -> None:
        """Blocks until the process and its threads are gone; twice does no harm."""
        from py4j.protocol import Py4JError

        with contextlib.suppress(Py4JError, OSError):
            self._gateway.shutdown()  # nothing is sent to its port any more, whoever has that next
        self._gateway.close()
        self._process.kill()
        self._reader.join()
        _end(self._process)


def _command(program: Program) -> list[str]:
    from py4j.java_gateway import find_jar_path

    return [
        "java",
        f"-Xmx{program.heap_mb}m",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",  # a clean end, instead of simulators in doubt
        *program.options,
        "-cp",
        f"{find_jar_path()}:{program.jar}",
        "py4j.GatewayServer",
        "--enable-auth",  # other users of this computer could reach the port
        "--die-on-broken-pipe",  # when its standard input ends: also after kill -9 of this process
        "0",
    ]


def _greeting(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    """Port and token; or what was said instead, where the machine did not start."""
    said: list[str] = []
    for line in process.stdout or ():
        text = line.decode(errors="replace").strip()
        if said and said[-1].isdigit():
            return int(said[-1]), text, ""
        said.append(text)
    return 0, "", " ".join(said)


def _drain(process: subprocess.Popen[bytes]) -> None:
    for _ in process.stdout or ():
        pass


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
    """One simulator, the machine that it lives in, and what its world notes of it."""

    machine: Machine
    server: Any
    notes: dict[str, Any] = field(default_factory=dict)


class Simulators:
    """At most `limit` simulators of a program, in one machine that is started when first needed."""

    def __init__(self, program: Program, *, limit: int) -> None:
        self.program = program
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=program.name)
        self._leases: Leases[Simulator] = Leases(self.extra, _forget, limit=limit)
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
        return await self.call(self._made)

    def _made(self) -> Simulator:
        """In the thread: who waits for a machine may be gone when it runs, and it is not lost."""
        if self.machine is None:
            if self._machine is not None:
                self._machine.end()
                self._machine = None
            self._machine = Machine.start(self.program)
        machine = self._machine
        assert machine is not None
        return Simulator(machine, machine.member(self.program.simulator)())

    async def call(self, ask: Callable[[], R]) -> R:
        """Make blocking calls in the thread, after those that were asked for before.

        Raises:
            EnvironmentFault: the machine ended, the program failed, or all is closed.
        """
        if self._closed:
            raise EnvironmentFault(f"{self.program.name}: this world is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, ask)

    def _answer(self, ask: Callable[[], R]) -> R:
        from py4j.protocol import Py4JError, Py4JJavaError

        name = self.program.name
        if self._closed:
            raise EnvironmentFault(f"{name}: this world is closed")
        try:
            return ask()
        except Py4JJavaError as error:
            with contextlib.suppress(Py4JError):  # its words are in the machine
                said = " ".join(str(error.java_exception).split())
                raise EnvironmentFault(f"{name} failed: {said[:200]}") from error
            raise EnvironmentFault(f"{name}: its Java virtual machine has ended") from error
        except (Py4JError, OSError) as error:
            if self._machine is not None:  # one that does not answer is of no use to anybody
                self._machine.end()
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
        """Blocking calls that need nothing of what was before: they get a simulator that works."""
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

    >>> said("  open\\n door\\ud800 "), len(said("x" * 100_000))
    ('open door', 300)
    """
    printable = "".join(c if c.isprintable() else " " for c in action[:MOST_SENT])
    return " ".join(printable.split())


async def _forget(simulator: Simulator) -> None:
    """The machine frees what nobody refers to."""
