"""The simulated server over HTTP, at true time.

    python -m benchmarks.vllm_model.http --setup h100-8b

prints its base URL, and serves /v1/models, /v1/chat/completions, and /metrics of vLLM's names. A
reply is of `max_tokens` tokens, as with vLLM's `ignore_eos`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse

from benchmarks.vllm_model.server import Down, ModelServer, prompt_of
from benchmarks.vllm_model.setups import SETUPS


def app_of(server: ModelServer, name: str, replies: Mapping[str, Sequence[str]]) -> Any:
    """The routes, as vLLM has them; replies by prompt, where they are known."""
    app = FastAPI()

    @app.get("/v1/models")
    async def models() -> Any:
        card = {"id": name, "object": "model", "max_model_len": 8192, "owned_by": "vllm"}
        return {"object": "list", "data": [card]}

    @app.post("/v1/chat/completions")
    async def completions(request: Request) -> Any:
        body = await request.json()
        prompt = prompt_of([(m["role"], m["content"]) for m in body["messages"]])
        n, tokens = body.get("n") or 1, body.get("max_tokens") or 16
        texts = replies.get(prompt) or ["word" * tokens] * n
        written = sum(len(text) // 4 for text in texts)
        try:
            cached = await server.complete(prompt, texts)
        except Down:
            return JSONResponse({"error": {"message": "restarting", "code": 503}}, 503)
        usage = {
            "prompt_tokens": len(prompt) // 4,
            "completion_tokens": written,
            "total_tokens": len(prompt) // 4 + written,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        choices = [
            {
                "index": place,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "length",
            }
            for place, text in enumerate(texts)
        ]
        page = {"id": "chatcmpl-model", "object": "chat.completion", "created": 0, "model": name}
        return page | {"choices": choices, "usage": usage}

    @app.get("/metrics")
    async def metrics() -> Any:
        engine = server.engine
        used = 1 - engine.pool.free / engine.pool.capacity
        rows = {
            "num_requests_running": engine.running,
            "num_requests_waiting": engine.waiting,
            "kv_cache_usage_perc": round(used, 4),
            "num_preemptions_total": engine.preempted,
            "prefix_cache_queries_total": engine.prompt_tokens,
            "prefix_cache_hits_total": engine.cached_tokens,
        }
        lines = [f'vllm:{row}{{model_name="{name}"}} {value}\n' for row, value in rows.items()]
        return PlainTextResponse("".join(lines))

    return app


@contextlib.asynccontextmanager
async def serving(
    server: ModelServer,
    name: str,
    *,
    port: int = 0,
    replies: Mapping[str, Sequence[str]] | None = None,
) -> AsyncIterator[str]:
    """Serve over HTTP on loopback, in the running loop; gives the base URL."""
    options = uvicorn.Config(
        app_of(server, name, {} if replies is None else replies),
        port=port,
        log_level="error",
        lifespan="off",
    )
    http = uvicorn.Server(options)
    http.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    running = asyncio.create_task(http.serve())
    while not http.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{http.servers[0].sockets[0].getsockname()[1]}/v1"
    finally:
        http.should_exit = True
        await running


async def serve(setup: str, port: int) -> None:
    async with ModelServer(SETUPS[setup]) as server, serving(server, setup, port=port) as url:
        print(url, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--setup", choices=SETUPS, default="h100-8b")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(options.setup, options.port))


if __name__ == "__main__":
    main()
