"""Several workers on a real server: the trees of one, one endpoint limit, one budget, no orphan."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from agent_r.errors import AgentRError
from agent_r.settings import BudgetConfig, Config
from benchmarks.saturation import ask, serving
from flows.run_context import RunContext
from flows.workers import deployed
from flows.workers.deployed import DeployedParts
from flows.workers.fan_out import FanOut
from flows.workers.sharing import minutes_left
from tests.support.nightly import as_toml
from tests.support.prefect_server import Server, asking, patiently, started

pytestmark = pytest.mark.slow

LIMIT = 6  # of requests in flight, over all workers
SECONDS = 0.2  # of a request
SERVER = "prefect server start --host 127.0.0.1 --port 4200"
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


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Factory]:
    folder = tmp_path_factory.mktemp("workers") / "project"
    folder.mkdir()
    deployments = [
        {"name": name, "entrypoint": f"flows.{name}.{name}", "work_pool": {"name": pool}}
        for name, pool in (("collect", "local"), ("grow", "local"))
    ]
    deployments.append(deployments[1] | {"name": "nobody", "work_pool": {"name": "nobody"}})
    (folder / "prefect.yaml").write_text(yaml.safe_dump({"deployments": deployments}))
    with started(folder, SERVER) as server:
        for pool in ("local", "nobody"):
            server.post("/work_pools/", {"name": pool, "type": "process"})
        server.do("prefect --no-prompt deploy --all")
        server.start("prefect worker start --pool local --limit 8", home="worker")
        yield Factory(server)


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


@pytest.fixture(scope="module")
def scenes(factory: Factory) -> Iterator[dict[str, Future[Any]]]:
    """Two at a time: most of each is a wait."""
    with ThreadPoolExecutor(2) as pool:
        happens = {scene.__name__: pool.submit(scene, factory) for scene in SCENES}
        yield happens
        for each in happens.values():
            each.cancel()


def test_workers_make_the_version_of_one_process_also_where_one_is_killed(
    factory: Factory, scenes: dict[str, Future[Any]]
) -> None:
    killed, one = scenes["a_worker_is_killed"].result(), scenes["one_process"].result()
    assert killed["ended"]["state"]["name"] == "Completed", killed["ended"]["state"]["message"]
    assert sorted(killed["states"]) == ["Completed", "Completed", "Crashed"]
    assert "died: it is begun again" in killed["logs"]
    assert one["state"]["name"] == "Completed"
    assert factory.digest("killed") == factory.digest("one")


def test_one_endpoint_limit_holds_over_all_workers(
    factory: Factory, scenes: dict[str, Future[Any]]
) -> None:
    for scene in ("a_worker_is_killed", "a_terminal_is_killed", "a_budget"):
        assert 2 < scenes[scene].result()["stats"]["most_in_flight"] <= LIMIT, scene
    # What the killed one held has come back: its lease has ended.
    patiently(lambda: all(not limit["active_slots"] for limit in
                          factory.server.post("/v2/concurrency_limits/filter", {})))  # fmt: skip


def test_a_killed_run_leaves_its_workers_to_the_next_one_of_these_settings(
    factory: Factory, scenes: dict[str, Future[Any]]
) -> None:
    found, one = scenes["a_terminal_is_killed"].result(), scenes["one_process"].result()
    assert found["again"].returncode == 0, found["again"].stderr
    assert factory.digest("terminal") == factory.digest("one")
    assert found["stats"]["requests"] <= one["stats"]["requests"] + 1  # its own first look
    mine = [run for run in found["runs"] if "terminal" in run["parameters"]["settings"]]
    assert [run["state"]["name"] for run in mine] == ["Completed", "Completed"]


def test_the_workers_of_a_cancelled_run_end(scenes: dict[str, Future[Any]]) -> None:
    cancelled = scenes["a_cancelled_run"].result()
    assert cancelled["ended"]["state"]["type"] == "CANCELLED"
    assert {worker["state"]["type"] for worker in cancelled["workers"]} == {"CANCELLED"}
    before, after = cancelled["after"]
    assert after["connected"] == 1 and before["samples"] == after["samples"]  # who asks this


def test_a_budget_is_one_for_all_workers(scenes: dict[str, Future[Any]]) -> None:
    spent = scenes["a_budget"].result()
    tokens = spent["stats"]["prompt_tokens"] + spent["stats"]["completion_tokens"]
    mean = tokens / spent["stats"]["requests"]
    assert 20_000 < tokens <= 40_000 + 3 * LIMIT * mean  # a few may cost more than the mean
    assert spent["state"]["name"] == "Completed", spent["state"]["message"]


async def waiting(url: str | None) -> str:
    """What a run says whose workers do not come."""
    config = Config.model_validate({"endpoint": {"kind": "scripted"}})
    fan_out = FanOut(
        RunContext.of(config), run=uuid.uuid4().hex, parts=("1/2", "2/2"), began=time.time()
    )
    with asking(url), pytest.raises(AgentRError) as refused:
        await DeployedParts(fan_out).results()
    return str(refused.value)


async def test_where_no_worker_takes_a_part_it_is_said_and_the_run_ends(
    factory: Factory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in {"DEPLOYMENT": "grow/nobody", "UNTAKEN_S": 1.0, "GIVEN_UP_S": 3.0}.items():
        monkeypatch.setattr(deployed, name, value)
    line = await waiting(f"{factory.server.url}/api")
    assert line == ("no worker of the pool 'nobody' has taken one of 2 parts for 3 s: "
                    "`prefect worker start --pool nobody`")  # fmt: skip
    assert line.replace("3 s", "1 s") in caplog.text
    states = {run["state"]["name"] for run in factory.server.runs("grow/nobody")}
    assert states == {"Cancelled"}


async def test_where_there_is_no_deployment_or_no_server_it_is_one_line(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployed, "DEPLOYMENT", "grow/elsewhere")
    assert (await waiting(f"{factory.server.url}/api")).endswith("has none: run `agent-r deploy`")
    assert "PREFECT_API_URL names no server" in await waiting(None)


def test_minutes_pass_for_a_worker_that_begins_late_as_well() -> None:
    left = minutes_left(BudgetConfig(minutes=10, tokens=5), time.time() - 360)
    assert (round(left.minutes, 1), left.tokens) == (4.0, 5)
    assert minutes_left(BudgetConfig(tokens=5), time.time() - 360) == BudgetConfig(tokens=5)
