"""A file as a response, whole or in part, read without threads: a closed Hub leaves none behind."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tests.support.hub_store import RefusalError

BLOCK = 1 << 20
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def send_file(request: Request, path: Path, headers: Mapping[str, str]) -> Response:
    """The part of a file that the Range header asks for (206), or all of it (200)."""
    size = path.stat().st_size
    part = asked_range(request.headers.get("range"), size)
    start, end = part or (0, size)
    facts = {"Accept-Ranges": "bytes", "Content-Length": str(end - start), **headers}
    if part is not None:
        facts["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    body = _read(path, start, end if request.method == "GET" else start)
    kind = "application/octet-stream"
    return StreamingResponse(body, 206 if part else 200, facts, media_type=kind)


def asked_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Start and end (exclusive) of the bytes asked for; None if all are.

    >>> [asked_range(header, 10) for header in ("bytes=2-4", "bytes=7-", "bytes=-4", None)]
    [(2, 5), (7, 10), (6, 10), None]
    """
    match = _RANGE.fullmatch(header or "")
    if match is None or match[0] == "bytes=-":
        return None
    first, last = match.groups()
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last) + 1, size) if first and last else size
    if start >= end:
        raise RefusalError(416, f"The file has {size} bytes")
    return start, end


async def _read(path: Path, start: int, end: int) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < end and (block := file.read(min(BLOCK, end - start))):
            start += len(block)
            yield block
