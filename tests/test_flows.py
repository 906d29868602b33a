"""The flows on a real Prefect server: a run repeats to the byte, and nothing is done twice."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from prefect.testing.utilities import prefect_test_harness

from agent_r.config import Config
from agent_r.services.audit import audit
from agent_r.services.export import read_manifest
from env_adapters import env_of_manifest
from flows.collect import Collected, collect
from flows.measure import measure

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
async def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Collected]:
    out = tmp_path_factory.mktemp("first")
    return out, await collect(config(out))


async def test_collecting_writes_a_version_that_verifies(first: tuple[Path, Collected]) -> None:
    out, collected = first
    version = Path(collected.built.dataset.path)
    assert version == out / "demo" / "v1.1"
    result = await audit(version, env_of_manifest)
    assert (result.rows > 0, result.problems) == (True, [])
    assert read_manifest(version)["counts"]["trees"] == 10
    assert collected.built.counts["revisions"] > 0


async def test_collecting_again_searches_nothing_and_finds_the_version(
    first: tuple[Path, Collected],
) -> None:
    out, collected = first
    again = await collect(config(out))
    assert again.built == collected.built
    assert (again.usage, again.seconds) == (collected.usage, collected.seconds)  # none was asked
    assert sorted(p.name for p in (out / "demo").iterdir()) == ["v1.1", "work"]


async def test_another_place_gives_the_same_digest_and_another_seed_another(
    first: tuple[Path, Collected], tmp_path: Path
) -> None:
    _, collected = first
    same = await collect(config(tmp_path / "same"))
    other = await collect(config(tmp_path / "other", seed=1))
    assert same.built.dataset.digest == collected.built.dataset.digest
    assert other.built.dataset.digest != collected.built.dataset.digest


async def test_the_second_iteration_explores_other_tasks(
    first: tuple[Path, Collected],
) -> None:
    out, collected = first
    second = await collect(config(out), 2, "", 1)
    assert second.built.dataset.version == "v1.2"
    assert second.built.dataset.digest != collected.built.dataset.digest


async def test_a_measurement_is_made_once_and_continues_the_failures_given(tmp_path: Path) -> None:
    measured = await measure(config(tmp_path))
    [path] = (tmp_path / "demo" / "work").glob("measure-*.json")
    written = path.stat().st_mtime_ns
    assert await measure(config(tmp_path)) == measured
    assert path.stat().st_mtime_ns == written
    assert measured.success.n == len(measured.rewards) == 6
    assert measured.recovery.n == len(measured.openings) > 0
    given = await measure(config(tmp_path), "", 0, measured.openings[:1])
    assert given.recovery.n == 1
