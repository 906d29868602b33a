"""The settings of docs/servers.md, each tried against a server that speaks as that one does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from agent_r.config import merge, parse
from agent_r.diagnostics.findings import facts
from agent_r.diagnostics.trial import Trial
from agent_r.settings import Config
from flows.cli.try_actor import Logged, tried
from tests.support.faulty_endpoint import KEY
from tests.support.personas import PERSONAS

PAGE = (Path(__file__).parents[2] / "docs" / "servers.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^## ([^\n]+)\n[^#]*?```toml\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))
SHORT: dict[str, Any] = {"search": {"max_depth": 3, "max_tokens": 9000}}


def settings(name: str, base_url: str) -> Config:
    """As the page has them, but for the host."""
    table = tomllib.loads(BLOCKS[name])
    return parse(merge(table | SHORT, {"endpoint": {"base_url": base_url}}), source=name)


async def tried_as(name: str, monkeypatch: pytest.MonkeyPatch, **over: Any) -> Trial:
    with PERSONAS[name].serve() as server:
        config = settings(name, server.base_url)
        endpoint = config.endpoint.model_copy(update=over)
        monkeypatch.setenv(endpoint.api_key_env, KEY)
        config = config.model_copy(update={"endpoint": endpoint})
        trial = await tried(config, Logged(), episodes=1, task="")
        extra = endpoint.extra_body
        for received in server.completions[:1]:
            assert extra.items() <= received.body.items()
    return trial


def row(name: str, trial: Trial) -> str:
    """What the page's table says of it."""
    found = {fact.name: fact.text for fact in facts(trial, Config())}
    manners = trial.manners
    assert manners is not None
    lines = "; ".join(manners.found) or "it takes all"
    n = "one reply a request" if len(manners.choices) < 2 else "honoured"
    seed = found["seed"].partition(":")[0]
    return f"| {name} | {lines} | {n} | {seed} | {PERSONAS[name].source} |"


def test_the_page_has_settings_for_each() -> None:
    assert list(BLOCKS) == list(PERSONAS)
    for name, block in BLOCKS.items():
        address = urlsplit(tomllib.loads(block)["endpoint"]["base_url"]).path
        assert address.replace("DEPLOYMENT", "m") == PERSONAS[name].prefix


@pytest.mark.parametrize("name", PERSONAS)
async def test_a_server_is_usable_with_the_settings_of_the_page(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = await tried_as(name, monkeypatch)
    assert trial.usable
    assert trial.failure is None
    assert trial.judged is not None
    assert trial.judged.critique.verdict
    assert row(name, trial) in PAGE.splitlines()


async def test_deepseek_that_thinks_gets_its_reasoning_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trial = await tried_as("DeepSeek", monkeypatch, extra_body={})
    assert trial.usable
    assert trial.manners is not None
    assert "`endpoint.send_reasoning = true`" in str(trial.manners.found)


async def test_settings_that_do_not_go_together_are_used_as_far_as_they_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trial = await tried_as("Anthropic", monkeypatch, top_p=0.9, stop=("\n\n\n",))
    assert trial.usable
    assert trial.manners is not None
    assert list(trial.manners.refused) == ["stop", "top_p"]
