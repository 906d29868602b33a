"""What the worlds of a Java program have in common: the machine, its check, and its end."""

from __future__ import annotations

from agent_r.environment import EnvInfo
from env_adapters.jvm.machine import packaged, require_java
from env_adapters.jvm.simulators import Seat, Simulators


class JavaWorld:
    """The base of a World in one Java virtual machine; its `environment` and expert are its own."""

    package: tuple[str, str]  # as a person calls it, and in the index

    def __init__(self, simulators: Simulators, info: EnvInfo) -> None:
        self.simulators, self.info = simulators, info

    async def check(self) -> None:
        """Is all installed?"""
        packaged(*self.package)
        require_java(self.package[0])

    async def aclose(self) -> None:
        await self.simulators.aclose()


class JavaEpisode:
    """The base of an Environment whose simulator is lent for one episode at a time."""

    def __init__(self, world: JavaWorld) -> None:
        self.info = world.info
        self._seat = Seat(world.simulators)
        self._steps = 0
        self._done = True

    async def close(self) -> None:
        self._done = True
        self._seat.leave()
