"""What is said in several places of a release is the same in all of them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

from agent_r import __version__

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
