"""What a run shows of itself on a real Prefect server: names, log, artifacts, and how it ended."""

from __future__ import annotations

import asyncio
import gc
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from prefect import flow, task
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import Artifact, FlowRun, TaskRun
from prefect.flow_engine import run_flow
from prefect.logging.handlers import APILogHandler
from prefect.states import Completed, Crashed, Running
from prefect.testing.utilities import prefect_test_harness

from agent_r.errors import TrainerError
from agent_r.settings import Config
from flows.collect import collect
from flows.grow import grow
from flows.measure import measure
from flows.page import orphans
from flows.page.run_names import by_chance
from flows.states import fails_in_one_line

# One event loop for all: Prefect keeps clients per loop, and leaves their sockets to the collector.
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def prefect() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield
    gc.collect()  # while its warnings are still expected


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(prefect: None) -> AsyncIterator[PrefectClient]:
    async with get_client() as asking:
        yield asking


@task
async def works(error: Exception) -> None:
    raise error


def config(out: Path, **over: Any) -> Config:
    values = {
        "trees": 10,  # two shards
        "endpoint": {"kind": "scripted", "error_rate": 0.5},
        "search": {"simulations": 4, "candidates": 2, "max_depth": 8},
        "dataset": {"out": str(out), "name": "demo"},
    }
    return Config.model_validate(values | over)


async def shown(client: PrefectClient, flow: Any, **parameters: Any) -> FlowRun:
    """A run as it is on the server after its end."""
    run = await client.create_flow_run(flow, name=parameters.pop("called", None))
    await run_flow(flow, flow_run=run, parameters=parameters, return_type="state")  # type: ignore[misc]
    return await client.read_flow_run(run.id)


async def tasks_of(client: PrefectClient, run: FlowRun) -> list[str]:
    which = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
    return sorted(task.name for task in await client.read_task_runs(flow_run_filter=which))


async def test_a_run_and_its_tasks_say_what_they_are(client: PrefectClient, tmp_path: Path) -> None:
    run = await shown(client, collect, settings=config(tmp_path))
    assert run.name == "collect demo, iteration 1, scripted-0.5"
    names = [
        "build demo, iteration 1",
        "grow trees 1 to 8 of iteration 1",
        "grow trees 9 to 10 of iteration 1",
    ]
    async with asyncio.timeout(120):  # a server writes tasks down when it finds the time
        while await tasks_of(client, run) != names:
            await asyncio.sleep(0.5)
    part = await shown(client, grow, settings=config(tmp_path), iteration=2, part="2/5")
    assert part.name == "grow demo, iteration 2, part 2/5, scripted-0.5"


async def log_of(client: PrefectClient, run: FlowRun) -> list[str]:
    wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
    await APILogHandler.aflush()
    return [line.message for line in await client.read_logs(wanted)]


async def artifacts_of(client: PrefectClient, run: FlowRun) -> list[Artifact]:
    which = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
    return await client.read_artifacts(flow_run_filter=which)


async def test_a_run_within_another_says_in_both_logs_what_matters(
    client: PrefectClient, tmp_path: Path
) -> None:
    @flow(persist_result=False)
    @fails_in_one_line
    async def whole(config: Config) -> None:
        await grow(config)

    run = await shown(client, whole, config=config(tmp_path, budget={"tokens": 60_000}))
    assert run.state_name == "Completed", run.state
    log = await log_of(client, run)
    lines = [line for line in log if "grow demo" in line or "budget" in line]
    assert lines[0].endswith("10 trees to explore")
    assert "the budget ends here (budget.tokens = 60,000)" in lines[1]
    assert re.search(r": \d of 10 trees, [\d,]+ tokens, \d+ s$", lines[2])


MISTAKES = {
    "settings that disagree": ("iterations = 3\nalphas = [0.5]", "1 alphas for 3 iterations"),
    "a file that is not there": ("nowhere.toml", "nowhere.toml"),
    "no TOML": ("trees = ", "TOML"),
    "a world that nobody knows": ("[env]\nkind = 'chess'", "env.kind: choose one of 'mixture'"),
    "a world's module that is not there": (
        "[env]\nkind = 'python'\nfactory = 'nothing_there:world'",
        "no module 'nothing_there'",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
async def test_a_mistake_is_a_line_in_the_state_and_no_traceback(
    client: PrefectClient, mistake: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, line = mistake
    monkeypatch.chdir(tmp_path)
    run = await shown(client, grow, settings=settings)
    assert run.state is not None and run.state.message is not None
    assert (run.state.name, run.state.message.count("\n")) == ("Failed", 0)
    assert line in run.state.message
    assert not by_chance(run.name)
    assert "Traceback" not in "\n".join(await log_of(client, run))


LIMITS = {
    "Python": ("[env]\nkind = 'python'\nfactory = 'nothing_there:world'", "env.factory"),
    "a command": ("[train]\nbackend = 'command'\ncommand = 'rm {out}'", "train.command"),
    "a folder elsewhere": ("[dataset]\nout = '../else'", "dataset.out"),
    "a store": ("[dataset]\nstore = 's3://bucket/trees'", "dataset.store"),
    "a file elsewhere": ("/etc/hostname", "a parameter"),
}


async def submitted(client: PrefectClient, settings: str) -> str:
    """How a run ends that somebody submitted to a deployment."""
    deployment = await client.create_deployment(await client.create_flow(grow), "limited")
    run = await client.create_flow_run_from_deployment(deployment)
    await run_flow(grow, flow_run=run, parameters={"settings": settings}, return_type="state")
    state = (await client.read_flow_run(run.id)).state
    return str(state.message if state is not None else "")


@pytest.mark.parametrize(("settings", "name"), LIMITS.values(), ids=LIMITS.keys())
async def test_the_parameters_of_a_submitted_run_name_no_code_and_no_place_elsewhere(
    client: PrefectClient, settings: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AGENT_R_ALLOW", raising=False)
    refused = await submitted(client, settings)
    assert refused.startswith(f"{name} = '") and "the parameters of a run may not" in refused


async def test_what_the_worker_allows_or_its_own_files_say_is_taken(
    client: PrefectClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AGENT_R_ALLOW", raising=False)
    settings, _ = LIMITS["Python"]
    (tmp_path / "mine.toml").write_text(settings)
    assert "no module 'nothing_there'" in await submitted(client, "mine.toml")
    monkeypatch.setenv("AGENT_R_ALLOW", "paths, code")
    assert "no module 'nothing_there'" in await submitted(client, settings)


async def test_a_task_that_fails_on_purpose_leaves_no_traceback_and_a_bug_leaves_its_own(
    client: PrefectClient, tmp_path: Path
) -> None:
    @flow(persist_result=False)
    @fails_in_one_line
    async def whole(purposely: bool) -> None:
        await works(TrainerError("no GPU here") if purposely else KeyError("lost"))

    ours, bug = [await shown(client, whole, purposely=each) for each in (True, False)]
    assert ours.state is not None and ours.state.message == "no GPU here"
    line, trace = ["\n".join(await log_of(client, run)) for run in (ours, bug)]
    assert "no GPU here" in line and "Traceback" not in line
    assert "Traceback" in trace and "KeyError: 'lost'" in trace


async def test_a_name_that_a_person_gave_stays(client: PrefectClient, tmp_path: Path) -> None:
    run = await shown(client, grow, settings=config(tmp_path), part="5/5", called="tuesday-run")
    assert run.name == "tuesday-run"


async def test_its_artifacts_are_on_the_page_of_the_run_that_a_person_started(
    client: PrefectClient, tmp_path: Path
) -> None:
    @flow(persist_result=False)
    @fails_in_one_line
    async def whole(config: Config) -> None:
        await collect(config)

    run = await shown(
        client, whole, config=config(tmp_path, dataset={"out": str(tmp_path), "name": "shown"})
    )
    left = {artifact.key: artifact for artifact in await artifacts_of(client, run)}
    assert left.keys() == {"progress-shown", "account-shown", "dataset-shown"}
    assert "- **collect shown, iteration 1, scripted-0.5**, done: " in str(
        left["progress-shown"].data
    )
    trees = [row for row in json.loads(str(left["account-shown"].data)) if row["of all"] == "trees"]
    assert sum(int(row["how many"]) for row in trees) == 10
    text = str(left["dataset-shown"].data)
    assert f"`agent-r view {tmp_path}/shown/v1.1`" in text
    assert "## One revision" in text and "](data:image/png;base64," in text


async def test_a_measurements_tables_are_on_its_page(client: PrefectClient, tmp_path: Path) -> None:
    few = {"tasks": 4, "attempts": 2, "recovery_tasks": 0, "robustness_tasks": 0, "max_steps": 8}
    run = await shown(client, measure, settings=config(tmp_path, measure=few))
    [page] = [a for a in await artifacts_of(client, run) if a.key == "measurement-demo"]
    text = str(page.data)
    for heading in ("Several attempts", "The worst"):
        assert f"## {heading}" in text
    assert "| 2 | " in text and " calls, " in text
    [episodes] = (tmp_path / "demo" / "work").glob("episodes-0-*")
    assert f"`agent-r view {episodes}`" in text


async def begun(client: PrefectClient, run: FlowRun, key: str, ended: bool = False) -> TaskRun:
    state = Completed() if ended else Running()
    return await client.create_task_run(works, run.id, dynamic_key=key, state=state)


async def test_what_a_killed_run_left_open_is_closed_and_what_may_live_is_not(
    client: PrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "LATE_S", 0.0)
    killed = await client.create_flow_run(collect, state=Running())
    through, over = await begun(client, killed, "1"), await begun(client, killed, "2", ended=True)
    within = await client.create_flow_run(grow, parent_task_run_id=through.id, state=Running())
    inmost = await begun(client, within, "1")
    deployment = await client.create_deployment(killed.flow_id, "elsewhere")
    lives = await client.create_flow_run_from_deployment(
        deployment, parent_task_run_id=through.id, state=Running()
    )
    state = Crashed(message="Process exited with status code: -9.")
    await client.set_flow_run_state(killed.id, state, force=True)
    await orphans.close_what_it_left(collect, killed, state)
    tasks = [await client.read_task_run(task.id) for task in (through, over, inmost)]
    assert [task.state_name for task in tasks] == ["Crashed", "Completed", "Crashed"]
    runs = [await client.read_flow_run(run.id) for run in (within, lives)]
    assert [run.state_name for run in runs] == ["Crashed", "Running"]


async def test_the_next_run_closes_what_dead_machines_left(
    client: PrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "LONG_AGO_S", 0.0)
    dead, lives = [await client.create_flow_run(collect, state=Running()) for _ in range(2)]
    left, works_on = await begun(client, dead, "1"), await begun(client, lives, "1")
    within = await client.create_flow_run(grow, parent_task_run_id=left.id, state=Running())
    await client.set_flow_run_state(dead.id, Crashed(), force=True)
    await orphans.close_what_others_left(client, await client.create_flow_run(grow))
    states = [(await client.read_task_run(task.id)).state_name for task in (left, works_on)]
    assert states == ["Crashed", "Running"]
    assert (await client.read_flow_run(within.id)).state_name == "Crashed"
