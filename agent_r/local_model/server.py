"""An OpenAI-compatible server for one embedded model.

Supported: Llama checkpoints in Hugging Face format (safetensors of any float type, grouped
queries, tied or separate embeddings, default rotary positions) with a fast tokenizer and a chat
template. Any other folder is refused in one line: serve it with vLLM or llama.cpp.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from agent_r.local_model import protocol
from agent_r.local_model.engine import (
    Engine,
    EngineStopped,
    Generation,
    PromptTooLong,
    UnsupportedModel,
)
from agent_r.local_model.generation import GenerationRequest, OnText
from agent_r.local_model.listening import listen
from agent_r.local_model.parent_watch import end_with
from agent_r.local_model.protocol import ApiError, ChatRequest, Json

GRACE_SECONDS = 5


def create_app(engine: Engine, *, model: str) -> FastAPI:
    """Build the web application; `model` is the only name that requests may use."""
    app = FastAPI(title=f"agent-r serve {model}", docs_url=None, redoc_url=None, openapi_url=None)
    _answer_errors(app)
    card = {"id": model, "object": "model", "created": int(time.time()), "owned_by": "agent-r"}

    @app.get("/health")
    async def health() -> Json:
        return {"status": "ok"}

    @app.get("/v1/models")
    async def models() -> Json:
        return {"object": "list", "data": [card]}

    @app.get("/v1/models/{name:path}")
    async def one_model(name: str) -> Json:
        _check_model(name, model)
        return card

    @app.post("/v1/chat/completions")
    async def chat(body: ChatRequest, request: Request) -> Response:
        _check_model(body.model, model)
        if body.stream:
            return _stream(engine, body)
        future = _submit(engine, _generation(engine, body))
        generation = await _answer(future, request)
        logs = bool(body.logprobs)
        return JSONResponse(protocol.reply(model, generation, engine.text, logs=logs))

    return app


def _check_model(asked: str, served: str) -> None:
    if asked != served:
        message = f"the model {asked!r} does not exist; this server has {served!r}"
        raise ApiError(404, message, code="model_not_found")


def _generation(engine: Engine, body: ChatRequest) -> GenerationRequest:
    try:
        return body.generation(engine.text)
    except ValueError as error:
        raise ApiError(400, str(error)) from error
    except Exception as error:  # a chat template may refuse a conversation in any way
        raise ApiError(400, f"the chat template refuses these messages: {error}") from error


def _submit(
    engine: Engine, request: GenerationRequest, *, on_text: OnText | None = None
) -> Future[Generation]:
    try:
        return engine.submit(request, on_text=on_text)
    except PromptTooLong as error:
        raise ApiError(400, str(error), code="context_length_exceeded") from error
    except ValueError as error:
        raise ApiError(400, str(error)) from error


async def _answer(future: Future[Generation], request: Request) -> Generation:
    """Wait until the engine answers or the client disconnects."""
    answer: asyncio.Future[Any] = asyncio.wrap_future(future)
    # The body has been read, so the next thing the client can say is that it is gone.
    left: asyncio.Future[Any] = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({answer, left}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ApiError(499, "the client closed the request")
        return future.result()
    except ApiError:
        raise
    except Exception as error:
        raise _engine_error(error) from error
    finally:
        left.cancel()
        answer.cancel()


def _engine_error(error: BaseException) -> ApiError:
    if isinstance(error, EngineStopped | CancelledError):
        return ApiError(503, str(error) or "the request was cancelled")
    return ApiError(500, f"the model failed on this request: {error}")


def _stream(engine: Engine, body: ChatRequest) -> Response:
    """Answer as a stream, submitted before it begins: a refusal still has its HTTP status."""
    request = _generation(engine, body)
    loop = asyncio.get_running_loop()
    news: asyncio.Queue[tuple[int, str] | None] = asyncio.Queue()

    def on_text(index: int, piece: str) -> None:
        loop.call_soon_threadsafe(news.put_nowait, (index, piece))

    future = _submit(engine, request, on_text=on_text)
    future.add_done_callback(lambda _: loop.call_soon_threadsafe(news.put_nowait, None))
    events = _events(engine, body, future, news)
    return StreamingResponse(events, media_type="text/event-stream")


async def _events(
    engine: Engine,
    body: ChatRequest,
    future: Future[Generation],
    news: asyncio.Queue[tuple[int, str] | None],
) -> AsyncIterator[str]:
    """Yield server-sent events; a sample's log-probabilities come with its last chunk."""
    head = protocol.envelope(body.model, chunk=True)
    try:
        for index in range(body.n or 1):
            yield _event(head | protocol.delta(index, {"role": "assistant", "content": ""}))
        while (new := await news.get()) is not None:
            yield _event(head | protocol.delta(new[0], {"content": new[1]}))
        generation = future.result()
        for index, sample in enumerate(generation.samples):
            logs = protocol.logprobs(sample, engine.text) if body.logprobs else None
            last = protocol.delta(index, {}, finish=sample.finish_reason, logs=logs)
            yield _event(head | last)
        if body.stream_options and body.stream_options.include_usage:
            yield _event(head | {"choices": [], "usage": protocol.usage(generation)})
        yield "data: [DONE]\n\n"
    except Exception as error:  # noqa: BLE001 -- the status is sent, so the error goes in the stream
        yield _event(_engine_error(error).body())
    finally:
        future.cancel()  # reached early if the client left


def _event(data: Json) -> str:
    return f"data: {json.dumps(data, separators=(',', ':'))}\n\n"


def _answer_errors(app: FastAPI) -> None:
    """Turn every exception into an error in OpenAI's format."""

    def respond(error: ApiError) -> JSONResponse:
        return JSONResponse(error.body(), status_code=error.status)

    @app.exception_handler(ApiError)
    async def api_error(_: Request, error: ApiError) -> JSONResponse:
        return respond(error)

    @app.exception_handler(RequestValidationError)
    async def bad_body(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        message = str(first["msg"]).removeprefix("Value error, ")
        return respond(ApiError(400, f"{place}: {message}" if place else message))

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> JSONResponse:
        place = f"{request.method} {request.url.path}"
        return respond(ApiError(error.status_code, f"{error.detail}: {place}"))

    @app.exception_handler(Exception)
    async def fault(_: Request, error: Exception) -> JSONResponse:
        return respond(ApiError(500, f"{type(error).__name__}: {error}"))


class _Server(uvicorn.Server):
    """A uvicorn server that calls `on_ready` once it accepts requests."""

    on_ready: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_ready()


def serve(
    folder: Path,
    *,
    model: str,
    host: str = "127.0.0.1",
    port: int = 0,
    threads: int = 1,
    ready_file: Path | None = None,
    exit_with_parent: int | None = None,
) -> None:
    """Serve `folder` under the name `model` until a signal; port 0 lets the system choose.

    Args:
        ready_file: gets {"base_url", "pid"} as JSON once requests are answered.
        exit_with_parent: the process that starts this one: end when it does, also if it has by now,
            so that a killed run leaves nothing.

    Raises:
        UnsupportedModel: the folder is not a Llama with a chat template.
        OSError: the address is taken.
    """
    if exit_with_parent is not None:
        end_with(exit_with_parent)
    listener = listen(host, port)
    engine = Engine(folder, threads=threads)
    base_url = f"http://{host}:{listener.getsockname()[1]}/v1"

    def ready() -> None:
        if ready_file is not None:
            part = ready_file.with_name(f"{ready_file.name}.{os.getpid()}.part")
            part.write_text(json.dumps({"base_url": base_url, "pid": os.getpid()}))
            part.replace(ready_file)
        sys.stdout.write(f"agent-r serve: {model} on {base_url}\n")
        sys.stdout.flush()

    config = uvicorn.Config(
        create_app(engine, model=model),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Server(config)
    server.on_ready = ready
    try:
        server.run(sockets=[listener])
    finally:
        engine.close()


def main(argv: list[str] | None = None) -> int:
    """Run one server from the command line; the project's own command calls `serve`."""
    parser = argparse.ArgumentParser(prog="agent-r serve", description=serve.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ready-file", type=Path)
    parser.add_argument("--exit-with-parent", type=int, metavar="PID")
    options = parser.parse_args(argv)
    try:
        serve(**vars(options))
    except (UnsupportedModel, OSError) as error:
        sys.stderr.write(f"agent-r serve: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
