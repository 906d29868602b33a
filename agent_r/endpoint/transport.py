"""Post chat completions over aiohttp, for a fifth of the CPU that the openai library takes.

The library's client builds, checks and parses what is known here to be right, and its connection
pool looks at every connection for every request (figures: benchmarks/client_cpu.py). So chat
completions are posted over aiohttp, and what goes wrong is said in the library's own exceptions.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2
import openai
from yarl import URL

from agent_r import __version__
from agent_r.endpoint.access import Access
from agent_r.loopback import is_loopback

IDLE_S = 4.5  # after which a connection is not used again: most servers close it at 5


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it went out, but for what lets it in."""

    url: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


class Transport:
    """Connections to one server, opened when the first request is made.

    Args:
        timeout_s: of silence; connect_s: until an address that does not answer is given up.
    """

    def __init__(
        self, base_url: str, access: Access, *, timeout_s: float, connect_s: float
    ) -> None:
        self._url = URL(base_url.rstrip("/") + "/chat/completions").update_query(access.query)
        self.sent: Sent | None = None  # the last request
        own = {"Content-Type": "application/json", "User-Agent": f"agent-r/{__version__}"}
        taken = {name.lower() for name in access.headers}
        own = {name: value for name, value in own.items() if name.lower() not in taken}
        self._headers = dict(access.headers) | own
        self._shown = dict(access.shown) | own
        self._proxy = _proxy(base_url)
        self._patience = aiohttp.ClientTimeout(sock_connect=connect_s, sock_read=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def post(self, body: Mapping[str, Any]) -> str:
        """Post a request; the text of a good answer.

        Raises:
            openai.APIStatusError: any other answer.
            openai.APIConnectionError: none; its cause says why.
            TimeoutError: none in time.
        """
        session = self._session or self._open()
        self.sent = Sent(str(self._url), self._shown, body)
        try:
            async with session.post(
                self._url,
                data=json.dumps(body).encode(),
                headers=self._headers,
                proxy=self._proxy,
            ) as answer:
                content = await answer.read()
        except TimeoutError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            raise openai.APIConnectionError(request=self._request()) from error
        text = content.decode("utf-8", "replace")
        if answer.status >= 300:
            raise self._refusal(answer, content, text)
        return text

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        context: ssl.SSLContext | bool = True
        if self._url.scheme == "https":
            context = httpx2.create_ssl_context()  # it knows $SSL_CERT_FILE, as the library does
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S, ssl=context),
            timeout=self._patience,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self._session

    def _refusal(
        self, answer: aiohttp.ClientResponse, content: bytes, text: str
    ) -> openai.APIStatusError:
        headers = [(n, v) for n, v in answer.headers.items() if n.lower() != "content-encoding"]
        response = httpx2.Response(
            answer.status, headers=headers, content=content, request=self._request()
        )
        try:
            page: object = json.loads(text)
        except (ValueError, RecursionError):
            page = text
        body = page.get("error", page) if isinstance(page, dict) else page
        return openai.APIStatusError(f"HTTP {answer.status}", response=response, body=body)

    def _request(self) -> httpx2.Request:
        return httpx2.Request("POST", str(self._url))


def _proxy(url: str) -> str | None:
    """As $HTTPS_PROXY and $NO_PROXY say; asked once, for aiohttp would look for each request."""
    parts = urlsplit(url)
    if is_loopback(url) or proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)
