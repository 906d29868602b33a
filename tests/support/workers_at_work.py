"""What happens to the workers of a run, each scene once, on one server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.saturation import ask, serving
from tests.support.nightly import as_toml
from tests.support.prefect_server import Server, patiently

LIMIT = 6  # of requests in flight, over all workers
SECONDS = 0.2  # of a request
ENDS = ("Completed", "NothingNew", "Failed", "Crashed", "Cancelled")


@dataclass(frozen=True)
class Factory:
    """A server with one worker, on which `collect` and `grow` are deployed."""

    server: Server

    def config(self, name: str, url: str, **over: Any) -> dict[str, Any]:
        endpoint = {"kind": "openai", "base_url": url, "model": "scripted-0.35"}
        return {
            "trees": 12,
            "workers": 2,
            "search": {"simulations": 4, "candidates": 2, "max_depth": 8},
            "endpoint": endpoint | {"concurrency": LIMIT},
            "dataset": {"name": name},
        } | over

    def collect(self, name: str, url: str, **over: Any) -> str:
        """A run of `collect`, as from its form; its id."""
        settings = json.dumps(self.config(name, url, **over))
        return self.server.run("collect/collect", settings=settings)

    def digest(self, name: str) -> str:
        [manifest] = (self.server.folder / "datasets_out" / name).glob("v1.*/manifest.json")
        return str(json.loads(manifest.read_text())["content_digest"])

    def workers(self, run: str) -> list[dict[str, Any]]:
        return [c for c in self.server.children(run) if c["name"].startswith("grow")]

    def busy(self, run: str, url: str, requests: int) -> list[dict[str, Any]]:
        """The workers' runs that are at work, once so many requests were answered."""

        def there() -> list[dict[str, Any]] | None:
            at_work = [w for w in self.workers(run) if w["state"]["name"] == "Running"]
            return at_work if stats(url)["requests"] >= requests else None

        return patiently(there)


def stats(url: str) -> Any:
    return ask(url.removesuffix("/v1") + "/stats")


def one_process(factory: Factory) -> dict[str, Any]:
    with serving(64, SECONDS) as url:
        run = factory.collect("one", url, workers=1)
        return factory.server.wait(run, *ENDS) | {"stats": stats(url)}


def a_worker_is_killed(factory: Factory) -> dict[str, Any]:
    server = factory.server
    with serving(64, SECONDS) as url:
        run = factory.collect("killed", url)
        died = factory.busy(run, url, 20)[0]
        os.kill(server.pid(died["id"]), signal.SIGKILL)
        ended = server.wait(run, *ENDS)
        states = [worker["state"]["name"] for worker in factory.workers(run)]
        return {"ended": ended, "states": states, "stats": stats(url), "logs": server.logs(run)}


def a_terminal_is_killed(factory: Factory) -> dict[str, Any]:
    """Its workers go on; the same command waits for those, and asks nothing again."""
    server = factory.server
    with serving(64, SECONDS) as url:
        settings = server.folder / "terminal.toml"
        settings.write_text(as_toml(factory.config("terminal", url)), encoding="utf-8")
        command = [sys.executable, "-m", "flows.cli", "collect", "--config", str(settings)]
        how: dict[str, Any] = {"cwd": server.folder, "env": server.environment, "text": True}
        first = subprocess.Popen(command, **how, stdout=subprocess.DEVNULL)
        patiently(lambda: stats(url)["requests"] >= 20)
        first.kill()
        first.wait()
        again = subprocess.run(command, **how, capture_output=True, timeout=300)
        return {"again": again, "stats": stats(url), "runs": server.runs("grow/grow")}


def a_cancelled_run(factory: Factory) -> dict[str, Any]:
    server = factory.server
    with serving(64, 1.0) as url:
        run = factory.collect("cancelled", url)
        factory.busy(run, url, 10)
        server.do(f"prefect flow-run cancel {run}")
        ended = server.wait(run, *ENDS)
        workers = [server.wait(worker["id"], *ENDS) for worker in factory.workers(run)]
        time.sleep(2.0)
        before = stats(url)
        time.sleep(2.0)
        return {"ended": ended, "workers": workers, "after": (before, stats(url))}


def a_budget(factory: Factory) -> dict[str, Any]:
    server = factory.server
    with serving(64, SECONDS) as url:
        run = factory.collect("budget", url, budget={"tokens": 40_000})
        ended = server.wait(run, *ENDS)
        patiently(lambda: "the budget ends here (budget.tokens = 40,000)" in server.logs(run))
        return ended | {"stats": stats(url)}


SCENES = [a_worker_is_killed, one_process, a_terminal_is_killed, a_cancelled_run, a_budget]
