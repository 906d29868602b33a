"""`agent-r audit`, and the audit of a version while it is built: the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_r.collection.plan import tasks_of_iteration
from agent_r.dataset.audit.version_audit import audit_version
from agent_r.dataset.build import build
from agent_r.dataset.manifest import peek
from agent_r.dataset.merge import merge
from agent_r.dataset.shards import read_rows
from agent_r.dataset.writer import export
from agent_r.environment import Embedded, World
from agent_r.errors import ConfigError
from agent_r.run_worlds import Worlds
from env_adapters import make_env, world_of, world_of_manifest
from tests.support.made import Made


@pytest.fixture(scope="module")
def audited(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same dataset, audited as it is built."""
    tasks = tasks_of_iteration(Worlds.of(made.config.env, world_of), made.config, 1)
    folder = tmp_path_factory.mktemp("audited") / "demo"
    built = build(made.tree_store, tasks, folder, actor="scripted", iteration=1, world_of=world_of)
    return Path(built.dataset.path)


async def test_a_version_is_measured_alike_when_it_is_built_and_afterwards(audited: Path) -> None:
    found = await audit_version(audited, world_of_manifest)
    assert found.value == peek(audited)["audit"]
    assert (found.faults, found.unclosed) == ([], {})


def test_the_scripted_judge_is_right_and_nothing_refused_is_trained(audited: Path) -> None:
    shares = peek(audited)["audit"]["shares"]
    assert shares["bad_is_wrong"]["of"] > 0
    for name in ("bad_is_wrong", "trained_refused", "signal_false"):
        assert shares[name]["count"] == shares[name]["unknown"] == 0, name


def test_the_card_shows_what_was_measured_and_nothing_where_nothing_was(
    audited: Path, made: Made
) -> None:
    card = (audited / "README.md").read_text()
    assert "## Beside the expert" in card
    assert "| trained actions | refused | 0 |" in card
    assert "## Beside the expert" not in (made.version / "README.md").read_text()
    assert "audit" not in peek(made.version)


def test_a_merge_keeps_an_audit_of_all_its_rows_alone(audited: Path, tmp_path: Path) -> None:
    manifest, other = peek(audited), tmp_path / "other"
    rows = [
        ("sft", row | {"id": f"{row['id']}-b", "tree": f"{row['tree']}-b"})
        for row in read_rows(audited, "sft")
    ]
    rows += [("trees", row | {"id": f"{row['id']}-b"}) for row in read_rows(audited, "trees")]
    origin = {"environments": manifest["environments"], "audit": manifest["audit"]}
    export(rows, other, provenance=lambda: origin)
    whole = merge([audited, other / "v1.1"], tmp_path / "whole")
    shares = peek(Path(whole.path))["audit"]["shares"]
    once = manifest["audit"]["shares"]["trained_refused"]["of"]
    assert shares["trained_refused"]["of"] == 2 * once
    part = merge([audited, other / "v1.1"], tmp_path / "part", weights=[0.9, 0.1])
    assert "audit" not in peek(Path(part.path))


async def test_a_world_without_an_expert_is_one_line(made: Made) -> None:
    def without(entry: object) -> World:
        return Embedded(lambda: make_env(made.config.env))

    with pytest.raises(ConfigError, match=r"no world has an expert to compare with \(textcraft\)"):
        await audit_version(made.version, without)
