"""Several workers on a real server: the trees of one, one endpoint limit, one budget, no orphan.

And a fine-tuning job on the workers of another pool.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent_r.errors import AgentRError, ConfigError
from agent_r.settings import BudgetConfig, Config, PoolConfig
from agent_r.training.backends.process_backend import is_locked
from agent_r.training.backends.run_to_end import run_to_end
from agent_r.training.backends.train_job import partial
from flows.run_context import RunContext
from flows.workers import deployed
from flows.workers.deployed import DeployedParts
from flows.workers.fan_out import FanOut
from flows.workers.pool_backend import PoolBackend
from flows.workers.sharing import minutes_left
from tests.support.pool_jobs import POOL, a_job_on_a_pool, at_work, command
from tests.support.prefect_server import asking, patiently, started
from tests.support.tiny_job import job_of, write_rows
from tests.support.waiting import soon
from tests.support.workers_at_work import LIMIT, SCENES, Factory

pytestmark = pytest.mark.slow

SERVER = "prefect server start --host 127.0.0.1 --port 4200"


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Factory]:
    folder = tmp_path_factory.mktemp("workers") / "project"
    folder.mkdir()
    deployments = [
        {"name": name, "entrypoint": f"flows.{name}.{name}", "work_pool": {"name": pool}}
        for name, pool in (("collect", "local"), ("grow", "local"))
    ]
    deployments.append(deployments[1] | {"name": "nobody", "work_pool": {"name": "nobody"}})
    gpu = {"name": "gpu", "entrypoint": "flows.fine_tune.fine_tune", "work_pool": {"name": "gpu"}}
    deployments.append(gpu)
    (folder / "prefect.yaml").write_text(yaml.safe_dump({"deployments": deployments}))
    with started(folder, SERVER) as server:
        for pool in ("local", "gpu", "nobody"):
            server.post("/work_pools/", {"name": pool, "type": "process"})
        server.do("prefect --no-prompt deploy --all")
        server.start("prefect worker start --pool local --limit 8", home="worker")
        server.start("prefect worker start --pool gpu", home="gpu-box")
        yield Factory(server)


@pytest.fixture(scope="module")
def scenes(factory: Factory) -> Iterator[dict[str, Future[Any]]]:
    """Two at a time: most of each is a wait."""
    with ThreadPoolExecutor(2) as pool:
        happens = {
            scene.__name__: pool.submit(scene, factory) for scene in [*SCENES, a_job_on_a_pool]
        }
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


def facts(report: Any) -> list[Any]:
    """What a run of the loop came to, whenever and wherever that was."""
    return [
        (
            it["training_rows"],
            it["built"]["dataset"]["digest"],
            it["training"] | {"seconds": 0, "job": "", "log": it["training"]["log"][1:]},
            it["measured"]["rewards"],
        )
        for it in report["iterations"]
    ]


def test_a_job_on_a_pool_is_begun_once_though_its_run_is_killed(
    factory: Factory,
    scenes: dict[str, Future[Any]],
) -> None:
    ended = scenes["a_job_on_a_pool"].result()
    assert ended["again"].returncode == 0, ended["again"].stderr
    assert [run["state"]["name"] for run in ended["runs"]] == ["Completed"] * 2  # of two iterations
    on_pool, here = ended["reports"]
    assert facts(on_pool) == facts(here)
    first, second = (it["training"] for it in on_pool["iterations"])
    assert first["losses"] == [[1, 2.0], [2, 1.0]]
    assert first["log"] == ["job variables: heard"]
    assert (first["job"], second["job"]) == tuple(f"flow run {run['id']}" for run in ended["runs"])
    [_, page] = factory.server.post("/artifacts/filter", {
        "artifacts": {"key": {"any_": ["training-pool"]}}, "sort": "ID_DESC"})  # fmt: skip
    assert "job variables: heard" in page["data"] and "data:image/png" in page["data"]
    assert on_pool["iterations"][1]["model"].rpartition("/")[2].startswith("model-2-")


async def test_a_job_on_a_pool_is_cancelled_with_its_run(factory: Factory, tmp_path: Path) -> None:
    (tmp_path / "held").touch()
    job = job_of(Path("base"), write_rows(tmp_path / "rows.jsonl"), tmp_path / "out",
                 config=command(tmp_path / "held"))  # fmt: skip
    with asking(f"{factory.server.url}/api"):
        running = asyncio.create_task(run_to_end(PoolBackend(PoolConfig(**POOL)), job))
        place = partial(job) / "pool"
        await soon(lambda: at_work(place / "model.log"))
        assert is_locked(place / "model.partial")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await soon(lambda: not is_locked(place / "model.partial"))
        [run] = [r for r in factory.server.runs("fine-tune/gpu") if "held" in str(r["parameters"])
                 and str(tmp_path) in str(r["parameters"])]  # fmt: skip
    assert factory.server.wait(run["id"], "Cancelled", "Crashed")["state"]["name"] == "Cancelled"


async def test_a_pool_that_cannot_be_is_one_line(factory: Factory) -> None:
    elsewhere = PoolBackend(PoolConfig(deployment="fine-tune/elsewhere"))
    for url, line in (
        (f"{factory.server.url}/api", r"has none of this name: run `agent-r deploy`$"),
        (None, "PREFECT_API_URL names no server"),
    ):
        with asking(url), pytest.raises(ConfigError, match=line):
            await elsewhere.check()
