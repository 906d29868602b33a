"""Dask and Ray on clusters of processes: the version of one process, one endpoint limit."""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.testing.utilities import prefect_test_harness

from agent_r.settings import Config
from benchmarks.saturation import ask, serving
from flows.collect import collect

pytestmark = [
    pytest.mark.slow,
    # What Dask, Ray and Prefect leave to the collector.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
LIMIT = 6


@pytest.fixture(scope="module", autouse=True)
def prefect() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield
    gc.collect()


def config(out: Path, url: str, **over: Any) -> Config:
    endpoint = {"kind": "openai", "base_url": url, "model": "scripted-0.35", "concurrency": LIMIT}
    values = {
        "trees": 12,
        "search": {"simulations": 4, "candidates": 2, "max_depth": 8},
        "endpoint": endpoint,
        "dataset": {"out": str(out), "name": "demo"},
    }
    return Config.model_validate(values | over)


@pytest.mark.parametrize("runner", ["dask", "ray"])
async def test_a_cluster_s_processes_make_the_version_of_one(runner: Any, tmp_path: Path) -> None:
    if importlib.util.find_spec(f"prefect_{runner}") is None:
        pytest.skip(f"the extra '{runner}' is not installed: make ray")
    with serving(64, 0.1) as url:
        one = await collect(config(tmp_path / "one", url))
        alone = ask(url.removesuffix("/v1") + "/stats")["requests"]
        several = await collect(config(tmp_path / "several", url, workers=2, runner=runner))
        stats = ask(url.removesuffix("/v1") + "/stats")
    assert several.built.dataset.digest == one.built.dataset.digest
    assert (several.finished, several.trees) == (12, 12)
    assert several.asked["requests"] == one.asked["requests"] - 1  # its parent had the first look
    assert stats["requests"] - alone <= alone
    assert 2 < stats["most_in_flight"] <= LIMIT
