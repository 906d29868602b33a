"""The worlds that must keep the contract; one line each, however it has to be started.

A world that needs a server is an async context manager of its own, as `gym_on_loopback` is.
The contract counts threads, processes and sockets from inside of it, so a server's own are no leak;
those that it opens for a connection must be gone soon after the connection is.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from agent_r.env_check import Limits
from agent_r.environment import Embedded, Environment, World
from agent_r.settings import (
    GymnasiumEnv,
    OpenEnvEnv,
    PythonEnv,
    ScienceWorldEnv,
    ShopEnv,
    SingleEnv,
    TextCraftEnv,
    TextWorldExpressEnv,
)
from agent_r.testing import Corridor, ForkableCorridor
from env_adapters import world_of
from env_adapters.textworld_express import GAMES
from tests.support.agentgym_servers import SERVERS, trying
from tests.support.openenv_server import BASE, LoopbackOpenEnv

TEMPLATE = Path(__file__).parents[2] / "docs" / "template_world.py"
NO_JAVA = "" if shutil.which("java") else "there is no Java runtime"
QUICK = Limits(measure_s=0.05)


@dataclass(frozen=True)
class Tried:
    """A world, and how it is had; `missing` says why it cannot be here, "" where it can."""

    name: str
    begun: Callable[[], AbstractAsyncContextManager[World]]
    missing: str = ""
    limits: Limits = QUICK


def of(spec: SingleEnv) -> Callable[[], AbstractAsyncContextManager[World]]:
    """A world that its settings are enough for."""

    @asynccontextmanager
    async def begun() -> AsyncIterator[World]:
        yield world_of(spec)

    return begun


def made_by(make: Callable[[], Environment]) -> Callable[[], AbstractAsyncContextManager[World]]:
    """A world whose environments share nothing."""

    @asynccontextmanager
    async def begun() -> AsyncIterator[World]:
        yield Embedded(make)

    return begun


def gym_on_loopback(server: str) -> Callable[[], AbstractAsyncContextManager[World]]:
    """One of AgentGym's servers."""

    @asynccontextmanager
    async def begun() -> AsyncIterator[World]:
        async with trying(server) as (_, world):
            yield world

    return begun


@asynccontextmanager
async def openenv_on_loopback() -> AsyncIterator[World]:
    """The real server keeps the contract in tests/env_adapters/test_openenv.py."""
    async with LoopbackOpenEnv() as server:
        yield world_of(OpenEnvEnv.model_validate(BASE | {"base_url": server.url}))


def without(module: str) -> str:
    """The reason to leave a world out where its extra is not installed."""
    return "" if find_spec(module) else f"{module} is not installed"


def template() -> ModuleType:
    """The world that docs/worlds.md shows."""
    spec = spec_from_file_location("template_world", TEMPLATE)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["template_world"] = module
    spec.loader.exec_module(module)
    return module


WORLDS = [
    Tried("textcraft", of(TextCraftEnv())),
    Tried("corridor", made_by(Corridor)),
    Tried("forkable corridor", made_by(ForkableCorridor)),
    Tried("the template of docs/worlds.md", made_by(template().world)),
    Tried(
        "textcraft with Minecraft's recipes",
        of(TextCraftEnv(recipes="minecraft")),
        missing=without("textcraft"),
    ),
    Tried("shop", of(ShopEnv(kind="shop"))),
    Tried(
        "scienceworld",
        of(ScienceWorldEnv(kind="scienceworld", tasks=("find-plant", "use-thermometer"))),
        missing=without("scienceworld") or NO_JAVA,
    ),
    *(
        Tried(
            f"textworld-express {game}",
            of(TextWorldExpressEnv(kind="textworld-express", game=game)),
            missing=without("textworld_express") or NO_JAVA,
        )
        for game in GAMES
    ),
    *(Tried(f"agentgym {server}", gym_on_loopback(server)) for server in SERVERS),
    Tried("openenv", openenv_on_loopback),
    *(
        Tried(
            f"gymnasium {factory}",
            of(
                GymnasiumEnv(
                    kind="gymnasium",
                    factory=f"tests.env_adapters.test_gymnasium:{factory}",
                    instruction="Answer. Action: any",
                )
            ),
            missing=without("gymnasium"),
        )
        for factory in ("Doors", "Numbered", "Kept", "Threadbound", "a_lake")
    ),
    Tried(
        "python",
        of(
            PythonEnv(
                kind="python",
                factory="tests.env_adapters.test_python_factory:Factories.forkable",
            )
        ),
    ),
]
