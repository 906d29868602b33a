"""Run a Java virtual machine of bounded size as a child process that ends with this one."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import shutil
import subprocess
import threading
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from agent_r.errors import ConfigError, EnvironmentFault, ExtraMissing

START_S = 60.0  # seconds that a machine may take to start
CALL_S = 120.0  # that one call may take: a plan of ScienceWorld's takes seven


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


def packaged(name: str, distribution: str) -> tuple[Path, str]:
    """The jar that a Python package brings, and the package's version; its extra is called alike.

    Raises:
        ExtraMissing: the package is not installed.
    """
    found = importlib.util.find_spec(distribution.replace("-", "_"))
    if found is None or not found.origin:
        raise ExtraMissing(name, distribution)
    try:
        return Path(found.origin).with_name(f"{distribution}.jar"), version(distribution)
    except PackageNotFoundError as error:
        raise ExtraMissing(name, distribution) from error


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
        """Start a machine; blocks for one to three seconds.

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
        port, token, words = _greeting(process)
        late.cancel()
        late.join()
        if not token:
            _end(process)
            raise EnvironmentFault(
                f"{program.name}: its Java virtual machine did not start: "
                f"{words[:200] or f'no word in {START_S:g} s'}"
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
        """Kill the machine; calls in progress fail at once."""
        self._process.kill()

    def end(self) -> None:
        """End the machine: blocks until its process and threads are gone; twice does no harm."""
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
    lines: list[str] = []
    for line in process.stdout or ():
        text = line.decode(errors="replace").strip()
        if lines and lines[-1].isdigit():
            return int(lines[-1]), text, ""
        lines.append(text)
    return 0, "", " ".join(lines)


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
