"""`agent-r view`: what a path leads to, what is said, what is opened, and where it is linked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent_r.dataset.card.tree_figure import TREE, draw_tree
from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.view.command import hint
from agent_r.dataset.view.page import write_page
from agent_r.dataset.view.path import collection
from agent_r.errors import DatasetError, StoreError, UnknownTask
from flows.cli.main import main
from tests.support.made import Made
from tests.support.view_trees import embedded

ROOT = Path(__file__).parents[3]


def test_a_path_leads_to_the_newest_version_the_work_or_one_tree(made: Made) -> None:
    folder, work = made.version.parent, made.version.parent.parent / "work"
    assert collection(folder).kind == "dataset version"
    assert collection(work).kind == "work folder"
    one = next(work.glob("trees-*/*.json"))
    assert len(list(collection(one).exhibits())) == 1


def test_one_task_is_shown_alone_and_names_near_a_wrong_one_are_said(made: Made) -> None:
    work = made.version.parent.parent / "work"
    task = str(made.rows("trees")[0]["task"])
    for path in (made.version, work):
        shown = list(collection(path, task=task).exhibits())
        assert [one.row["task"] for one in shown] == [task]
        with pytest.raises(UnknownTask, match=re.escape(repr(task))):
            collection(path, task=f"{task}x")


def test_what_is_not_ours_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text("[]")
    for path in (tmp_path, tmp_path / "none", tmp_path / "a.json"):
        assert main(["view", str(path), "--no-open"]) == 2
        said = capsys.readouterr().err
        assert (said.count("\n"), str(path) in said) == (1, True)
        with pytest.raises(DatasetError):
            collection(path)


def test_a_damaged_version_is_one_line(made: Made, tmp_path: Path) -> None:
    version = tmp_path / "demo" / "v1.1"
    shutil.copytree(made.version, version)
    shard = next((version / "data" / "trees").glob("*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(DatasetError, match=shard.name):
        collection(version)


def test_a_folder_that_cannot_be_written_is_said(made: Made, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        write_page(collection(made.version), tmp_path / "file" / "page.html")


def test_the_command_prints_where_the_page_is(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page.html"
    assert main(["view", str(made.version), "--out", str(out)]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 6 trees, ")
    assert out.is_file()


def test_the_page_is_opened_in_a_browser_with_windows_and_never_in_the_terminal(
    made: Made, tmp_path: Path
) -> None:
    opened = tmp_path / "opened"
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    script.chmod(0o755)
    one = next((made.version.parent.parent / "work").glob("trees-*/*.json"))
    command = [sys.executable, "-m", "flows.cli", "view", str(one)]
    for browser, seen in ((f"{script} %s", False), (f"{script} %s &", True)):
        subprocess.run(
            command, cwd=ROOT, check=True, env={"BROWSER": browser, "PATH": "/usr/bin:/bin"},
            timeout=60, capture_output=True,
        )  # fmt: skip
        for _ in range(50):
            if not seen or opened.exists():
                break
            subprocess.run(["sleep", "0.1"], check=True)
        assert opened.exists() == seen


def test_the_end_of_a_run_says_how_to_look_as_a_shell_takes_it() -> None:
    assert (
        hint("datasets_out/my data/v1.1") == "look at it: agent-r view 'datasets_out/my data/v1.1'"
    )


def test_a_card_draws_the_tree_of_its_example_and_names_the_command(
    made: Made, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    manifest = read_manifest(made.version)
    card = (made.version / "README.md").read_text(encoding="utf-8")
    assert TREE in manifest["figures"]
    assert f"]({TREE})" in card
    assert "agent-r view path/to/v1.1" in card
    again = tmp_path / "again"
    shutil.copytree(made.version / "data", again / "data")
    drawn = draw_tree(manifest, again)
    assert drawn is not None
    assert drawn.read_bytes() == (made.version / TREE).read_bytes()
    assert drawn.stat().st_size < 100_000


def test_a_version_without_an_example_has_no_tree_drawn(tmp_path: Path) -> None:
    assert draw_tree({"statistics": {"example": None}}, tmp_path) is None


def test_a_versions_page_tells_what_became_of_everything(made: Made, tmp_path: Path) -> None:
    page = write_page(collection(made.version), tmp_path / "page.html").path.read_text()
    about = embedded(page, "about")
    assert isinstance(about, dict)
    assert any(line.startswith("episodes ") for line in about["account"])
    assert json.dumps(about["account"]).isascii()
