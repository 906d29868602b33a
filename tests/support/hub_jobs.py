"""Jobs and buckets of the loopback Hub: a job is a real process, `uv run` is this interpreter.

The routes and shapes are those of huggingface_hub 2.4. A volume is a folder beside the store, and
where the job's words begin with its mount path they are given that folder instead.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.hub_store import RefusalError
from tests.support.hub_web import ORGANISATIONS, USER, key_of, param, require_write, site_of
from tests.support.hub_xet import Xorbs, content, xorbs_of

LIVE = ("SCHEDULING", "RUNNING")
PRICE = {"name": "cpu-basic", "prettyName": "CPU Basic", "cpu": "2 vCPU", "ram": "16 GB",
         "accelerator": None, "unitCostMicroUSD": 6000, "unitCostUSD": 0.006,
         "unitLabel": "minute"}  # fmt: skip


@dataclass(slots=True)
class Job:
    """One job, and its process."""

    id: str
    namespace: str
    spec: dict[str, Any]
    folder: Path
    process: subprocess.Popen[bytes]
    cancelled: bool = False
    gone: bool = False  # as if its machine had failed

    @property
    def stage(self) -> str:
        if self.cancelled:
            return "CANCELED"
        code = self.process.poll()
        if code is None:
            return "RUNNING"
        return "ERROR" if code or self.gone else "COMPLETED"

    @property
    def facts(self) -> dict[str, Any]:
        """As the API shows it: of secrets their names alone."""
        spec, stage = self.spec, self.stage
        failed = {"message": "Job failed with exit code: 1. Reason: Error"}
        return {
            "id": self.id,
            "createdAt": "2026-01-01T00:00:00.000Z",
            "dockerImage": spec.get("dockerImage"),
            "command": spec["command"],
            "arguments": spec["arguments"],
            "environment": spec["environment"],
            "secrets": sorted(spec.get("secrets", {})),
            "flavor": spec["flavor"],
            "labels": spec.get("labels"),
            "status": {"stage": stage} | (failed if stage == "ERROR" else {"message": None}),
            "durations": {"schedulingSecs": 1, "runningSecs": 30, "totalSecs": 31},
            "owner": {"id": "1", "name": self.namespace, "type": "user"},
        }


@dataclass(slots=True)
class Desk:
    """All jobs and buckets of one Hub."""

    folder: Path
    url: str
    jobs: dict[str, Job] = field(default_factory=dict)
    buckets: dict[str, dict[str, bytes]] = field(default_factory=dict)  # by path
    public: set[str] = field(default_factory=set)  # buckets
    environment: dict[str, str] = field(default_factory=dict)  # of every job, beside its own
    ids: Iterator[int] = field(default_factory=itertools.count)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def close(self) -> None:
        for job in self.jobs.values():
            if job.process.poll() is None:
                os.killpg(job.process.pid, signal.SIGKILL)
            job.process.wait()


def desk_of(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def _require_mine(request: Request, namespace: str) -> None:
    require_write(request)
    if namespace not in (USER, *ORGANISATIONS):
        raise RefusalError(403, f"You are not allowed to run jobs in {namespace}")


async def begin(request: Request) -> Response:
    desk, namespace = desk_of(request), param(request, "ns")
    _require_mine(request, namespace)
    spec = await request.json()
    job_id = f"job{next(desk.ids):021d}"
    folder = desk.folder / job_id
    folder.mkdir(parents=True)
    mounts = {
        volume["mountPath"]: _mounted(request, volume, folder / f"volume-{number}")
        for number, volume in enumerate(spec.get("volumes", ()))
    }
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [_given(word, mounts) for word in _python(spec["command"])],
            cwd=folder,
            env=_environment(desk, spec, folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    desk.jobs[job_id] = Job(job_id, namespace, spec, folder, process)
    return JSONResponse(desk.jobs[job_id].facts)


def _python(command: list[str]) -> list[str]:
    """The words after `uv run`, for this interpreter, which has all that the script needs."""
    assert command[:2] == ["uv", "run"], command
    return [sys.executable, *command[2:]]


def _given(word: str, mounts: dict[str, Path]) -> str:
    for mount, folder in mounts.items():
        if word == mount or word.startswith(mount + "/"):
            return str(folder) + word.removeprefix(mount)
    return word


def _environment(desk: Desk, spec: dict[str, Any], folder: Path) -> dict[str, str]:
    """Nothing of this process but where its programs are."""
    own = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    hub = {"HF_ENDPOINT": desk.url, "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_XET": "1",
           "NO_PROXY": "127.0.0.1,localhost", "OMP_WAIT_POLICY": "PASSIVE",
           "OMP_NUM_THREADS": "1", "HOME": str(folder)}  # fmt: skip
    return own | hub | desk.environment | spec["environment"] | spec.get("secrets", {})


def _mounted(request: Request, volume: dict[str, Any], folder: Path) -> Path:
    """A volume's files in a folder; what a revision does not have is refused, as a mount is."""
    site, desk = site_of(request), desk_of(request)
    if volume["type"] == "bucket":
        prefix = f"{volume['path']}/" if volume.get("path") else ""
        files = {
            path.removeprefix(prefix): data
            for path, data in desk.buckets[volume["source"]].items()
            if path.startswith(prefix)
        }
    else:
        repo = site.store.repos.get(key_of(volume["source"], f"{volume['type']}s"))
        if repo is None:
            raise RefusalError(404, f"Volume not found: {volume['source']}")
        tree = repo.at(volume.get("revision", "main")).tree
        files = {path: site.store.path(blob).read_bytes() for path, blob in tree.items()}
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def _job(request: Request) -> Job:
    require_write(request)
    job = desk_of(request).jobs.get(param(request, "id"))
    if job is None or job.namespace != param(request, "ns"):
        raise RefusalError(404, "Job not found")
    return job


async def inspect(request: Request) -> Response:
    return JSONResponse(_job(request).facts)


async def listed(request: Request) -> Response:
    """The newest first, one to a page."""
    namespace, query = param(request, "ns"), request.query_params
    _require_mine(request, namespace)
    wanted = dict(label.split("=", 1) for label in query.getlist("label"))
    found = [
        job.facts
        for job in reversed(desk_of(request).jobs.values())
        if job.namespace == namespace and wanted.items() <= job.spec.get("labels", {}).items()
    ]
    start = int(query.get("cursor", 0))
    response = JSONResponse(found[start : start + 1])
    if start + 1 < len(found):
        url = request.url.include_query_params(cursor=start + 1)
        response.headers["Link"] = f'<{url}>; rel="next"'
    return response


async def cancel(request: Request) -> Response:
    job = _job(request)
    if job.stage in LIVE:
        job.cancelled = True
        os.killpg(job.process.pid, signal.SIGKILL)
    return JSONResponse(job.facts)


async def logs(request: Request) -> Response:
    """All that the job has said by now, as server-sent events."""
    output = (_job(request).folder / "output.txt").read_text(encoding="utf-8", errors="replace")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    lines = ["===== Job started at 2026-01-01 00:00:00 =====", *output.splitlines()]
    events = [json.dumps({"data": line, "timestamp": now}) for line in lines]
    text = ": keep-alive\n\n" + "".join(f"data: {event}\n\n" for event in events)
    return Response(text, media_type="text/event-stream")


async def hardware(request: Request) -> Response:
    return JSONResponse([PRICE])


async def make_bucket(request: Request) -> Response:
    desk, name = desk_of(request), f"{param(request, 'ns')}/{param(request, 'name')}"
    _require_mine(request, param(request, "ns"))
    if name in desk.buckets:
        return JSONResponse({"error": "exists", "url": f"{desk.url}/buckets/{name}"}, 409)
    desk.buckets[name] = {}
    return JSONResponse({"url": f"{desk.url}/buckets/{name}"})


async def bucket(request: Request) -> Response:
    desk, name = desk_of(request), f"{param(request, 'ns')}/{param(request, 'name')}"
    require_write(request)
    files = desk.buckets[name]
    facts = {"id": name, "private": name not in desk.public, "createdAt": "2026-01-01T00:00:00Z"}
    return JSONResponse(facts | {"size": 0, "totalFiles": len(files)})


async def bucket_token(request: Request) -> Response:
    _require_mine(request, param(request, "ns"))
    url = desk_of(request).url
    headers = {"X-Xet-Cas-Url": url, "X-Xet-Access-Token": "xet_write",
               "X-Xet-Token-Expiration": "9999999999"}  # fmt: skip
    return JSONResponse(
        {"accessToken": "xet_write", "exp": 9999999999, "casUrl": url}, 200, headers
    )


async def batch(request: Request) -> Response:
    _require_mine(request, param(request, "ns"))
    xorbs: Xorbs = xorbs_of(request)
    files = desk_of(request).buckets[f"{param(request, 'ns')}/{param(request, 'name')}"]
    for line in (await request.body()).splitlines():
        operation = json.loads(line)
        assert operation["type"] == "addFile", operation
        files[operation["path"]] = content(xorbs, operation["xetHash"])
    return JSONResponse({"success": True, "failed": []})


_BUCKET = "/api/buckets/{ns}/{name}"
ROUTES = [
    Route("/api/jobs/hardware", hardware),
    Route("/api/jobs/{ns}", begin, methods=["POST"]),
    Route("/api/jobs/{ns}", listed),
    Route("/api/jobs/{ns}/{id}", inspect),
    Route("/api/jobs/{ns}/{id}/cancel", cancel, methods=["POST"]),
    Route("/api/jobs/{ns}/{id}/logs", logs),
    Route(_BUCKET, make_bucket, methods=["POST"]),
    Route(_BUCKET, bucket),
    Route(f"{_BUCKET}/xet-write-token", bucket_token),
    Route(f"{_BUCKET}/batch", batch, methods=["POST"]),
]
