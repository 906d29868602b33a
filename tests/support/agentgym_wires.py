"""The wire formats of AgentGym's eight servers, from their sources and not from the profiles."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from aiohttp import web

if TYPE_CHECKING:
    from tests.support.agentgym_servers import LoopbackAgentGym


class Oops(Exception):
    """What a server answers with {"error": …} and HTTP 200, or with HTTP 500."""


Body: TypeAlias = dict[str, Any]
Wire: TypeAlias = Callable[["LoopbackAgentGym", str, Body], Awaitable[web.Response]]


def said(value: Any) -> web.Response:
    return web.Response(text=json.dumps(value), content_type="application/json")


async def textcraft(server: LoopbackAgentGym, path: str, body: Body) -> web.Response:
    if path == "":
        return said("This is environment TextCraft.")
    if path == "create":
        number = server.new()
        env = server.envs[number]
        env.index = number
        seen = await env.game.reset(number)
        return said({"id": number, "observation": seen, "done": False, "reward": 0})
    if path == "reset":
        _, seen = await server.begun(body["id"], body["data_idx"])
        return said({"id": body["id"], "observation": seen, "done": False, "reward": 0})
    if path == "step":
        env, seen = await server.stepped(body["id"], body["action"])
        return said({"observation": seen, "reward": int(env.game.score), "done": env.done})
    if path == "close":
        return said(server.end(body["id"]))
    raise KeyError(path)


async def sciworld(server: LoopbackAgentGym, path: str, body: Body) -> web.Response:
    if path == "":
        return said("This is environment ScienceWorld.")
    if path == "create":
        return said({"id": server.new()})
    if path == "close":
        if not server.end(body["id"]):
            return web.Response(status=500, text="Internal Server Error")
        return said(True)
    if path == "reset":
        env, seen = await server.begun(body["id"], body["data_idx"])
        told = {"task_name": "corridor", "var_num": 0, "task_description": "Open the door."}
        return said(told | {"observation": seen, "reward": 0, "score": 0, "deleted": False})
    if path == "step":
        before = server.env(body["id"]).game.score
        env, seen = await server.stepped(body["id"], body["action"], final=True)
        score = round(100 * env.game.score * server.worth)
        gained = score - round(100 * before)
        return said({"observation": seen, "reward": gained, "score": score, "done": env.done})
    raise KeyError(path)


async def babyai(server: LoopbackAgentGym, path: str, body: Body) -> web.Response:
    if path == "":
        return said("This is environment BabyAI.")
    if path == "create":
        return said({"id": server.new()})
    if path == "close":
        return said(server.end(body["id"]))
    if path == "reset":
        env, seen = await server.begun(body["id"], body["data_idx"])
        text = f"Your goal: open the door\n{seen}\nAvailable actions: {env.game.legal()}"
        return said({"observation": text, "reward": 0, "score": 0, "deleted": False, "done": False})
    if path == "step":
        env, seen = await server.stepped(body["id"], body["action"].lower(), final=True)
        reward = max(env.game.score, 0.0)
        env.earned += reward
        text = f"{seen}\nAvailable actions: {env.game.legal()}"
        told = {"observation": text, "reward": reward, "score": env.earned, "done": env.done}
        return said(told)
    raise KeyError(path)


async def alfworld(server: LoopbackAgentGym, path: str, body: Body) -> web.Response:
    if path == "":
        return said("This is environment AlfWorld.")
    if path == "create":
        return said({"id": server.new()})
    if path == "reset":
        if body["world_type"] != "Text":
            raise Oops("world_type must be one of Text, Embody and Hybrid")
        env, seen = await server.begun(body["id"], body["game"])
        told = {"id": body["id"], "observation": seen, "task_type": "corridor"}
        return said(told | {"available_actions": env.game.legal()})
    if path == "step":
        env, seen = await server.stepped(body["id"], body["action"], final=True)
        told = {"observation": seen, "reward": float(env.game.score == 1), "done": env.done}
        return said(told | {"available_actions": env.game.legal()})
    raise KeyError(path)


async def webshop(server: LoopbackAgentGym, path: str, body: Body) -> web.Response:
    if path == "":
        return said("ok")
    if path == "create":
        return said(server.new())
    if path == "reset":
        _, seen = await server.begun(body["env_idx"], body["session_id"])
        return said([seen, None])
    if path == "step":
        env, seen = await server.stepped(body["env_idx"], body["action"])
        return said({"state": seen, "reward": env.game.score, "done": env.done, "info": None})
    if path == "available_actions":
        legal = server.env(int(body["env_idx"])).game.legal()
        return said({"has_search_bar": "search" in legal, "clickables": legal})
    raise KeyError(path)


async def sqlgym(server: LoopbackAgentGym, path: str, body: Body) -> web.Response:
    if path == "":
        return said("ok")
    if path == "create":
        return said(server.new())
    if path == "reset":
        _, seen = await server.begun(body["env_idx"], body["item_id"])
        return said([seen, None])
    if path == "step":
        env, seen = await server.stepped(body["env_idx"], body["action"])
        told = {"state": seen, "reward": float(env.game.score == 1), "done": env.done}
        return said(told | {"info": {"ground_truth": []}})
    raise KeyError(path)


async def searchqa(server: LoopbackAgentGym, path: str, body: Body) -> web.Response:
    """An answer `<answer>push</answer>` is the corridor's action."""
    if path == "":
        return said("ok")
    if path == "create":
        assert body["id"] == 0
        return said(server.new())
    if path == "close":
        return said(server.end(body["env_idx"]))
    if path == "reset":
        _, seen = await server.begun(body["env_idx"], body["id"])
        return said(f"Question: {seen}")
    if path == "step":
        action = body["action"].partition(">")[2].partition("<")[0]
        env, seen = await server.stepped(body["env_idx"], action)
        reward = 1 if env.game.score == 1 else 0
        return said({"observation": seen, "reward": reward, "done": env.done, "info": None})
    raise KeyError(path)


async def webarena(server: LoopbackAgentGym, path: str, body: Body) -> web.Response:
    """Flask: some answers are no JSON, and what goes wrong in a step is shown as a page."""
    if path == "":
        return web.Response(text="ok")
    if path == "create":
        return said({"env_idx": server.new()})
    if path == "close":
        if not server.end(body["env_idx"]):
            raise Oops("closed")
        return web.Response(text="closed")
    if path == "reset":
        assert body["seed"] == 0
        await server.begun(body["env_idx"], body["idx"])
        return said({"observation": "[1] RootWebArea"})
    if path == "observation":
        index = server.env(int(body["env_idx"])).index
        return said(f"OBSERVATION: [1] RootWebArea\nOBJECTIVE: open door {index % 6}")
    if path == "step":
        told = {"reward": 0, "terminated": False, "truncated": False, "info": None}
        action = body["action"].split("```")
        if body["env_idx"] not in server.envs:
            return said(told | {"observation": str(KeyError(body["env_idx"]))})
        if len(action) != 3:
            return said(told | {"observation": "Cannot parse action from response"})
        env, seen = await server.stepped(body["env_idx"], action[1])
        told = {"observation": seen, "terminated": env.done, "truncated": False, "info": {}}
        return said(told | {"reward": float(env.game.score == 1)})
    raise KeyError(path)


WIRES: dict[str, Wire] = {
    "textcraft": textcraft,
    "sciworld": sciworld,
    "webshop": webshop,
    "babyai": babyai,
    "alfworld": alfworld,
    "searchqa": searchqa,
    "sqlgym": sqlgym,
    "webarena": webarena,
}
