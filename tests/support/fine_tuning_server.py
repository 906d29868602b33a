"""A provider on loopback that fine-tunes in OpenAI's protocol, and serves what it has trained.

Its routes and shapes are those of the `openai` library's types; what is odd about it is what real
providers do: see the arguments.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Collection, Sequence
from email import message_from_bytes
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent_r.dataset.formats.line_checks import problems_of_openai
from tests.support.faulty_endpoint import KEY, FaultyEndpoint

FINE = ("validating_files", "queued", "running", "running", "succeeded")


class FineTuningServer(FaultyEndpoint):
    """Trains nothing, and has a new model's name in the end.

    Args:
        states: of a job, one for each time that it is looked at; the last one stays.
        error: of a job that fails: code, message, param.
        steps: of a job, each with an event.
        nameless: looks at a job that has succeeded until its model has a name.
        checkpointed: the model has a name as a checkpoint alone.
        refuses: fields of a new job that are answered with 400.
        forgets: fields of a new job that are taken, and not kept.
        broken: status of an answer by method and path, None for a good one.
        lost: how many new jobs are begun and not answered: the connection is cut.
        page: items of a page of a list.
    """

    def __init__(
        self,
        states: Sequence[str] = FINE,
        *,
        error: dict[str, Any] | None = None,
        steps: int = 4,
        nameless: int = 0,
        checkpointed: bool = False,
        refuses: Collection[str] = (),
        forgets: Collection[str] = (),
        broken: Callable[[str, str], int | None] = lambda method, path: None,
        lost: int = 0,
        page: int = 3,
        **endpoint: Any,
    ) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}  # in the order in which they were begun
        self.files: dict[str, dict[str, Any]] = {}
        self.rows: dict[str, bytes] = {}  # by file
        self.calls: list[str] = []
        self.names = ["tiny"]  # of models
        self._looks: dict[str, int] = {}
        self.states, self._error, self._steps, self._page = states, error, steps, page
        self._nameless, self._checkpointed, self._lost = nameless, checkpointed, lost
        self._refuses, self._forgets, self._broken = refuses, forgets, broken
        self._ids = itertools.count(1)
        jobs, one = "/v1/fine_tuning/jobs", "/v1/fine_tuning/jobs/{id}"
        more = [
            self._route("/v1/files", self._list_files),
            self._route("/v1/files", self._take_file, "POST"),
            self._route("/v1/files/{id}", lambda r: self.files[r.path_params["id"]]),
            self._route(jobs, self._list_jobs),
            self._route(jobs, self._begin, "POST"),
            self._route(one, self._look),
            self._route(one + "/cancel", self._cancel, "POST"),
            self._route(one + "/events", self._events),
            self._route(one + "/checkpoints", self._checkpoints),
        ]
        super().__init__(models=self.names, more=more, **endpoint)

    def _route(self, path: str, answer: Callable[..., Any], method: str = "GET") -> Route:
        async def endpoint(request: Request) -> Response:
            self.calls.append(f"{method} {request.url.path}")
            if request.headers.get("authorization") != f"Bearer {KEY}":
                return _error(401, f"Incorrect API key provided: {KEY[:6]}…", "invalid_api_key")
            if status := self._broken(method, request.url.path):
                return _error(status, "The server had an error", None)
            if "id" in request.path_params and request.path_params["id"] not in (
                self.jobs | self.files
            ):
                return _error(404, "Could not find fine tune", "fine_tune_not_found")
            request.scope["whole"] = await request.body()
            said = answer(request)
            return said if isinstance(said, Response) else JSONResponse(said)

        return Route(path, endpoint, methods=[method])

    def _paged(self, request: Request, items: list[dict[str, Any]]) -> dict[str, Any]:
        """The newest first, from the one after `after` on."""
        ids = [item["id"] for item in items]
        after = request.query_params.get("after")
        start = ids.index(after) + 1 if after else 0
        piece = items[start : start + self._page]
        more = start + self._page < len(items)
        return {"object": "list", "data": piece, "has_more": more}

    def _list_files(self, request: Request) -> dict[str, Any]:
        return self._paged(request, list(self.files.values())[::-1])

    def _take_file(self, request: Request) -> dict[str, Any]:
        head = f"Content-Type: {request.headers['content-type']}\n\n".encode()
        parts = message_from_bytes(head + request.scope["whole"]).get_payload()
        for part in parts:
            assert not isinstance(part, str)
            if name := part.get_filename():
                content = part.get_payload(decode=True)
        known = f"file-{next(self._ids)}"
        self.rows[known] = content
        self.files[known] = {
            "id": known,
            "object": "file",
            "bytes": len(content),
            "created_at": 1,
            "filename": name,
            "purpose": "fine-tune",
            "status": "processed",
        }
        return self.files[known]

    def _list_jobs(self, request: Request) -> dict[str, Any]:
        return self._paged(request, list(self.jobs.values())[::-1])

    def _begin(self, request: Request) -> Response | dict[str, Any]:
        asked = json.loads(request.scope["whole"])
        if odd := next((name for name in self._refuses if name in asked), None):
            return _error(400, f"Unrecognized request argument supplied: {odd}", None)
        if asked["model"] not in self.names:
            return _error(400, f"Model {asked['model']} is not available for fine-tuning", None)
        known = f"ftjob-{next(self._ids)}"
        kept = {k: v for k, v in asked.items() if k not in self._forgets}
        self.jobs[known] = {
            "id": known,
            "object": "fine_tuning.job",
            "created_at": 100,
            "finished_at": None,
            "error": {"code": None, "message": None, "param": None},
            "fine_tuned_model": None,
            "organization_id": "org-1",
            "result_files": [],
            "status": self.states[0],
            "trained_tokens": None,
            "hyperparameters": {},
            "seed": 0,
        } | kept
        self._looks[known] = 0
        if self._lost:
            self._lost -= 1
            # Fewer bytes than were announced: the connection is cut.
            return Response(b"{", headers={"content-length": "1000"})
        return self.jobs[known]

    def _look(self, request: Request) -> dict[str, Any]:
        job = self.jobs[request.path_params["id"]]
        if job["status"] == "cancelled":
            return job
        at = self._looks[job["id"]]
        self._looks[job["id"]] += 1
        job["status"] = self.states[min(at, len(self.states) - 1)]
        lines = self.rows[job["training_file"]].decode().splitlines()
        if bad := [p for line in lines for p in problems_of_openai(json.loads(line))]:
            job["status"] = "failed"
            job["error"] = {
                "code": "invalid_training_file",
                "message": bad[0],
                "param": "training_file",
            }
        elif job["status"] == "failed":
            job["error"] = self._error or {"code": "server_error", "message": "no reason"}
        if job["status"] == "succeeded":
            job |= {"finished_at": 160, "trained_tokens": 1234}
            late = at - len(self.states) + 1 < self._nameless
            if not (late or self._checkpointed):
                job["fine_tuned_model"] = self._made(job)
        return job

    def _made(self, job: dict[str, Any]) -> str:
        """The new model's name, from now on served."""
        name = f"ft:{job['model'].split(':')[-1]}:org:{job.get('suffix', '')}:{job['id']}"
        if name not in self.names:
            self.names.append(name)
        return name

    def _cancel(self, request: Request) -> Response | dict[str, Any]:
        job = self.jobs[request.path_params["id"]]
        if job["status"] in ("succeeded", "failed", "cancelled"):
            return _error(400, f"Job has already {job['status']}", "invalid_state")
        job["status"] = "cancelled"
        return job

    def _events(self, request: Request) -> dict[str, Any]:
        """In no order, but for the pages': each look shows one step more, the last one all."""
        job = self.jobs[request.path_params["id"]]
        over = job["status"] == "succeeded"
        seen = self._steps if over else min(self._looks[job["id"]], self._steps)
        events = [_event(job, 0, "Created fine-tuning job")]
        events += [
            _event(job, n, f"Step {n}/{self._steps}: training loss={2 / n:.3f}")
            for n in range(1, seen + 1)
        ]
        random.Random(seen).shuffle(events)
        return self._paged(request, events)

    def _checkpoints(self, request: Request) -> dict[str, Any]:
        job = self.jobs[request.path_params["id"]]
        if not self._checkpointed or job["status"] != "succeeded":
            return {"object": "list", "data": [], "has_more": False}
        found = {
            "id": "ftckpt-1",
            "object": "fine_tuning.job.checkpoint",
            "created_at": 1,
            "fine_tuned_model_checkpoint": self._made(job),
            "fine_tuning_job_id": job["id"],
            "metrics": {"step": self._steps},
            "step_number": self._steps,
        }
        return {"object": "list", "data": [found], "has_more": False}


def _event(job: dict[str, Any], number: int, message: str) -> dict[str, Any]:
    return {
        "id": f"{job['id']}-event-{number}",
        "object": "fine_tuning.job.event",
        "created_at": 100 + number // 2,  # two in a second
        "level": "info",
        "message": message,
        "type": "metrics" if number else "message",
        "data": {"step": number} if number else None,
    }


def _error(status: int, message: str, code: str | None) -> Response:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return JSONResponse({"error": error}, status)
