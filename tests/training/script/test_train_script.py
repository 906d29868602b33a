"""`agent-r train-script`: one file, of the version that was named, that needs nothing of ours."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from agent_r.dataset.manifest import read_manifest
from agent_r.local_model.model_folder import PACKAGED
from agent_r.training.train_script import train_script
from flows.cli.main import main
from tests.support.made import Made

ROOT = Path(__file__).parents[3]


def defaults(text: str) -> dict[str, Any]:
    """The settings that are written into a script."""
    [table] = [
        node.value
        for node in ast.parse(text).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]
    assert table is not None
    return {name: default for name, (default, _) in ast.literal_eval(table).items()}


def metadata(text: str) -> dict[str, Any]:
    """What PEP 723 reads at its head."""
    [block] = re.findall(r"^# /// script\n(.*?)^# ///$", text, flags=re.M | re.S)
    return tomllib.loads("".join(line[2:] + "\n" for line in block.splitlines()))


def test_the_version_the_model_and_the_settings_are_written_in(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--set", "train.epochs=2", "--set", "train.trl.lora.rank=4", "--seed", "7"]
    assert main(["train-script", str(made.version), *options]) == 0
    assert "python train.py" in capsys.readouterr().out
    found = defaults((tmp_path / "train.py").read_text(encoding="utf-8"))
    manifest = read_manifest(made.version)
    assert found["dataset"] == str(made.version)
    assert found["digest"] == manifest["content_digest"]
    assert found["out"] == f"{manifest['dataset']}-{manifest['version']}-trained"
    assert found["model"] == str(PACKAGED)
    assert (found["epochs"], found["rank"], found["seed"]) == (2, 4, 7)
    assert main(["train-script", str(made.version)]) == 2
    assert "train.py is there already" in capsys.readouterr().err


def test_a_published_version_is_named_by_its_repository_and_tag(tmp_path: Path) -> None:
    script = tmp_path / "there.py"
    asked = ["train-script", "you/my-data@v1.3", "--model", "Qwen/Qwen3-0.6B", "-o", str(script)]
    assert main([*asked, "--set", "train.trl.rows=preference"]) == 0
    found = defaults(script.read_text(encoding="utf-8"))
    assert (found["dataset"], found["tag"], found["digest"]) == ("you/my-data", "v1.3", "")
    assert (found["model"], found["rows"]) == ("Qwen/Qwen3-0.6B", "preference")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["nowhere"], "nowhere is not a dataset version"),
        (["--set", "train.optimizer=muon"], "`optimizer` and `average` are the local trainer's"),
        (["--set", "train.trl.rows=all"], "train.trl.rows: Input should be 'sft'"),
        (["-o", "no/such/folder/train.py"], "cannot write no/such/folder/train.py: No such file"),
    ],
)
def test_what_is_wrong_is_one_line_and_writes_nothing(
    options: list[str],
    line: str,
    made: Made,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    version = [] if options == ["nowhere"] else [str(made.version)]
    assert main(["train-script", *version, *options]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_file_is_whole_and_nothing_in_it_is_ours() -> None:
    text = train_script({})
    tree = ast.parse(text)
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import)
            else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        )
    }  # fmt: skip
    assert "agent_r" not in text
    assert {"torch", "trl", "peft"} <= imported
    names = Counter(
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)
    )
    assert not {name for name, count in names.items() if count > 1}
    assert ast.get_docstring(tree) is not None


def test_it_asks_for_the_releases_that_the_tests_run_with() -> None:
    pinned = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    asked = metadata(train_script({}))
    for requirement in map(Requirement, asked["dependencies"]):
        assert pinned[requirement.name] in requirement.specifier, requirement.name
