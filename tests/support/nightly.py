"""What happens on a Prefect server in a night: each scene once, most of them at the same time.

What has to wait (for a clock, for missing heartbeats) happens side by side, and the rest meanwhile,
two at a time: all of it takes about as long as the longest wait.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent_r.config import dotted
from tests.support.faulty_endpoint import FaultyEndpoint
from tests.support.hub_server import WRITE, LoopbackHub
from tests.support.prefect_server import (
    ROOT,
    SLOW_MACHINE_S,
    Server,
    commands,
    kill,
    patiently,
    serving,
)

AUTOMATION = yaml.safe_load((ROOT / "automations/no-heartbeat.yaml").read_text(encoding="utf-8"))
POOL = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["definitions"]["local"]
LONG_S = AUTOMATION["trigger"]["within"] + 15
AT_ONCE = 5  # runs of one worker
KEY = "sk-of-the-block-0123456789"
# A fine-tuning job that goes on for as long as a file of this name lies there, or so many seconds.
TRAINER = """
import pathlib, sys, time
held, seconds, out = pathlib.Path(sys.argv[1]), float(sys.argv[2]), pathlib.Path(sys.argv[3])
ends = time.monotonic() + seconds
while held.exists() and time.monotonic() < ends:
    time.sleep(0.1)
out.mkdir(parents=True, exist_ok=True)
(out / 'config.json').write_text('{}')
"""
SMALL: dict[str, Any] = {
    "iterations": 1,
    "trees": 8,
    "endpoint": {"kind": "scripted", "error_rate": 0.5},
    "search": {"simulations": 4, "candidates": 2, "max_depth": 8},
    "measure": {"tasks": 4, "recovery_tasks": 2, "max_steps": 4},
}


def settings(name: str, *, held_s: float = 0, **over: Any) -> dict[str, Any]:
    """A small run whose training job is held by a file, or not at all."""
    words = [sys.executable, "-c", TRAINER, f"{name}.held", str(held_s)]
    command = {"backend": "command", "command": f"{shlex.join(words)} {{out}}"}
    return SMALL | {"dataset": {"name": name}, "train": command} | over


def asked_for(config: dict[str, Any]) -> dict[str, Any]:
    """A run's parameters, with these settings and no others."""
    return {"settings": json.dumps(config)}


def deployments(hub: str) -> list[dict[str, Any]]:
    """Beside those of prefect.yaml: a nightly of every minute, and what waits for events."""
    loop = {"entrypoint": "flows.self_train.self_train", "work_pool": POOL}
    published = {
        "entrypoint": "flows.publish.publish",
        "work_pool": POOL,
        "parameters": {"repo": "tester/chain", "overrides": [f"hub.endpoint={hub}"]},
        "triggers": [
            {
                "type": "event",
                "expect": ["agent_r.dataset.written"],
                "match": {"prefect.resource.id": "agent_r.dataset.chain"},
                "parameters": {"version": "{{ event.payload.path }}"},
            }
        ],
    }
    nightly = asked_for(settings("nightly", continual=True))
    return [
        loop | {"name": "loop"},
        loop | {"name": "elsewhere", "work_pool": POOL | {"name": "elsewhere"}},
        loop
        | {
            "name": "minutely",
            "parameters": nightly,
            "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
            "schedules": [{"cron": "* * * * *", "timezone": "UTC", "active": True}],
        },
        published | {"name": "publish-on-write"},
    ]


@dataclass(frozen=True)
class Stage:
    """The server, and the Hub and the endpoint beside it."""

    server: Server
    hub: LoopbackHub
    endpoint: FaultyEndpoint


def hold(server: Server, name: str) -> Path:
    held = server.folder / f"{name}.held"
    held.touch()
    return held


def training(server: Server, run: str) -> None:
    """Wait until all before the training is done, and that is held."""
    patiently(lambda: [c for c in server.children(run) if c["name"].startswith("train ")
                   and c["state"]["name"] == "Running"])  # fmt: skip


def retried(server: Server, run: str) -> dict[str, Any]:
    server.do(f"prefect flow-run retry {run}")
    return server.wait(run, "Completed", "NothingNew", "Failed", "Crashed")


# What happens, each in a thread of its own.


def a_machine_dies(stage: Stage) -> dict[str, Any]:
    """The worker and its run are killed; another worker, which shares the folder, goes on."""
    server = stage.server
    worker = server.start("prefect worker start --pool elsewhere", home="worker-1")
    held = hold(server, "elsewhere")
    run = server.run("self-train/elsewhere", **asked_for(settings("elsewhere", held_s=600)))
    training(server, run)
    flow = server.pid(run)
    kill(worker.pid), kill(flow)
    died = time.monotonic()
    crashed = server.wait(run, "Crashed", within_s=AUTOMATION["trigger"]["within"] + 120)
    seconds = time.monotonic() - died
    held.unlink()
    server.start("prefect worker start --pool elsewhere", home="worker-2")
    before = {c["id"] for c in server.children(run)}
    ended = retried(server, run)
    again = [c for c in server.children(run) if c["id"] not in before]
    patiently(lambda: not server.unended(run))
    return {"crashed": crashed, "seconds": seconds, "ended": ended, "again": again}


def a_suspended_run(stage: Stage) -> dict[str, Any]:
    """It gives a sign of life yet, and is looked at when the automation would call it dead."""
    server = stage.server
    held = hold(server, "suspended")
    run = server.run("self-train/loop", **asked_for(settings("suspended", held_s=600)))
    training(server, run)
    suspended = {"state": {"type": "PAUSED", "name": "Suspended"}}  # as the button does
    server.post(f"/flow_runs/{run}/set_state", suspended)
    time.sleep(31)
    held.unlink()
    time.sleep(AUTOMATION["trigger"]["within"] + 30)
    patiently(lambda: not server.unended(run))
    return dict(server.get(f"/flow_runs/{run}"))


def a_long_run(stage: Stage) -> dict[str, Any]:
    server = stage.server
    hold(server, "long")
    run = server.run("self-train/loop", **asked_for(settings("long", held_s=LONG_S)))
    ended = server.wait(run, "Completed", "Crashed", "Failed", within_s=LONG_S + SLOW_MACHINE_S)
    wanted = {"event": {"name": ["prefect.flow-run.heartbeat"]},
              "resource": {"id": [f"prefect.flow-run.{run}"]}, "order": "ASC"}  # fmt: skip
    beats = server.post("/events/filter", {"filter": wanted, "limit": 50})["events"]
    return ended | {"beats": [datetime.fromisoformat(beat["occurred"]) for beat in beats]}


def two_nights(stage: Stage) -> list[dict[str, Any]]:
    """The schedule fires twice; then it is cleared."""
    server = stage.server

    def done() -> list[dict[str, Any]] | None:
        runs = [r for r in server.runs("self-train/minutely") if r["state"]["type"] == "COMPLETED"]
        return runs if len(runs) >= 2 else None

    nights = patiently(done)
    server.do("prefect deployment schedule clear self-train/minutely --accept-yes")
    return nights


def limited(held_s: float) -> dict[str, Any]:
    """Parameters of the nightly: its own endpoint lies on top of its settings."""
    return asked_for(settings("limited", held_s=held_s)) | {"endpoint": None}


def a_process_dies(stage: Stage) -> dict[str, Any]:
    """The nightly itself: another run beside it, its process killed, and the run retried."""
    server = stage.server
    held = hold(server, "limited")
    run = server.run("self-train/nightly", **limited(600))
    training(server, run)
    other = server.run("self-train/nightly", **limited(0))
    refused = server.wait(other, "Cancelled")
    os.kill(server.pid(run), signal.SIGKILL)
    died = time.monotonic()
    crashed = server.wait(run, "Crashed")
    seconds = time.monotonic() - died
    held.unlink()
    time.sleep(10)  # as the docs say
    patiently(lambda: not server.unended(run))
    return {"refused": refused, "crashed": crashed, "seconds": seconds,
            "ended": retried(server, run)}  # fmt: skip


def a_cancelled_run(stage: Stage) -> dict[str, Any]:
    server = stage.server
    held = hold(server, "cancelled")
    run = server.run("self-train/loop", **asked_for(settings("cancelled", held_s=600)))
    training(server, run)
    server.do(f"prefect flow-run cancel {run}")
    cancelled = server.wait(run, "Cancelled")
    held.unlink()
    time.sleep(10)
    return {"cancelled": cancelled, "ended": retried(server, run)}


def a_dataset_is_written(stage: Stage) -> dict[str, Any]:
    """A version of `chain` is announced: it is published, trained on, and the model measured."""
    server = stage.server
    measure = f"/deployments/{server.deployment('measure/chain-measure')}"
    few = {"parameters": asked_for(settings("chain"))}
    server.ask("PATCH", measure, few)
    asked = shlex.quote(json.dumps(asked_for(settings("chain", trees=4))))
    said = server.do(f"prefect deployment run collect/collect --params {asked}")
    [run] = patiently(lambda: server.runs("collect/collect"))
    ended = server.wait(run["id"], "Completed", "Failed", "Crashed")
    trained, measured, published = (
        server.wait(patiently(lambda name=name: server.runs(name))[0]["id"],
                    "Completed", "NothingNew", "Failed", "Crashed")
        for name in ("train/chain-train", "measure/chain-measure", "publish/publish-on-write")
    )  # fmt: skip
    return {"said": said, "collected": ended, "trained": trained, "measured": measured,
            "published": published}  # fmt: skip


def with_a_key(stage: Stage) -> dict[str, Any]:
    server = stage.server
    [make_block] = commands("Blocks, and the endpoint's key")
    server.do(make_block, URL=stage.endpoint.base_url, MODEL="tiny", KEY=KEY)
    kept = {"kind": "block", "name": "mine"}
    run = server.run("measure/measure", **asked_for(settings("keyed")), endpoint=kept)
    return server.wait(run, "Completed", "Failed", "Crashed")


BAD: dict[str, dict[str, Any]] = {
    "a trainer that cannot serve": {
        "endpoint": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"},
        "dataset": {"name": "bad"},
    },
    "no server": settings("bad") | {
        "endpoint": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m",
                     "attempts": 1},
    },
}  # fmt: skip


def bad_configs(stage: Stage) -> dict[str, tuple[dict[str, Any], str]]:
    """Each with the run that it became, and what the terminal says of it."""
    server = stage.server
    runs = {
        name: server.run("self-train/loop", **asked_for(config)) for name, config in BAD.items()
    }
    return {
        name: (server.wait(run, "Failed", "Completed", "Crashed"), in_a_terminal(server, BAD[name]))
        for name, run in runs.items()
    }


def in_a_terminal(server: Server, config: dict[str, Any]) -> str:
    toml = server.folder / f"{time.monotonic_ns()}.toml"
    toml.write_text(as_toml(config), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "self-train", "--config", str(toml)],
        cwd=server.folder, env=server.environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    return done.stderr.strip().removeprefix("agent-r: ")


def as_toml(config: dict[str, Any]) -> str:
    tables = {name: value for name, value in config.items() if isinstance(value, dict)}
    lines = [f"{k} = {json.dumps(v)}" for k, v in config.items() if k not in tables]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{k} = {json.dumps(v)}" for k, v in dotted(table).items())]
    return "\n".join(lines)


LONG: list[Callable[..., Any]] = [a_machine_dies, a_long_run, two_nights]
SHORT: list[Callable[..., Any]] = [
    bad_configs, a_process_dies, a_cancelled_run, a_dataset_is_written, with_a_key,
]  # fmt: skip


@dataclass(frozen=True)
class Night(Stage):
    """What happens there meanwhile."""

    happens: dict[str, Future[Any]]

    def after(self, scene: Callable[..., Any]) -> Any:
        return self.happens[scene.__name__].result(timeout=2 * SLOW_MACHINE_S)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("night")
    with (
        LoopbackHub(folder / "hub") as hub,
        FaultyEndpoint(models=["tiny"]) as endpoint,
        serving(folder, deployments(hub.url), HF_TOKEN=WRITE) as server,
    ):
        # As the docs say; a server on SQLite that is asked by more at once has them wait a minute.
        server.do(f"prefect work-pool set-concurrency-limit local {AT_ONCE}")
        yield Stage(server, hub, endpoint)


@pytest.fixture(scope="module")
def night(stage: Stage) -> Iterator[Night]:
    with ThreadPoolExecutor(len(LONG)) as long, ThreadPoolExecutor(2) as short:
        happens = {scene.__name__: long.submit(scene, stage) for scene in LONG}
        happens |= {scene.__name__: short.submit(scene, stage) for scene in SHORT}
        yield Night(stage.server, stage.hub, stage.endpoint, happens)
        for each in happens.values():
            each.cancel()
