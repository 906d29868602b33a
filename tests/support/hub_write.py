"""The writing half of the loopback Hub: repositories, preupload, commits, branches and tags."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.hub_card import complaints
from tests.support.hub_store import Blob, Change, Commit, HubStore, RefusalError
from tests.support.hub_web import (
    KINDS,
    ORGANISATIONS,
    USER,
    commit_of,
    key_of,
    kind_of,
    param,
    repo_of,
    require_write,
    role_of,
    site_of,
)

LFS_SUFFIXES = tuple(".arrow .bin .gz .jpeg .jpg .npy .parquet .png .pt .tar .zip .zst".split())
LFS_ABOVE = 10 * 1024 * 1024
PREUPLOAD_LIMIT = 256


async def create(request: Request) -> Response:
    require_write(request)
    site, told = site_of(request), await request.json()
    kind = f"{told.get('type', 'model')}s"
    if kind not in KINDS:
        raise RefusalError(400, "This loopback Hub keeps datasets and models only")
    owner = told.get("organization") or USER
    if owner not in (USER, *ORGANISATIONS):
        raise RefusalError(403, f"You don't have the rights to create a {kind[:-1]} under {owner}")
    repo_id = f"{owner}/{told['name']}"
    page = f"{site.url}/{'datasets/' if kind == 'datasets' else ''}{repo_id}"
    reply = {"url": page, "name": repo_id, "id": repo_id}
    try:
        site.store.create(key_of(repo_id, kind), private=told.get("visibility") == "private")
    except RefusalError as error:
        error.body["url"] = reply["url"]  # create_repo(exist_ok=True) reads it from the refusal
        raise
    return JSONResponse(reply)


async def delete(request: Request) -> Response:
    require_write(request)
    store, told = site_of(request).store, await request.json()
    repo_id = f"{told.get('organization') or USER}/{told['name']}"
    if repo_id not in store.repos:
        raise RefusalError(404, "Repository not found", "RepoNotFound")
    store.delete(repo_id)
    return JSONResponse({})


async def settings(request: Request) -> Response:
    repo, told = repo_of(request, write=True), await request.json()
    repo.private = told.get("visibility", "private" if repo.private else "public") == "private"
    return JSONResponse({})


async def validate_yaml(request: Request) -> Response:
    role_of(request)
    errors, warnings = complaints((await request.json())["content"])
    found = {
        "errors": [{"message": each} for each in errors],
        "warnings": [{"message": each} for each in warnings],
    }
    if errors:
        raise RefusalError(400, "Invalid metadata in README.md", "", **found)
    return JSONResponse(found)


async def preupload(request: Request) -> Response:
    """How to send each file, and what the repository has at its path already."""
    commit = commit_of(request, repo_of(request, write=True))
    files: list[dict[str, Any]] = (await request.json())["files"]
    if len(files) > PREUPLOAD_LIMIT:
        raise RefusalError(413, f"Too many files: {len(files)}")
    return JSONResponse({"files": [_mode(commit, each) for each in files]})


def _mode(commit: Commit, file: dict[str, Any]) -> dict[str, Any]:
    path = file["path"]
    lfs = path.endswith(LFS_SUFFIXES) or file["size"] > LFS_ABOVE
    known = commit.tree.get(path)
    oid = {"oid": known.shown_oid} if known else {}
    return {"path": path, "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False, **oid}


@dataclass(slots=True)
class _Draft:
    """A commit while its lines are read."""

    header: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Blob] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)

    def read(self, store: HubStore, key: str, value: dict[str, Any]) -> None:
        if key == "header":
            self.header = value
        elif key == "file":
            self.files[value["path"]] = store.keep(base64.b64decode(value["content"]))
        elif key == "lfsFile":
            self.files[value["path"]] = _uploaded(store, value)
        elif key == "deletedFile":
            self.deleted.append(value["path"])
        elif key == "deletedFolder":
            self.deleted.append(value["path"].rstrip("/") + "/")
        else:
            raise RefusalError(400, f"Unknown operation: {key}")

    @property
    def change(self) -> Change:
        header = self.header
        texts = header["summary"], header.get("description", ""), header.get("parentCommit")
        return Change(*texts, self.files, tuple(self.deleted))


def _uploaded(store: HubStore, value: dict[str, Any]) -> Blob:
    blob = store.lfs_blob(value["oid"])
    if blob is None or blob.size != value.get("size", blob.size):
        path = value["path"]
        raise RefusalError(400, f"LFS pointer pointed to a file that does not exist: {path}")
    return blob


async def commit(request: Request) -> Response:
    site, repo = site_of(request), repo_of(request, write=True)
    if "create_pr" in request.query_params:
        raise RefusalError(400, "This loopback Hub has no pull requests")
    draft = _Draft()
    for line in (await request.body()).splitlines():
        told = json.loads(line)
        draft.read(site.store, told["key"], told["value"])
    done = site.store.commit(repo.id, draft.change, branch=param(request, "rev"))
    page = f"{site.url}/{'datasets/' if kind_of(request) == 'datasets' else ''}{repo.name}"
    url = f"{page}/commit/{done.oid}"
    return JSONResponse({"success": True, "commitOid": done.oid, "commitUrl": url})


async def create_tag(request: Request) -> Response:
    repo = repo_of(request, write=True)
    repo.tag((await request.json())["tag"], commit_of(request, repo))
    return JSONResponse({})


async def delete_tag(request: Request) -> Response:
    repo_of(request, write=True).delete_tag(param(request, "rev"))
    return JSONResponse({})


async def create_branch(request: Request) -> Response:
    repo, told = repo_of(request, write=True), await request.body()
    start = (json.loads(told) if told else {}).get("startingPoint", "main")
    repo.branch(param(request, "rev"), repo.at(start))
    return JSONResponse({})


def _of(kind: str) -> list[Route]:
    repo = f"/api/{kind}/{{ns}}/{{name}}"
    return [
        Route(f"{repo}/settings", settings, methods=["PUT"]),
        Route(f"{repo}/preupload/{{rev}}", preupload, methods=["POST"]),
        Route(f"{repo}/commit/{{rev}}", commit, methods=["POST"]),
        Route(f"{repo}/tag/{{rev}}", create_tag, methods=["POST"]),
        Route(f"{repo}/tag/{{rev}}", delete_tag, methods=["DELETE"]),
        Route(f"{repo}/branch/{{rev}}", create_branch, methods=["POST"]),
    ]


ROUTES = [
    Route("/api/repos/create", create, methods=["POST"]),
    Route("/api/repos/delete", delete, methods=["DELETE"]),
    Route("/api/validate-yaml", validate_yaml, methods=["POST"]),
    *(route for kind in KINDS for route in _of(kind)),
]
