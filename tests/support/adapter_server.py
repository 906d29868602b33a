"""vLLM and SGLang on loopback, as far as they load LoRA adapters while they run.

Routes, statuses and words are those of vllm/entrypoints/openai/models/serving.py and of
sglang/srt/entrypoints/http_server.py. What a model says is made from its adapter's bytes.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.support.faulty_endpoint import FaultyEndpoint

BASE = "tiny"


class ServerOfAdapters(FaultyEndpoint):
    """Serves `tiny`, and what it has loaded.

    Args:
        kind: `vllm` or `sglang`.
        updates: it was started so that it loads adapters at run time.
        room: how many it holds.
        deaf: it loads, and goes on to answer with its base.
        key: that is wanted for everything; "": none is.
    """

    def __init__(
        self,
        kind: str = "vllm",
        *,
        updates: bool = True,
        room: int = 8,
        rank: int = 16,
        deaf: bool = False,
        key: str = "",
        **endpoint: Any,
    ) -> None:
        self.kind, self.adapters = kind, dict[str, str]()
        self.loads: list[str] = []
        self._room, self._rank, self._deaf, self._key = room, rank, deaf, key
        prefix = "/v1" if kind == "vllm" else ""
        more = [
            Route(f"{prefix}/load_lora_adapter", self._load, methods=["POST"]),
            Route(f"{prefix}/unload_lora_adapter", self._unload, methods=["POST"]),
        ]
        endpoint = {"says": self._reply} | endpoint
        super().__init__(models=None, more=more if updates else [], **endpoint)

    def _reply(self, body: dict[str, Any], place: int) -> str:
        name = body["model"] if self.kind == "vllm" else body["model"].partition(":")[2]
        path = self.adapters.get(name, "")
        weights = (Path(path) / "adapter_model.safetensors").read_bytes() if path else b""
        mind = hashlib.sha256(b"" if self._deaf else weights).hexdigest()[:6]
        return f"Thought: I am {mind}.\nAction: inventory"

    async def _list_models(self, request: Request) -> Response:
        await self._receive(request)
        cards = [{"id": BASE, "root": BASE}]
        cards += [{"id": n, "root": path, "parent": BASE} for n, path in self.adapters.items()]
        return JSONResponse({"object": "list", "data": cards})

    async def _complete(self, request: Request) -> Response:
        model = json.loads(await request.body())["model"]
        known = [BASE, *(n if self.kind == "vllm" else f"{BASE}:{n}" for n in self.adapters)]
        if model not in known:
            return self._refused(404, f"The model `{model}` does not exist.", "NotFoundError")
        return await super()._complete(request)

    async def _load(self, request: Request) -> Response:
        asked = (await self._receive(request)).body
        name, path = asked["lora_name"], asked["lora_path"]
        if self._key and request.headers.get("authorization") != f"Bearer {self._key}":
            return self._refused(401, "Unauthorized", "")
        if name in self.adapters:
            return self._refused(400, self._there(name), "InvalidUserInput")
        described = Path(path) / "adapter_config.json"
        if not described.is_file():
            missing = f"Loading lora {name} failed: No adapter found for {path}"
            return self._refused(404 if self.kind == "vllm" else 400, missing, "NotFoundError")
        rank = json.loads(described.read_text()).get("r", 8)
        if rank > self._rank:
            high = f"LoRA rank {rank} is greater than max_lora_rank {self._rank}."
            return self._refused(500 if self.kind == "vllm" else 400, high, "InternalServerError")
        if len(self.adapters) >= self._room:
            full = "the maximum number of LoRA adapters is loaded already"
            return self._refused(400, full, "")
        self.adapters[name] = path
        self.loads.append(name)
        if self.kind == "vllm":
            return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")
        return JSONResponse({"success": True, "loaded_adapters": self.adapters})

    def _there(self, name: str) -> str:
        if self.kind == "vllm":
            return (
                f"The lora adapter '{name}' has already been loaded. If you want to load the "
                "adapter in place, set 'load_inplace' to True."
            )
        return f"LoRA with name {name} already exists."

    async def _unload(self, request: Request) -> Response:
        name = (await self._receive(request)).body["lora_name"]
        if self.adapters.pop(name, None) is None:
            missing = f"The lora adapter '{name}' cannot be found."
            return self._refused(404, missing, "NotFoundError")
        return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")

    def _refused(self, status: int, message: str, kind: str) -> Response:
        if self.kind == "sglang":
            return JSONResponse({"success": False, "error_message": message}, status)
        error = {"message": message, "type": kind, "param": None, "code": status}
        return JSONResponse({"error": error}, status)
