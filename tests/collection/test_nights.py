"""Which ground a run takes: that of an unfinished night, its own, or the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_r.collection.nights import Ground, Nights
from agent_r.collection.plan import work_folder
from agent_r.errors import StoreError
from agent_r.settings import Config
from flows.preflight import Needs, loops
from flows.run_context import RunContext


def config(out: Path, **over: object) -> Config:
    return Config.model_validate({"continual": True, "dataset": {"out": str(out)}} | over)


def night(settings: Config, run: str, iterations: int = 3) -> Ground:
    """A whole one."""
    ground = Ground.of(settings, "self-train", run)
    folder = work_folder(settings)
    ground.finish(
        last=ground.first + iterations - 1,
        model=str(folder / f"model-{ground.number}"),
        versions=[str(folder.parent / f"v1.{ground.number}"), f"owner/name@v1.{ground.number}"],
    )
    return ground


def test_a_night_goes_on_where_the_last_finished_one_ended(tmp_path: Path) -> None:
    settings = config(tmp_path)
    assert [night(settings, run).first for run in ("a", "b", "c")] == [1, 4, 7]
    ground = Ground.of(settings, "self-train", "d")
    folder = tmp_path / "agent-r"
    assert (ground.first, ground.model) == (10, str(folder / "work/model-2"))
    versions = [(str(folder / f"v1.{n}"), f"owner/name@v1.{n}") for n in range(3)]
    assert ground.versions == tuple(path for pair in versions for path in pair)


def test_an_unfinished_night_is_resumed_by_whoever_runs_next(tmp_path: Path) -> None:
    settings = config(tmp_path)
    night(settings, "a")
    killed = Ground.of(settings, "self-train", "b")
    resumed = Ground.of(settings, "self-train", "c")
    assert (killed.first, killed.versions) == (resumed.first, resumed.versions)
    assert Nights(settings, "self-train")[1].runs == ["b", "c"]


def test_a_run_that_comes_back_finds_its_own_night(tmp_path: Path) -> None:
    settings = config(tmp_path)
    mine = night(settings, "a")
    night(settings, "b")
    again = Ground.of(settings, "self-train", "a")
    assert (again.number, again.first, again.model) == (0, mine.first, "")
    assert Nights(settings, "self-train").upcoming() == 2


def test_what_a_night_begins_with_is_what_is_looked_at_before_it(tmp_path: Path) -> None:
    settings = config(tmp_path, hub={"repo": "owner/name"})
    context, needs = loops(settings)
    assert (context, needs) == (RunContext.of(settings), Needs(True, True, True, True))
    night(settings, "a")
    model = str(tmp_path / "agent-r/work/model-0")
    context, needs = loops(settings)
    assert (context.model, context.trained, needs) == (
        Path(model),
        3,
        Needs(True, True, True, True),
    )
    assert loops(settings, "a")[0].trained == 0  # its own
    assert Nights(settings, "self-train").upcoming() == 1  # looking takes nothing


def test_each_flow_counts_for_itself(tmp_path: Path) -> None:
    settings = config(tmp_path)
    night(settings, "a")
    assert Ground.of(settings, "collect", "b").first == 1


def test_a_folder_that_was_moved_is_gone_on_from(tmp_path: Path) -> None:
    night(config(tmp_path / "here"), "a")
    (tmp_path / "here").rename(tmp_path / "there")
    ground = Ground.of(config(tmp_path / "there"), "self-train", "b")
    assert ground.model == str(tmp_path / "there/agent-r/work/model-0")


def test_a_night_of_fewer_iterations_is_followed_without_a_gap(tmp_path: Path) -> None:
    settings = config(tmp_path)
    assert [night(settings, run, 2).first for run in "ab"] == [1, 3]
    assert night(settings, "c", 5).first == 5
    assert Ground.of(settings, "self-train", "d").first == 10


def test_a_damaged_note_is_a_night_that_is_made_again(tmp_path: Path) -> None:
    settings = config(tmp_path)
    night(settings, "a"), night(settings, "b")
    (work_folder(settings) / "night-self-train-2.json").write_text("{")
    assert Ground.of(settings, "self-train", "c").first == 4


def test_a_run_that_is_not_continual_notes_nothing(tmp_path: Path) -> None:
    settings = config(tmp_path, continual=False)
    assert [night(settings, run).first for run in "ab"] == [1, 1]
    assert list(tmp_path.iterdir()) == []


def test_ground_that_cannot_be_noted_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "agent-r").write_text("a file")
    with pytest.raises(StoreError):
        Ground.of(config(tmp_path), "self-train", "a")
