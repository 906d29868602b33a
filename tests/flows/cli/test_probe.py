"""Before a run spends anything, its endpoint is asked once as the run will ask it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from agent_r.config import parse
from agent_r.errors import EndpointRejected
from agent_r.settings import Config
from flows.acting.actor_factory import acting
from flows.acting.probe import probe
from flows.preflight import Needs, look
from flows.run_context import RunContext
from tests.support.odd_endpoint import BASE_MODEL, CUT, Model, OddEndpoint, always, healthy


def config_of(server: OddEndpoint, folder: Path, **more: Any) -> Config:
    endpoint = {"kind": "openai", "base_url": server.base_url, "model": "tiny", "attempts": 1}
    values = {"endpoint": endpoint, "dataset": {"out": str(folder)}, "seed": 5}
    search = {"candidates": 3, "max_tokens": 99, "temperature": 0.9}
    return parse(values | {"search": search} | more, source="test")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Our lines: a loopback server of another test may end just now, and say so."""
    return [record.message for record in caplog.records if record.name == "agent_r.progress"]


async def probed(config: Config) -> None:
    async with acting(RunContext.of(config), checked=False) as actor:
        await probe(actor, config)


async def test_the_one_request_has_the_shape_of_a_runs(tmp_path: Path) -> None:
    with OddEndpoint(healthy) as server:
        await probed(config_of(server, tmp_path))
    [asked] = server.completions
    system, user = asked.body["messages"]
    assert (system["role"], user["role"]) == ("system", "user")
    assert "Goal: craft wheat flour." in user["content"]
    settings = {name: asked.body[name] for name in ("n", "seed", "max_tokens", "temperature")}
    assert settings == {"n": 3, "seed": 5, "max_tokens": 99, "temperature": 0.9}


async def test_a_run_that_goes_on_with_the_same_settings_asks_nothing(tmp_path: Path) -> None:
    with OddEndpoint(healthy) as server:
        for _ in range(3):
            await probed(config_of(server, tmp_path))
        assert len(server.completions) == 1
        await probed(config_of(server, tmp_path, search={"max_tokens": 7}))
    assert len(server.completions) == 2


@pytest.mark.parametrize(
    ("model", "word"),
    [(BASE_MODEL, "base model"), (CUT, "search.max_tokens = 99"), (always(""), "empty")],
)
async def test_what_looks_bad_is_one_warning_and_no_refusal(
    model: Model, word: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "agent_r.progress")
    with OddEndpoint(model) as server:
        await probed(config_of(server, tmp_path))
        assert len(server.completions) == 1  # an empty reply too is taken as it is
        await probed(config_of(server, tmp_path))
    assert len(server.completions) == 2  # and it is asked again the next time
    first, more, *_ = said(caplog)
    assert first.startswith("a first request, in the shape of this run's: 3 of 3 replies are")
    assert word in first and "agent-r try" in more


@pytest.mark.parametrize(
    ("ways", "word"),
    [
        ({"context": 100}, "do not fit the model's context"),
        ({"key": "sk-another"}, "$OPENAI_API_KEY"),
    ],
)
async def test_what_surely_cannot_work_is_refused_with_what_to_change(
    ways: dict[str, Any], word: str, tmp_path: Path
) -> None:
    with OddEndpoint(healthy, **ways) as server, pytest.raises(EndpointRejected) as caught:
        await probed(config_of(server, tmp_path))
    assert word in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


async def test_a_template_without_a_system_role_is_folded_for_unless_that_is_forbidden(
    tmp_path: Path,
) -> None:
    with OddEndpoint(healthy, refuses=["system"]) as server:
        await probed(config_of(server, tmp_path))
        [turn] = server.completions[-1].body["messages"]
        assert turn["role"] == "user" and "Goal: craft wheat flour." in turn["content"]
        config = config_of(server, tmp_path)
        kept = config.endpoint.model_copy(update={"system": "keep"})
        with pytest.raises(EndpointRejected, match=r"set endpoint\.system = 'merge'"):
            await probed(config.model_copy(update={"endpoint": kept}))


async def test_one_conversation_that_a_policy_refuses_is_no_reason_to_stop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with OddEndpoint(healthy, refuses=["policy"]) as server:
        await probed(config_of(server, tmp_path))
    assert "violates" in said(caplog)[0]


async def test_every_run_that_asks_an_endpoint_looks_so_first(tmp_path: Path) -> None:
    with OddEndpoint(healthy) as server:
        config = config_of(server, tmp_path)
        await look(RunContext.of(config), Needs(acts=True))
        assert [asked.body["n"] for asked in server.completions] == [3]
        await look(RunContext.of(config), Needs(acts=True))
    assert len(server.completions) == 1


async def test_a_server_without_n_is_asked_for_one_reply(tmp_path: Path) -> None:
    with OddEndpoint(healthy, refuses=["n"]) as server:
        await probed(config_of(server, tmp_path))
    assert [asked.body.get("n") for asked in server.completions] == [3, None]


async def test_an_actor_of_ours_is_not_asked(tmp_path: Path) -> None:
    config = parse({"endpoint": {"kind": "scripted"}, "dataset": {"out": str(tmp_path)}}, source="")
    async with acting(RunContext.of(config)) as actor:
        await probe(actor, config)
        assert actor.usage.requests == 0


BROKEN = """
from agent_r.testing import Corridor

class Broken(Corridor):
    async def reset(self, task):
        raise RuntimeError("the roof fell in")

def world():
    return Broken()
"""


async def test_a_world_that_fails_is_one_trees_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "world_without_roof.py").write_text(BROKEN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    env = {"kind": "python", "factory": "world_without_roof:world"}
    with OddEndpoint(healthy) as server:
        await probed(config_of(server, tmp_path, env=env))
    assert server.received == []
    assert "the roof fell in" in said(caplog)[0]
