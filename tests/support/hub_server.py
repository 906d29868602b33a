"""A Hugging Face Hub on loopback, for the real clients: in a thread, or as a process of its own.

In a test: `with LoopbackHub(folder) as hub: …`, and the client in a subprocess with
`hub.client_env(home)`, for it reads its settings when it is imported. As a process:
`python tests/hub_server.py --folder F --port-file P`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from tests.support import hub_jobs, hub_lfs, hub_read, hub_write, hub_xet
from tests.support.hub_faults import FaultyHub, Watch
from tests.support.hub_store import HubStore, RefusalError
from tests.support.hub_web import READ, TOKENS, WRITE, Site, refuse, site_of

__all__ = ["READ", "WRITE", "LoopbackHub"]


async def stats(request: Request) -> Response:
    """What a benchmark asks of a Hub in another process."""
    return JSONResponse({"bytes_in": site_of(request).bytes_in})


async def gone(request: Request, error: Exception) -> Response:
    """A client that hung up gets an answer that nobody reads."""
    return Response(status_code=400)


def make_app(site: Site, desk: hub_jobs.Desk) -> Starlette:
    routes = [Route("/_stats", stats), *hub_jobs.ROUTES]  # before those with any name in them
    routes += [*hub_read.ROUTES, *hub_write.ROUTES, *hub_lfs.ROUTES]
    if site.xet:
        routes += hub_xet.ROUTES
    handlers: dict[Any, Any] = {RefusalError: refuse, ClientDisconnect: gone}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    app.state.site = site
    app.state.xorbs = hub_xet.Xorbs.beside(site.store)
    app.state.desk = desk
    return app


def _as_sent(app: ASGIApp) -> ASGIApp:
    """Route by the path as it was sent: decoded, a revision with a slash would be two parts."""

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["path"] = scope["raw_path"].decode("ascii")
        await app(scope, receive, send)

    return inner


class _Protocol(H11Protocol):
    """Hands the connection to the application, which can then cut it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class _Server(uvicorn.Server):
    """Ends in milliseconds: nobody waits for a test's client to say goodbye."""

    async def main_loop(self) -> None:
        while not self.should_exit:
            await asyncio.sleep(0.02)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        while self.server_state.connections or self.server_state.tasks:
            await asyncio.sleep(0.005)


class LoopbackHub(Watch):
    """A Hub that listens from its construction until it is closed."""

    def __init__(
        self,
        folder: Path,
        *,
        tokens: Mapping[str, str] = TOKENS,
        xet: bool = False,
        page_size: int = 1000,
        part_size: int = 1 << 26,
    ) -> None:
        super().__init__()
        # Of protocol TCP, said plainly: asyncio then sends small answers at once, not 40 ms late.
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.bind(("127.0.0.1", 0))
        sock.listen(128)
        port = sock.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.store = HubStore(folder)
        self._site = Site(
            self.store,
            self.url,
            bytes_url=f"http://localhost:{port}",
            tokens=dict(tokens),
            page_size=page_size,
            part_size=part_size,
            xet=xet,
        )
        self.desk = hub_jobs.Desk(folder / "jobs", self.url)
        config = uvicorn.Config(
            _as_sent(FaultyHub(make_app(self._site, self.desk), self)),
            http=_Protocol,
            ws="none",
            lifespan="off",
            proxy_headers=False,
            timeout_keep_alive=600,  # a client that thinks for a while is no fault to test
            log_config=None,
            log_level="error",
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([sock],), daemon=True)
        self._thread.start()
        while (
            self._thread.is_alive() and not self._server.started
        ):  # else a hub that is closed at once would never end
            time.sleep(0.005)

    @property
    def bytes_in(self) -> int:
        """Payload bytes that clients uploaded, by LFS or by Xet."""
        return self._site.bytes_in

    def client_env(
        self, home: Path, *, token: str | None = WRITE, xet: bool = True
    ) -> dict[str, str]:
        """An environment for a client process that talks to this Hub and to no other."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        hub = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "0" if xet and self._site.xet else "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1,localhost",
        }
        return ours | hub | ({"HF_TOKEN": token} if token else {})

    def close(self) -> None:
        self.desk.close()
        self._server.should_exit = True
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the content is kept")
    parser.add_argument("--port-file", type=Path, help="written when the Hub listens")
    parser.add_argument("--xet", action="store_true", help="take uploads by the Xet protocol too")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with LoopbackHub(args.folder, xet=args.xet) as hub:
        if args.port_file:
            scratch = args.port_file.with_suffix(".new")
            scratch.write_text(hub.url.rpartition(":")[2])
            scratch.replace(args.port_file)
        sys.stdout.write(f"{hub.url}\n")
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    main()
