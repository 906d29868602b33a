"""Tell a web page from a Hub's answer: a captive portal or a proxy sends one with status 200."""

from __future__ import annotations

from typing import Any

import httpx2
from huggingface_hub import get_session

_OK = 200


class WebPage(ValueError):
    """What came is for a browser; the client itself might take it for a success."""


def session() -> httpx2.Client:
    """The Hub client's own session, which from now on refuses web pages."""
    client = get_session()
    hooks: dict[str, list[Any]] = client.event_hooks
    if refuse_page not in hooks["response"]:
        client.event_hooks = {**hooks, "response": [*hooks["response"], refuse_page]}
    return client


def refuse_page(response: httpx2.Response) -> None:
    """Called for each answer.

    Raises:
        WebPage: it is one, and no file of that kind was asked for.
    """
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    asked = response.request.url.path.lower().endswith((".html", ".htm"))
    if response.status_code == _OK and kind in ("text/html", "application/xhtml+xml") and not asked:
        at = f"{response.request.url.scheme}://{response.request.url.netloc.decode()}"
        raise WebPage(
            f"{at} answers with a web page where a Hub would not: "
            "is there a proxy, or a network that wants a log-in?"
        )
