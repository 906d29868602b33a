"""The reading half of the loopback Hub: info, refs, commits, trees and files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.hub_card import front_matter
from tests.support.hub_files import send_file
from tests.support.hub_store import Blob, Commit, RefusalError, Repo, pointer
from tests.support.hub_web import (
    KINDS,
    ORGANISATIONS,
    USER,
    commit_of,
    kind_of,
    param,
    repo_of,
    role_of,
    site_of,
)


def stamp(date: datetime) -> str:
    return date.strftime("%Y-%m-%dT%H:%M:%S.") + f"{date.microsecond // 1000:03}Z"


async def whoami(request: Request) -> Response:
    role = role_of(request)
    if role is None:
        raise RefusalError(401, "Invalid username or password.")
    token = {"displayName": "loopback", "role": role}
    auth = {"type": "access_token", "accessToken": token}
    orgs = [{"type": "org", "name": name} for name in ORGANISATIONS]
    return JSONResponse({"type": "user", "id": USER, "name": USER, "orgs": orgs, "auth": auth})


async def info(request: Request) -> Response:
    """The repository at a revision; `expand` asks for single fields, `blobs` for sizes."""
    repo = repo_of(request)
    commit = commit_of(request, repo) if "rev" in request.path_params else repo.head
    facts = _facts(request, repo, commit)
    if expand := request.query_params.getlist("expand"):
        facts = {k: v for k, v in facts.items() if k in {"_id", "id", *expand}}
    return JSONResponse(facts)


def _facts(request: Request, repo: Repo, commit: Commit) -> dict[str, Any]:
    store = site_of(request).store
    blobs = request.query_params.get("blobs", "").lower() in {"1", "true"}
    readme = commit.tree.get("README.md")
    card = front_matter(store.path(readme).read_text(encoding="utf-8")) if readme else None
    return {
        "_id": hashlib.sha1(repo.id.encode()).hexdigest()[:24],
        "id": repo.name,
        "author": repo.name.split("/")[0],
        "sha": commit.oid,
        "createdAt": stamp(repo.history(commit)[-1].date),
        "lastModified": stamp(commit.date),
        "private": repo.private,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "cardData": card,
        "siblings": [_sibling(path, blob, blobs) for path, blob in sorted(commit.tree.items())],
        "usedStorage": sum(blob.size for blob in commit.tree.values()),
    }


def _sibling(path: str, blob: Blob, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": path}
    return {"rfilename": path, "size": blob.size, "blobId": blob.oid, **_lfs(blob, "sha256")}


def _lfs(blob: Blob, name: str) -> dict[str, Any]:
    if blob.sha256 is None:
        return {}
    size = len(pointer(blob.sha256, blob.size))
    return {"lfs": {name: blob.sha256, "size": blob.size, "pointerSize": size}}


async def refs(request: Request) -> Response:
    repo = repo_of(request)

    def listed(kind: str, names: dict[str, str]) -> list[dict[str, str]]:
        return [
            {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": oid}
            for name, oid in names.items()
        ]

    pulls: dict[str, Any] = {"pullRequests": []} if "include_prs" in request.query_params else {}
    heads, tags = listed("heads", repo.branches), listed("tags", repo.tags)
    return JSONResponse({"branches": heads, "tags": tags, "converts": [], **pulls})


async def commits(request: Request) -> Response:
    repo = repo_of(request)
    history = repo.history(commit_of(request, repo))
    return _page(request, [_commit_entry(commit) for commit in history])


def _commit_entry(commit: Commit) -> dict[str, Any]:
    authors = [{"user": USER, "avatar": ""}]
    texts = {"title": commit.title, "message": commit.message}
    return {"id": commit.oid, "authors": authors, "date": stamp(commit.date), **texts}


async def tree(request: Request) -> Response:
    repo = repo_of(request)
    commit = commit_of(request, repo)
    folder = param(request, "path").strip("/") if "path" in request.path_params else ""
    query = request.query_params
    paths = list(_paths(commit, folder, recursive=query.get("recursive", "").lower() == "true"))
    if folder and not paths:
        message = f"{folder} does not exist on {commit.oid}"
        raise RefusalError(404, message, "EntryNotFound", commit=commit.oid)
    expand = query.get("expand", "").lower() == "true"
    return _page(request, [_entry(request, repo, commit, path, expand) for path in paths])


def _paths(commit: Commit, folder: str, *, recursive: bool) -> list[str]:
    """Files and folders under a folder, sorted; a folder is a path that no file has."""
    prefix = f"{folder}/" if folder else ""
    found: set[str] = set()
    for path in commit.tree:
        if path.startswith(prefix):
            parts = path.removeprefix(prefix).split("/")
            depth = len(parts) if recursive else 1
            found |= {prefix + "/".join(parts[:n]) for n in range(1, depth + 1)}
    return sorted(found)


def _entry(request: Request, repo: Repo, commit: Commit, path: str, expand: bool) -> dict[str, Any]:
    blob = commit.tree.get(path)
    entry: dict[str, Any] = {"type": "directory", "oid": _tree_oid(commit, path), "size": 0}
    if blob is not None:
        entry = {"type": "file", "oid": blob.oid, "size": blob.size, **_lfs(blob, "oid")}
        if xet := site_of(request).xet_hash(blob.sha256):
            entry["xetHash"] = xet
    if expand:
        last = repo.last_change(commit, path)
        entry["lastCommit"] = {"id": last.oid, "title": last.title, "date": stamp(last.date)}
    return entry | {"path": path}


def _tree_oid(commit: Commit, folder: str) -> str:
    inside = [(p, b.oid) for p, b in sorted(commit.tree.items()) if p.startswith(f"{folder}/")]
    return hashlib.sha1(repr(inside).encode()).hexdigest()


def _page(request: Request, items: Sequence[Any]) -> Response:
    """One page of a list; the Link header leads to the next one."""
    start, size = int(request.query_params.get("cursor", 0)), site_of(request).page_size
    response = JSONResponse(items[start : start + size])
    if start + size < len(items):
        url = request.url.include_query_params(cursor=start + size)
        response.headers["Link"] = f'<{url}>; rel="next"'
    return response


async def paths_info(request: Request) -> Response:
    """Facts on the paths asked for; those that do not exist are left out."""
    repo = repo_of(request)
    commit = commit_of(request, repo)
    form = parse_qs((await request.body()).decode())
    known = set(_paths(commit, "", recursive=True))
    expand = form.get("expand", [""])[0].lower() == "true"
    asked = [path.strip("/") for path in form.get("paths", [])]
    return JSONResponse([_entry(request, repo, commit, p, expand) for p in asked if p in known])


async def resolve(request: Request) -> Response:
    """A file's bytes; an LFS object's lie on another host.

    A client follows a redirect within the same host and then misses X-Repo-Commit in the answer
    to its HEAD, so the bytes have to be on another host, as they are on the real Hub.
    """
    repo, site = repo_of(request), site_of(request)
    commit, path = commit_of(request, repo), param(request, "path")
    blob = commit.tree.get(path)
    if blob is None:
        raise RefusalError(404, "Entry not found", "EntryNotFound", commit=commit.oid)
    headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{blob.shown_oid}"'}
    if blob.sha256 is None:
        return send_file(request, site.store.path(blob), headers)
    headers |= {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(blob.size)}
    headers["Location"] = f"{site.bytes_url}/_lfs/{blob.sha256}"
    if xet := site.xet_hash(blob.sha256):
        api = f"{site.url}/api/{kind_of(request)}/{repo.name}"
        token = f"{api}/xet-read-token/{quote(commit.oid, safe='')}"
        headers |= {"X-Xet-Hash": xet, "Link": f'<{token}>; rel="xet-auth"'}
    return Response(status_code=302, headers=headers)


def _of(kind: str) -> list[Route]:
    repo = f"/api/{kind}/{{ns}}/{{name}}"
    page = f"{'/datasets' if kind == 'datasets' else ''}/{{ns}}/{{name}}"
    return [
        Route(repo, info),
        Route(f"{repo}/revision/{{rev}}", info),
        Route(f"{repo}/refs", refs),
        Route(f"{repo}/commits/{{rev}}", commits),
        Route(f"{repo}/tree/{{rev}}", tree),
        Route(f"{repo}/tree/{{rev}}/{{path:path}}", tree),
        Route(f"{repo}/paths-info/{{rev}}", paths_info, methods=["POST"]),
        Route(f"{page}/resolve/{{rev}}/{{path:path}}", resolve),
    ]


ROUTES = [Route("/api/whoami-v2", whoami), *(route for kind in KINDS for route in _of(kind))]
