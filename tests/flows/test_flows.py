"""The flows on a real Prefect server: a run repeats to the byte, and nothing is done twice."""

from __future__ import annotations

import gc
import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from prefect import Flow
from prefect.client.schemas.objects import State, StateType
from prefect.testing.utilities import prefect_test_harness

from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.shards import read_rows
from agent_r.dataset.verification import verify_version
from agent_r.errors import AgentRError, EndpointError
from agent_r.settings import Config
from env_adapters import world_of_manifest
from flows.cli.results.measurement import show
from flows.collect import CollectResult, collect
from flows.grow import grow
from flows.measure import measure, places_of
from flows.preflight import Needs, looking_once, preflight
from flows.publish import publish
from flows.run_context import RunContext
from flows.self_train import self_train
from flows.states import NOTHING_NEW
from flows.train import train
from tests.support.adapter_server import ServerOfAdapters
from tests.support.crafting_model import crafting
from tests.support.faulty_endpoint import KEY, Fault, FaultyEndpoint, Received
from tests.support.fine_tuning_server import FineTuningServer
from tests.support.hub_server import WRITE, LoopbackHub

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


def config(out: Path, **over: Any) -> Config:
    values = {
        "trees": 10,  # two shards
        "endpoint": {"kind": "scripted", "error_rate": 0.5},
        "search": {"simulations": 4, "candidates": 2, "max_depth": 8},
        "measure": {"tasks": 6, "recovery_tasks": 3, "max_steps": 4},
        "dataset": {"out": str(out), "name": "demo"},
    }
    return Config.model_validate(values | over)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CollectResult]:
    out = tmp_path_factory.mktemp("first")
    return out, await collect(config(out))


async def test_collecting_writes_a_version_that_verifies(first: tuple[Path, CollectResult]) -> None:
    out, collected = first
    version = Path(collected.built.dataset.path)
    assert version == out / "demo" / "v1.1"
    result = await verify_version(version, world_of_manifest)
    assert (result.rows > 0, result.problems) == (True, [])
    assert read_manifest(version)["counts"]["trees"] == 10
    assert collected.built.counts["revisions"] > 0


async def test_machines_that_share_a_shelf_make_the_dataset_of_one(
    first: tuple[Path, CollectResult], tmp_path: Path
) -> None:
    """Each has its own work folder, and the trees lie on the shelf; the last writes the version."""

    def machine(name: str) -> Config:
        shared = {"out": str(tmp_path / name), "name": "demo", "store": str(tmp_path / "shelf")}
        return config(tmp_path, dataset=shared)

    parts = [await grow(machine(f"m{n}"), part=f"{n}/3") for n in (1, 2, 3)]
    assert [(part.finished, part.trees) for part in parts] == [(4, 4), (3, 3), (3, 3)]
    collected = await collect(machine("m1"))
    assert collected.built.dataset.digest == first[1].built.dataset.digest
    idle = await grow(machine("m4"), part="11/11")
    assert (idle.finished, idle.trees) == (0, 0)


async def test_what_a_budget_leaves_over_is_spent_on_tasks_without_a_revision(
    first: tuple[Path, CollectResult], tmp_path: Path
) -> None:
    """By one machine or by several, in one run or in more; never past the limit."""
    ample = {"tokens": 10**9}
    whole = await collect(config(tmp_path / "whole", budget=ample))
    counts, lacking = whole.built.counts, sum(first[1].built.account.lacking.values())
    assert (whole.finished, whole.trees, whole.stopped) == (10, 10, "")
    assert 0 < lacking == whole.second_looks == counts["second looks"] == counts["trees"] - 10
    version = Path(whole.built.dataset.path)
    assert (await verify_version(version, world_of_manifest)).problems == []

    planned = sum(first[1].spent[kind] for kind in ("prompt_tokens", "completion_tokens"))
    tight = {"tokens": int(planned * 1.3)}
    some = await grow(config(tmp_path / "parts", budget=tight))
    assert 0 < some.second_looks < lacking and some.stopped == ""
    assert (
        sum(some.spent[kind] for kind in ("prompt_tokens", "completion_tokens")) < tight["tokens"]
    )
    parts = [await grow(config(tmp_path / "parts", budget=ample), part=f"{n}/2") for n in (1, 2)]
    assert sum(part.second_looks for part in parts) == lacking
    collected = await collect(config(tmp_path / "parts"))  # no limit: it finds them
    assert collected.second_looks == 0
    assert collected.built.dataset.digest == whole.built.dataset.digest

    never = await collect(config(tmp_path / "never", budget=ample | {"second_looks": 0}))
    assert never.built.dataset.digest == first[1].built.dataset.digest


async def test_collecting_again_searches_nothing_and_finds_the_version(
    first: tuple[Path, CollectResult],
) -> None:
    out, collected = first
    again = await collect(config(out).model_dump_json())  # as another run hands its settings on
    assert again.built == collected.built
    assert (again.usage, again.seconds) == (collected.usage, collected.seconds)  # none was asked
    assert sorted(p.name for p in (out / "demo").iterdir()) == ["v1.1", "work"]


async def test_a_run_that_made_nothing_new_says_so_in_its_state(
    first: tuple[Path, CollectResult],
) -> None:
    state: State[CollectResult] = await collect(config(first[0]), return_state=True)
    assert (state.type, state.name) == (StateType.COMPLETED, NOTHING_NEW)
    assert state.message == "nothing new: v1.1 holds the same rows"
    result = await state.aresult()
    assert (result.built, result.new) == (first[1].built, False)
    assert first[1].new


NOWHERE = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "tiny", "attempts": 1}
COMMAND = {"train": {"backend": "command", "command": "no-such-command {out}"}}
REFUSED: dict[str, tuple[Flow[..., Any], dict[str, Any], dict[str, Any], str]] = {
    "a trainer that cannot serve": (self_train, {}, {}, "set train.backend = 'trl'"),
    "no server": (collect, {}, {"endpoint": NOWHERE}, "Connection refused"),
    "no server to measure": (measure, {}, {"endpoint": NOWHERE}, "Connection refused"),
    "no recipes": (grow, {}, {"env": {"recipes": "none"}}, "no crafting recipe"),
    "no part": (grow, {"part": "4/3"}, {}, "write it as 3/16"),
    "an iteration of one's own": (collect, {"iteration": 2}, {"continual": True}, "it takes no"),
    "no dataset": (train, {"versions": ["none/v1.1"]}, COMMAND, "is no folder"),
    "no general rows": (
        train,
        {"versions": []},
        {"train": COMMAND["train"] | {"general": "none.jsonl"}},
        "is no file, no folder and no owner/name",
    ),
    "nothing to publish": (publish, {"version": "none/v1.1"}, {}, "is not a dataset version"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
async def test_a_flow_refuses_before_any_work_in_one_line_without_a_traceback(
    case: tuple[Flow[..., Any], dict[str, Any], dict[str, Any], str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    flow, given, over, said = case
    state = await flow(settings=config(tmp_path, **over), **given, return_state=True)
    assert (state.name, state.message.count("\n")) == ("Failed", 0)
    assert said in state.message
    assert "--" not in state.message
    assert "Traceback" not in caplog.text
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(AgentRError, match=re.escape(state.message)):
        await flow(settings=config(tmp_path, **over), **given)


async def test_a_subflow_does_not_look_again(tmp_path: Path) -> None:
    with FaultyEndpoint(models=["tiny"]) as server:
        endpoint = {"kind": "openai", "base_url": server.base_url, "model": "tiny"}
        context = RunContext.of(config(tmp_path, endpoint=endpoint))
        with looking_once():
            await preflight(context, Needs(acts=True))
            one_look = len(server.received)
            await preflight(context, Needs(acts=True))
        assert len(server.received) == one_look > 0
        with looking_once():
            await preflight(context, Needs(acts=True))
        assert len(server.received) == 2 * one_look


async def test_another_place_gives_the_same_digest_and_another_seed_another(
    first: tuple[Path, CollectResult], tmp_path: Path
) -> None:
    _, collected = first
    same = await collect(config(tmp_path / "same"))
    other = await collect(config(tmp_path / "other", seed=1))
    assert same.built.dataset.digest == collected.built.dataset.digest
    assert other.built.dataset.digest != collected.built.dataset.digest


async def test_the_second_iteration_explores_other_tasks(
    first: tuple[Path, CollectResult],
) -> None:
    out, collected = first
    second = await collect(config(out), iteration=2)
    assert second.built.dataset.version == "v1.2"
    assert second.built.dataset.digest != collected.built.dataset.digest


async def test_the_second_iterations_version_holds_the_rows_of_both(
    first: tuple[Path, CollectResult],
) -> None:
    out, collected = first
    second = await collect(config(out), iteration=2)
    one, two = (read_manifest(Path(c.built.dataset.path)) for c in (collected, second))
    assert (one["iterations"], two["iterations"]) == ([1], [1, 2])
    assert two["counts"]["trees"] == 20 == 2 * second.built.counts["trees"]
    assert two["rows"]["trees"] == 20
    assert all(changed["removed"] == 0 for changed in two["changes"]["rows"].values())
    assert (await collect(config(out), iteration=2)).built == second.built


async def test_a_measurement_is_made_once_and_continues_the_failures_given(tmp_path: Path) -> None:
    measured = await measure(config(tmp_path))
    [path] = (tmp_path / "demo" / "work").glob("measure-*.json")
    written = path.stat().st_mtime_ns
    assert await measure(config(tmp_path)) == measured
    assert path.stat().st_mtime_ns == written
    assert measured.success.n == len(measured.rewards) == 6
    assert measured.recovery.n == len(measured.openings) > 0
    assert measured.robustness.success[0].n == 6
    given = await measure(config(tmp_path), openings=measured.openings[:1])
    assert given.recovery.n == 1
    plain = {"tasks": 6, "recovery_tasks": 3, "robustness_tasks": 0, "max_steps": 4}
    without = await measure(config(tmp_path, measure=plain))
    assert (without.rewards, without.robustness.led) == (measured.rewards, [])
    folders = (tmp_path / "demo" / "work").glob("episodes-0-*")
    assert len(list(folders)) == 2  # of one's own failures, and those given: none is played anew


async def test_a_measurement_of_an_earlier_version_is_read_from_its_episodes_and_printed_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = config(tmp_path, measure={"tasks": 4, "recovery_tasks": 1, "robustness_tasks": 0})
    measured = await measure(settings)
    places = places_of(RunContext.of(settings))
    value = json.loads(places.file.read_bytes())
    for added in ("scores", "conditions", "cost", "episodes"):
        del value[added]
    places.file.write_text(json.dumps(value))
    written = {path: path.stat().st_mtime_ns for path in places.episodes.iterdir()}
    assert await measure(settings) == measured
    assert {path: path.stat().st_mtime_ns for path in places.episodes.iterdir()} == written
    capsys.readouterr()
    show(measured, settings, file=places.file, episodes=places.episodes, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert (printed["file"], printed["episodes"]) == (str(places.file), str(places.episodes))
    assert printed["summary"]["pass@k"]["1"]["n"] == 4
    show(measured, settings, file=places.file, episodes=places.episodes, as_json=False)
    assert f"agent-r view {places.episodes}" in capsys.readouterr().out


FINE_TUNED = (
    "import pathlib, sys; out = pathlib.Path(sys.argv[1]); out.mkdir(exist_ok=True); "
    "rows = pathlib.Path(sys.argv[2]).read_text().splitlines(); "
    "(out / 'config.json').write_text(str(len(rows)))"
)


async def test_the_loop_publishes_each_version_and_trains_on_what_the_hub_gives_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", WRITE)
    command = shlex.join([sys.executable, "-c", FINE_TUNED]) + " {out} {dataset}"
    with LoopbackHub(tmp_path / "hub") as hub:
        settings = config(
            tmp_path,
            iterations=2,
            budget={"tokens": 10**9},
            hub={"repo": "tester/recovery", "endpoint": hub.url},
            train={"backend": "command", "command": command},
            measure={"tasks": 6, "recovery_tasks": 3, "max_steps": 4, "control": True},
        )
        report = await self_train(settings)
        trained = list((tmp_path / "demo/work").glob("model-*-*/config.json"))
        assert len(trained) == 3  # the last one has a control beside it
        assert report.control is not None
        assert report.control.rewards.keys() == report.start.rewards.keys()
        looked = [it.built.counts.get("second looks", 0) > 0 for it in report.iterations]
        assert looked == [False, True]  # what is left over is the next iteration's
        repo = hub.store.repos["tester/recovery"]
        published = [it.published for it in report.iterations]
        assert [p.address for p in published if p] == [
            "tester/recovery@v1.1",
            "tester/recovery@v1.2",
        ]
        assert [p.commit for p in published if p] == [repo.tags["v1.1"], repo.tags["v1.2"]]
        assert len(repo.history(repo.head)) == 3  # the Hub's own first one, and ours
        versions = []
        for it in report.iterations:
            [fetched] = (tmp_path / "demo/work/hub").glob(f"tester--*/{it.built.dataset.version}")
            assert read_manifest(fetched)["content_digest"] == it.built.dataset.digest
            assert (Path(it.model) / "config.json").read_text() == str(
                sum(it.training_rows.values())
            )
            versions.append(fetched)
        # The head holds what the loop has trained on, and no file of it came twice.
        ids = [{row["id"] for row in read_rows(version, "sft")} for version in versions]
        assert ids[0] < ids[1]
        assert {row["iteration"] for row in read_rows(versions[1], "sft")} == {1, 2}
        first, second = (read_manifest(version)["outcomes"] for version in versions)
        assert [one["trained_on"] for one in second] == [[], ["v1.1"]] and second[:1] == first
        assert second[1]["success"]["n"] == report.start.success.n
        name = "data/sft/train-00000.parquet"
        assert (versions[0] / name).samefile(versions[1] / name)
        done = len(hub.requests)
        again = await self_train(settings)
        assert [it.published for it in again.iterations] == published
        assert {method for method, _ in hub.requests[done:]} <= {"GET", "HEAD"}


async def test_a_run_that_ends_early_has_its_control_and_says_that_it_is_new(
    tmp_path: Path,
) -> None:
    command = shlex.join([sys.executable, "-c", FINE_TUNED]) + " {out} {dataset}"
    small = {"tasks": 2, "recovery_tasks": 0, "robustness_tasks": 0, "max_steps": 4}
    made = {"train": {"backend": "command", "command": command}, "trees": 3}
    first = await self_train(config(tmp_path, **made, iterations=1, measure=small))
    assert first.control is None
    beside = small | {"control": True}
    later = await self_train(config(tmp_path, **made, iterations=1, measure=beside))
    assert later.control is not None and later.new  # all else was there
    spent = first.iterations[0].collect_usage
    limit = {"tokens": spent["prompt_tokens"] + spent["completion_tokens"] + 1}
    early = config(tmp_path / "early", **made, iterations=2, budget=limit, measure=beside)
    report = await self_train(early)
    assert len(report.iterations) == 1 and report.control is not None


async def test_equal_parts_of_one_iteration_have_an_account_each(tmp_path: Path) -> None:
    parts = [await grow(config(tmp_path), part=f"{n}/2") for n in (1, 2)]
    assert [part.trees for part in parts] == [5, 5]
    assert len(list((tmp_path / "demo/work").glob("spent-*.json"))) == 2
    assert [part.usage["requests"] for part in parts] == [
        (await grow(config(tmp_path / name), part=part)).usage["requests"]
        for name, part in (("a", "1/2"), ("b", "2/2"))
    ]


async def test_the_second_iteration_asks_for_the_model_of_the_first_training(
    tmp_path: Path,
) -> None:
    def says(body: dict[str, Any], k: int) -> str:
        return "Judgement: Good" if "Judgement" in str(body["messages"][-1]) else "Action: look"

    with FaultyEndpoint(models=("tiny-1",), says=says) as server:
        endpoint = {"kind": "openai", "base_url": server.base_url, "model": "tiny-{iteration}"}
        settings = config(tmp_path, endpoint=endpoint, trees=1)
        assert (await grow(settings, iteration=2)).actor == "tiny-1"
        assert {received.body["model"] for received in server.completions} == {"tiny-1"}
        with pytest.raises(EndpointError, match="does not serve the model 'tiny-0'"):
            await grow(settings)


async def test_what_lets_a_request_in_is_in_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-lets-me-in-0123456789")
    monkeypatch.setenv("GATEWAY", "gate-lets-me-in-0123456789")
    headers = {"X-Gateway": "Key $GATEWAY", "X-Title": "a title of mine"}

    def refuses(received: Received) -> Fault | None:
        told = f"top_p is not supported: {received.headers}"
        return Fault(400, told) if "top_p" in received.body else None

    with FaultyEndpoint(refuses, says=lambda body, k: "Action: look") as server:
        endpoint = {"kind": "openai", "base_url": server.base_url, "model": "tiny", "top_p": 0.5}
        settings = config(tmp_path, endpoint=endpoint | {"headers": headers}, trees=2)
        await preflight(RunContext.of(settings), Needs(acts=True))
        await grow(settings)
        await measure(settings)
    [values] = {(r.headers["x-gateway"], r.headers["x-title"]) for r in server.received}
    assert values == ("Key gate-lets-me-in-0123456789", "a title of mine")
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    shown = caplog.text + "".join(file.read_bytes().decode("latin-1") for file in files)
    assert caplog.text.count("does not take `top_p`") == 1 and files  # found out once a run
    assert sum("top_p" in received.body for received in server.completions) == 1
    assert not [word for word in ("lets-me-in", "a title of mine") if word in shown]


# A training job whose model is an adapter, made of its rows.
ADAPTER_TRAINER = """
import hashlib, json, pathlib, sys
rows, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
out.mkdir(parents=True)
(out / 'adapter_config.json').write_text(json.dumps({'r': 8}))
(out / 'adapter_model.safetensors').write_text(hashlib.sha256(rows.read_bytes()).hexdigest())
"""


def better(model: str) -> float:
    """The share of mistakes: fewer after a fine-tuning, and no fewer after the next adapter."""
    return {"tiny": 0.5, "ft:ftjob-2:org:agent-r:ftjob-4": 0.0}.get(model, 0.25)


def served_by(out: Path, url: str, train: dict[str, Any], **endpoint: Any) -> Config:
    """Two small iterations of a served actor."""
    served = {"kind": "openai", "base_url": url, "model": "tiny"}
    measured = {"tasks": 2, "recovery_tasks": 0, "robustness_tasks": 0, "max_steps": 4}
    small = {"iterations": 2, "trees": 4, "measure": measured}
    return config(out, endpoint=served | endpoint, train=train, **small)


async def test_a_provider_trains_the_model_that_acts_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROVIDER_KEY", KEY)
    monkeypatch.setattr("agent_r.training.backends.elsewhere.provider.ProviderBackend.poll_s", 0.05)
    with FineTuningServer(says=crafting(better)) as server:
        table = {"base_url": server.base_url, "api_key_env": "PROVIDER_KEY"}
        train = {"backend": "provider", "provider": table}
        report = await self_train(served_by(tmp_path, server.base_url, train))
        jobs = list(server.jobs.values())
        asked = {r.body["model"] for r in server.completions}
    first, second = (job["fine_tuned_model"] for job in jobs)
    assert [job["model"] for job in jobs] == ["tiny", first]
    assert asked == {"tiny", first, second}
    served = [iteration.served for iteration in report.iterations]
    assert [s and s.after.model for s in served] == [first, second]
    assert [s and (s.by, s.differs) for s in served] == [("provider", True)] * 2
    version = read_manifest(Path(report.iterations[1].built.dataset.path))
    assert first in json.dumps(version)


async def test_a_version_says_which_settings_its_server_did_not_take(tmp_path: Path) -> None:
    def refuses(received: Received) -> Fault | None:
        return Fault(400, "top_p is not supported") if "top_p" in received.body else None

    with FaultyEndpoint(refuses, says=crafting(lambda model: 0.5)) as server:
        endpoint = {"kind": "openai", "base_url": server.base_url, "model": "tiny", "top_p": 0.5}
        settings = config(tmp_path, endpoint=endpoint, trees=4)
        await grow(settings)  # what it found out is known to the run that writes the version
        version = Path((await collect(settings)).built.dataset.path)
    [generator] = read_manifest(version)["generators"]
    assert generator["refused"] == ["top_p"]
    assert (
        "Its server did not take `top_p`: it played without" in (version / "README.md").read_text()
    )


async def test_adapters_are_loaded_as_they_are_trained_and_a_deaf_server_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ServerOfAdapters(says=crafting(better)) as server:
        words = shlex.join([sys.executable, "-c", ADAPTER_TRAINER]) + " {dataset} {out}"
        train = {"backend": "command", "command": words}
        settings = served_by(tmp_path, server.base_url, train, serving={"by": "vllm"})
        report = await self_train(settings)
        loaded = list(server.loads)
    assert len(loaded) == 2 and all(name.startswith("agent-r-") for name in loaded)
    served = [iteration.served for iteration in report.iterations]
    assert [s and s.after.model for s in served] == loaded
    assert [s and s.differs for s in served] == [True, False]
    assert "the server still serves the model of before" in caplog.text
