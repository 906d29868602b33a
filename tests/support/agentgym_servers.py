"""AgentGym's servers on loopback: small games behind their wire formats, and faults on demand."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from agent_r.environment import StepResult
from agent_r.settings import AgentGymEnv, TextCraftEnv
from env_adapters.agentgym.environment import AgentGymWorld
from env_adapters.textcraft.environment import TextCraft
from env_adapters.textcraft.expert import plan
from tests.support.agentgym_games import CorridorGame, CraftGame, Game, ShopGame
from tests.support.agentgym_wires import WIRES, Oops


@dataclass
class Env:
    """One environment that a client has created."""

    game: Game
    index: int = -1
    done: bool = False
    earned: float = 0.0  # BabyAI's score adds up what was earned so far at each step
    busy: int = 0  # requests under way; two at once: two episodes share it


@dataclass
class Fault:
    """What goes wrong at a path: after so many requests, so many times."""

    path: str
    how: str  # 500, 404, hang, cut, garbage, late (does it, never says so), or an error's text
    after: int = 0
    times: int = 1


@dataclass
class LoopbackAgentGym:
    """One of the eight servers; an async context manager, on a port that the system chooses."""

    server: str
    capacity: int = 8000  # then it gives out those that there are
    envs: dict[int, Env] = field(default_factory=dict)
    closed: list[int] = field(default_factory=list)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    created: int = 0
    most: int = 0  # environments at once
    shared: int = 0  # requests that met another one in the same environment
    delay_s: float = 0.0
    alters: Callable[[str], str] | None = None
    worth: float = 1.0  # what ScienceWorld's scores are multiplied with

    async def __aenter__(self) -> Self:
        self._released = asyncio.Event()
        self._given = 0
        app = web.Application(client_max_size=2**22)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await self._listen(0)
        return self

    async def _listen(self, port: int) -> None:
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}"

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        self._released.set()
        await self._runner.cleanup()

    def fail(self, path: str, how: str, *, after: int = 0, times: int = 1) -> None:
        self.faults.append(Fault(path, how, after, times))

    def restart(self) -> None:
        """All environments are forgotten, and numbers begin anew."""
        self.envs.clear()
        self.created = self._given = 0

    def count(self, path: str) -> int:
        return sum(1 for asked, _ in self.asked if asked == path)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path.strip("/").removeprefix("games/craft/")
        body = await request.json() if request.method == "POST" else dict(request.query)
        self.asked.append((request.path.strip("/"), body))
        fault = self._fault(path)
        if fault and fault.how == "hang":
            await self._released.wait()
        if fault and fault.how == "cut":
            assert request.transport is not None
            request.transport.abort()
        if fault and fault.how in ("500", "404"):
            return web.Response(status=int(fault.how), text="Internal Server Error")
        if fault and fault.how == "garbage":
            return web.Response(text="<html>")
        if fault and fault.how not in ("hang", "cut", "late"):
            return web.json_response({"error": fault.how})
        answer = await self._timed(request.method, path, body)
        if fault and fault.how == "late":
            await self._released.wait()
        return answer

    def _fault(self, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.path == path and fault.times:
                if fault.after:
                    fault.after -= 1
                    return None
                fault.times -= 1
                return fault
        return None

    async def _timed(self, method: str, path: str, body: dict[str, Any]) -> web.Response:
        number = body.get("env_idx", body.get("id"))
        env = self.envs.get(number) if isinstance(number, int) and path != "create" else None
        if env is not None:
            self.shared += env.busy > 0
            env.busy += 1
        await asyncio.sleep(self.delay_s)
        try:
            return await WIRES[self.server](self, path, body)
        except KeyError as missing:
            status = 404 if missing.args[0] == path else 422
            return web.Response(status=status, text=f"missing: {missing}")
        except Oops as error:
            if self.server in ("webshop", "sqlgym", "searchqa", "webarena"):
                return web.Response(status=500, text="Internal Server Error")
            return web.json_response({"error": str(error)})
        finally:
            if env is not None:
                env.busy -= 1

    def new(self) -> int:
        if len(self.envs) >= self.capacity:
            self._given += 1
            return list(self.envs)[(self._given - 1) % len(self.envs)]
        makes = {"textcraft": CraftGame, "webshop": ShopGame}
        self.envs[self.created] = Env(makes.get(self.server, CorridorGame)())
        self.created += 1
        self.most = max(self.most, len(self.envs))
        return self.created - 1

    def env(self, number: object, *, done_is_final: bool = False) -> Env:
        if not isinstance(number, int) or number not in self.envs:
            raise Oops(f"The id {number} is not valid.")
        if done_is_final and self.envs[number].done:
            raise Oops(f"The task with environment {number} has finished.")
        return self.envs[number]

    async def begun(self, number: object, index: object) -> tuple[Env, str]:
        env = self.env(number)
        if not isinstance(index, int):
            raise KeyError("index")
        env.index, env.done, env.earned = index, False, 0.0
        return env, await env.game.reset(index)

    async def stepped(self, number: object, action: str, *, final: bool = False) -> tuple[Env, str]:
        """Take an action; `final` servers refuse everything after an end."""
        env = self.env(number, done_is_final=final)
        if env.index < 0:
            raise Oops(f"'{number}'")  # nothing was begun there
        seen = await env.game.step(action)
        env.done = env.game.done
        return env, self.alters(seen) if self.alters else seen

    def end(self, number: object) -> bool:
        known = isinstance(number, int) and self.envs.pop(number, None) is not None
        if known:
            assert isinstance(number, int)
            self.closed.append(number)
        return known


SERVERS = tuple(WIRES)


@asynccontextmanager
async def trying(
    name: str,
    *,
    path: str = "",
    capacity: int = 8000,
    delay_s: float = 0.0,
    pauses: Sequence[float] = (0.0, 0.0),
    closing_s: float = 2.0,
    **spec: Any,
) -> AsyncIterator[tuple[LoopbackAgentGym, AgentGymWorld]]:
    """A server and its world, which is closed before the server is."""
    async with LoopbackAgentGym(name, capacity=capacity, delay_s=delay_s) as server:
        settings = {"kind": "agentgym", "server": name, "base_url": server.url + path} | spec
        spec_of = AgentGymEnv.model_validate(settings)
        world = AgentGymWorld(spec_of, pauses=pauses, closing_s=closing_s)
        try:
            yield server, world
        finally:
            await world.aclose()


def way(task: str, prompt: str) -> list[str]:
    """The right actions of a task that has just begun."""
    name, _, index = task.partition("/")
    if name == "textcraft":
        goal = prompt.rpartition("Goal: craft ")[2].removesuffix(".")
        return plan(TextCraft(TextCraftEnv()).book, goal, {})
    if name == "webshop":
        product, colour = ("b01", "b02", "b03")[int(index) % 3], ("bright", "dark")[int(index) % 2]
        return ["search[shoes]", f"click[{product}]", f"click[{colour}]", "click[buy now]"]
    walk = ["take key", *["east"] * (int(index) % 6), "push", "push"]
    if name == "searchqa":
        return [f"<search>{action}</search>" for action in walk[:-1]] + ["<answer>push</answer>"]
    return walk


def shown(result: StepResult) -> list[str]:
    """The first three of the actions that an observation offers."""
    return re.split(", ", result.observation.partition("Available actions: ")[2])[:3]
