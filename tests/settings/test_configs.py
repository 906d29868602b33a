"""The settings that come with the project are what they say they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_r.config import load
from agent_r.settings import OpenAIEndpoint

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.iterdir()), ids=lambda path: path.name)
def test_every_config_loads(path: Path) -> None:
    assert path.suffix == ".toml"
    load(path)


def test_the_papers_config_is_the_papers_preset() -> None:
    assert load(CONFIGS / "paper.toml") == load(None, preset="paper")


def test_the_config_for_an_own_endpoint_names_its_key_and_never_holds_it() -> None:
    endpoint = load(CONFIGS / "own_endpoint.toml").endpoint
    assert isinstance(endpoint, OpenAIEndpoint)
    assert endpoint.api_key_env == "OPENAI_API_KEY"


def test_the_demo_is_the_one_that_make_demo_runs() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "agent-r self-train --config configs/demo.toml" in makefile
    assert load(CONFIGS / "demo.toml").dataset.name == "demo"
