"""A small dataset made for real, once a session: scripted actor, TextCraft, no Prefect."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_r.collection.object_store import ObjectStore
from agent_r.collection.plan import tasks_of_iteration
from agent_r.collection.provenance import record
from agent_r.collection.tree_store import TreeStore
from agent_r.dataset.build import build
from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.writer import export
from agent_r.run_worlds import Worlds
from agent_r.settings import Config, ScriptedEndpoint
from env_adapters import world_of
from env_adapters.textcraft.scripted import ScriptedCrafter
from tests.support.browser import browser as browser  # fixtures, for every test
from tests.support.browser import page as page
from tests.support.hub_server import LoopbackHub
from tests.support.made import Made
from tests.support.nightly import night, stage

__all__ = ["night", "stage"]

# Read by the Hub's client when it is imported: the loopback Hub speaks the older of its protocols.
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
# The Prefect servers that tests start send nothing out.
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["DO_NOT_TRACK"] = "1"

# Programs of their own: a world, where its package is in another environment, and a job's script.
collect_ignore = ["support/openenv_world.py", "support/stand_in_script.py"]

SCRIPTED = {
    "trees": 6,
    "endpoint": {"kind": "scripted"},
    "search": {"simulations": 6, "candidates": 3, "max_depth": 12},
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", type=Path, help="folder of the pictures that tests make anew")


@pytest.fixture
def pictures(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where the pictures of the docs go: `--pictures docs` makes them anew."""
    folder: Path | None = request.config.getoption("--pictures")
    return folder or tmp_path


# The workers of `make test` take a file each, one after the other: what takes longest comes first,
# above all what mostly waits, which leaves its core to the others.
LONGEST = [
    "flows/test_prefect_server.py",
    "flows/test_suspended_run.py",
    "flows/workers/test_deployed.py",
    "collection/test_killed.py",
    "flows/test_prefect_faults.py",
    "flows/workers/test_clusters.py",
    "env_adapters/test_scienceworld.py",
    "training/backends/test_process_backend.py",
    "training/backends/elsewhere/test_hf_jobs.py",
    "benchmarks/test_paper_run.py",
    "flows/cli/test_cli.py",
    "env_check/test_contract.py",
    "training/backends/test_trl_backend.py",
    "training/script/test_whole_job.py",
    "dataset/test_consumers.py",
    "hub/test_publish_faults.py",
    "flows/test_flows.py",
    "flows/test_prefect_ui.py",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    config = Config.model_validate(SCRIPTED)
    assert isinstance(config.endpoint, ScriptedEndpoint)
    worlds = Worlds.of(config.env, world_of)
    actor = ScriptedCrafter(config.endpoint, config.env)
    tree_store = TreeStore.of(
        folder / "work", worlds.environment, config, actor=actor.name, iteration=1
    )
    tasks = tasks_of_iteration(worlds, config, 1)

    async def tree_revisions() -> None:
        await record(ObjectStore.at(folder / "work"), tree_store, actor=actor.name, iteration=1)
        for task in tasks:
            await tree_store.explore(actor, task)
            await tree_store.revise(actor, task)

    asyncio.run(tree_revisions())
    built = build(tree_store, tasks, folder / "demo", actor=actor.name, iteration=1)
    return Made(config, tree_store, built)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[LoopbackHub]:
    with LoopbackHub(tmp_path / "hub") as running:
        yield running


@pytest.fixture
def other(made: Made, tmp_path: Path) -> Path:
    """A version of the same name with other rows."""
    rows = [(name, row) for name in ("sft", "trees") for row in made.rows(name)]
    manifest = read_manifest(made.version)
    told = {"environments": manifest["environments"]}
    ref = export(rows, tmp_path / "demo", provenance=lambda: told)
    assert ref.version == made.version.name
    return Path(ref.path)
