"""What all calls of the loopback Hub share: who asks, for which repository, and how it says no."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.support.hub_store import Commit, HubStore, RefusalError, Repo

USER = "tester"
ORGANISATIONS = ("acme", "me")  # in whose names he may write
KINDS = ("datasets", "models")
WRITE, READ = "hf_write", "hf_read"
TOKENS: Mapping[str, str] = {WRITE: "write", READ: "read"}


@dataclass(slots=True)
class Site:
    """One running Hub: its store, its names, who may do what, and the payload bytes it received."""

    store: HubStore
    url: str
    bytes_url: str  # another host name than url: see `resolve` in hub_read.py
    tokens: Mapping[str, str] = field(default_factory=lambda: dict(TOKENS))
    page_size: int = 1000
    xet: bool = False
    part_size: int = 1 << 26  # LFS objects above it are asked for in parts
    xet_hashes: dict[str, str] = field(default_factory=dict)  # by sha256
    bytes_in: int = 0

    def xet_hash(self, sha256: str | None) -> str | None:
        return self.xet_hashes.get(sha256) if sha256 else None


def site_of(request: Request) -> Site:
    return cast(Site, request.app.state.site)


def role_of(request: Request) -> str | None:
    """The role of the caller's token, or None for an anonymous caller."""
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not token:
        return None
    role = site_of(request).tokens.get(token)
    if role is None:
        raise RefusalError(401, "Invalid credentials in Authorization header")
    return role


def require_write(request: Request) -> None:
    role = role_of(request)
    if role is None:
        raise RefusalError(401, "Invalid username or password.")
    if role != "write":
        raise RefusalError(403, "Forbidden: you must use a write token to do this")


def param(request: Request, name: str) -> str:
    """A part of the path, decoded only now: a revision may hold a slash as %2F."""
    return unquote(request.path_params[name])


def repo_of(request: Request, *, write: bool = False) -> Repo:
    """The repository in the path; one that is hidden from the caller does not exist for him."""
    role = role_of(request)
    repo_id = f"{param(request, 'ns')}/{param(request, 'name')}"
    repo = site_of(request).store.repos.get(key_of(repo_id, kind_of(request)))
    if repo is None or (repo.private and role is None):
        status = 404 if role else 401
        raise RefusalError(status, "Repository not found", "RepoNotFound")
    if write:
        require_write(request)
    return repo


def kind_of(request: Request) -> str:
    """A path names datasets; of models only the API's does."""
    return "datasets" if "datasets" in request.url.path.split("/")[1:3] else "models"


def key_of(repo_id: str, kind: str) -> str:
    """By which the store knows a repository: a dataset may be called as a model is."""
    return repo_id if kind == "datasets" else f"{kind}/{repo_id}"


def commit_of(request: Request, repo: Repo) -> Commit:
    return repo.at(param(request, "rev"))


def refuse(request: Request, error: Exception) -> Response:
    """An error as the Hub words it: JSON for people, headers for clients."""
    assert isinstance(error, RefusalError)
    headers = {"X-Error-Message": error.message.encode("ascii", "replace").decode()}
    if error.code:
        headers["X-Error-Code"] = error.code
    if commit := error.body.pop("commit", None):
        headers["X-Repo-Commit"] = commit  # clients remember for which commit a file is missing
    return JSONResponse({"error": error.message} | error.body, error.status, headers)
