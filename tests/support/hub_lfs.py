"""The LFS half of the loopback Hub: batch, upload in one piece or in parts, verify, download."""

from __future__ import annotations

import asyncio
import hashlib
from math import ceil
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.hub_files import send_file
from tests.support.hub_store import RefusalError
from tests.support.hub_web import Site, param, repo_of, site_of


async def receive(request: Request, path: Path, *, offset: int = 0) -> str:
    """Write the body to a file as it arrives; returns its sha256, and counts its bytes."""
    digest = hashlib.sha256()
    with path.open("r+b" if path.exists() else "wb") as file:
        file.seek(offset)
        async for chunk in request.stream():
            site_of(request).bytes_in += len(chunk)
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def settle(site: Site, scratch: Path, sha256: str, actual: str) -> None:
    """Give arrived bytes their name, but only if they are what they were announced to be."""
    if actual != sha256:
        scratch.unlink()
        raise RefusalError(400, f"BadDigest: {sha256} was announced, {actual} was sent")
    scratch.replace(site.store.lfs_path(sha256))


async def batch(request: Request) -> Response:
    repo_of(request, write=True)
    site = site_of(request)
    wanted: list[dict[str, Any]] = (await request.json())["objects"]
    return JSONResponse({"transfer": "basic", "objects": [_plan(site, each) for each in wanted]})


def _plan(site: Site, wanted: dict[str, Any]) -> dict[str, Any]:
    """How to upload one object; no actions when it is there already."""
    oid, size = wanted["oid"], wanted["size"]
    reply: dict[str, Any] = {"oid": oid, "size": size}
    if site.store.lfs_blob(oid) is not None:
        return reply
    upload: dict[str, Any] = {"href": f"{site.bytes_url}/_lfs/{oid}"}
    if size > site.part_size:
        parts = range(1, ceil(size / site.part_size) + 1)
        urls = {str(n): f"{site.bytes_url}/_lfs/{oid}/{n}" for n in parts}
        upload = {
            "href": f"{site.url}/_lfs/{oid}/complete",
            "header": {"chunk_size": str(site.part_size)} | urls,
        }
    verify = {"href": f"{site.url}/_lfs/{oid}/verify"}
    return reply | {"actions": {"upload": upload, "verify": verify}}


async def put_whole(request: Request) -> Response:
    site = site_of(request)
    scratch = site.store.scratch()
    try:
        actual = await receive(request, scratch)
    except ClientDisconnect:
        scratch.unlink()
        raise
    settle(site, scratch, param(request, "oid"), actual)
    return Response(headers={"ETag": f'"{actual}"'})


def _parts(site: Site, oid: str) -> Path:
    return site.store.folder / "parts" / oid


async def put_part(request: Request) -> Response:
    """Parts go to their place in one file, so that completing the upload copies nothing."""
    site = site_of(request)
    offset = (int(param(request, "part")) - 1) * site.part_size
    actual = await receive(request, _parts(site, param(request, "oid")), offset=offset)
    return Response(headers={"ETag": f'"{actual}"'})


async def complete(request: Request) -> Response:
    site, oid = site_of(request), param(request, "oid")
    parts = _parts(site, oid)
    if site.store.lfs_blob(oid) is None:  # else: a repeated request, its first answer was lost
        if not parts.exists():
            raise RefusalError(404, f"No parts of {oid} were uploaded")
        settle(site, parts, oid, await asyncio.to_thread(_sha256, parts))
    return JSONResponse({})


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def verify(request: Request) -> Response:
    told = await request.json()
    blob = site_of(request).store.lfs_blob(told["oid"])
    if blob is None:
        raise RefusalError(404, f"Object {told['oid']} was not uploaded")
    if blob.size != told["size"] or told["oid"] != param(request, "oid"):
        raise RefusalError(422, f"Size mismatch: {blob.size} bytes arrived, not {told['size']}")
    return JSONResponse({})


async def download(request: Request) -> Response:
    sha256 = param(request, "oid")
    path = site_of(request).store.lfs_path(sha256)
    if not path.is_file():
        raise RefusalError(404, "NoSuchKey")
    return send_file(request, path, {"ETag": f'"{sha256}"'})


ROUTES = [
    Route("/datasets/{ns}/{name}.git/info/lfs/objects/batch", batch, methods=["POST"]),
    Route("/{ns}/{name}.git/info/lfs/objects/batch", batch, methods=["POST"]),
    Route("/_lfs/{oid}", put_whole, methods=["PUT"]),
    Route("/_lfs/{oid}", download),
    Route("/_lfs/{oid}/complete", complete, methods=["POST"]),
    Route("/_lfs/{oid}/verify", verify, methods=["POST"]),
    Route("/_lfs/{oid}/{part}", put_part, methods=["PUT"]),
]
