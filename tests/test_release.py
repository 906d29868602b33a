"""What is said in several places of a release is the same in all of them; the door is open."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from hatchling.builders.wheel import WheelBuilder

import agent_r
from agent_r import __version__, load
from agent_r.config import parse

ROOT = Path(__file__).parent.parent


def test_the_version_is_one_and_the_changelog_has_its_dated_section() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    dated = re.findall(r"^## \[(\d\S*)\] - \d{4}-\d\d-\d\d$", changelog, flags=re.MULTILINE)
    assert project["version"] == __version__ == dated[0]


def test_a_commit_is_checked_as_ci_checks_it() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    [check] = re.findall(r"^check: (.+)$", makefile, flags=re.MULTILINE)
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    entries = [hook["entry"] for repo in hooks["repos"] for hook in repo["hooks"]]
    assert entries == [f"make {target}" for target in check.split()]


def test_the_wheel_holds_types_the_view_and_the_model_but_not_how_it_was_made() -> None:
    files = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert {"agent_r/py.typed", "env_adapters/py.typed"} <= files
    assert "agent_r/local_model/checkpoint/model.safetensors" in files
    for asset in (ROOT / "agent_r/dataset/view/assets").iterdir():
        assert f"agent_r/dataset/view/assets/{asset.name}" in files
    for rules in ("gitleaks.toml", "gitleaks.LICENSE", "own.toml"):
        assert f"agent_r/hub/rules/{rules}" in files
    assert not [name for name in files if name.endswith((".log", "loss.jsonl", ".pyc"))]
    assert {name.split("/")[0] for name in files} == {"agent_r", "env_adapters", "tasks", "flows"}


def test_the_image_is_built_of_what_its_files_let_through_and_of_nothing_else() -> None:
    ignored, *kept = [
        line
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    ]
    sent = {line.removeprefix("!") for line in kept if line.startswith("!")}
    assert ignored == "*"
    assert all((ROOT / name).exists() for name in sent)
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = set(re.findall(r"^COPY (\w\S*) ", dockerfile, flags=re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    needed = {*project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"], "README.md"}
    assert copied | needed | {"LICENSE", "constraints.txt", "pyproject.toml"} == sent
    [extras] = re.findall(r"^ARG EXTRAS=(\S+)$", dockerfile, flags=re.MULTILINE)
    assert {*extras.split(",")} <= project["project"]["optional-dependencies"].keys()


@pytest.mark.parametrize("name", agent_r.__all__)
def test_what_the_front_door_names_is_there(name: str) -> None:
    assert getattr(agent_r, name).__doc__


def test_the_example_searches_one_task_and_prints_the_tree(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs/example.py")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    task, first, *rest = done.stdout.splitlines()
    assert re.fullmatch(r"[a-z ]+: \d+ requests", task)
    assert re.match(r"'\w+ .*': \d visits, value \d\.\d\d$", first)
    assert any(line.startswith("  '") and "terminated with reward 1" in line for line in rest)


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "PAPER.md", *ROOT.glob("docs/*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_links_to_is_there(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)|src=\"([^\"]+)\"", text)
    for link in ("".join(found) for found in links):
        assert link.startswith("https://") or (page.parent / link).exists(), link


def test_the_front_page_is_short_and_its_settings_are_valid() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) < 1000
    [toml] = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    shown = parse(tomllib.loads(toml), source="README.md")
    own = load(ROOT / "configs/own_endpoint.toml")
    assert (shown.dataset.name, shown.train.command) == (own.dataset.name, own.train.command)


def test_the_newcomers_page_names_every_folder_of_the_house() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    folders = {path.parent.name for path in (ROOT / "agent_r").glob("*/__init__.py")}
    assert {name for name in folders if f"`agent_r/{name}/`" not in text} == set()
