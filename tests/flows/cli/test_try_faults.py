"""What is wrong with an endpoint is one line, with the setting to change; real servers are odd."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.odd_endpoint import (
    BASE_MODEL,
    CUT,
    EMPTY,
    FILTERED,
    TALKER,
    Model,
    OddEndpoint,
    endless_thinker,
    healthy,
)
from tests.support.trying import agent_r_try, arrows, settings, squeezed


@pytest.mark.parametrize(
    ("model", "word"),
    [
        (BASE_MODEL, "base model"),
        (CUT, "raise search.max_tokens"),
        (EMPTY, "chat template"),
        (TALKER, "no action in the form that the world reads (`Action: …`)"),
        (FILTERED, "content filter"),
        (endless_thinker, "turn thinking off"),
    ],
    ids=["marks", "cut", "empty", "talk", "filtered", "endless thought"],
)
def test_an_actor_without_an_action_is_refused_in_one_line_that_says_what_to_change(
    model: Model, word: str, tmp_path: Path
) -> None:
    with OddEndpoint(model) as server:
        done = agent_r_try(settings(server), tmp_path)
    assert done.returncode == 1
    [line] = arrows(done.stdout)
    asked = int(re.search(r"✗  actions +0 of (\d+) replies hold an action", done.stdout)[1])
    assert word in line and line.startswith(f"{asked} of {asked} replies") and asked >= 3
    assert "This actor cannot be used as it is." in done.stdout


@pytest.mark.parametrize(
    ("model", "mark"),
    [
        (CUT, "✗ cut by the token limit (finish_reason: length)"),
        (FILTERED, "✗ stopped by a content filter"),
        (EMPTY, "✗ empty"),
    ],
)
def test_a_reply_that_cannot_be_used_is_marked(model: Model, mark: str, tmp_path: Path) -> None:
    with OddEndpoint(model) as server:
        assert mark in agent_r_try(settings(server), tmp_path).stdout


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        ({"ignores": ["n"]}, "n = 2 gives one reply all the same"),
        ({"refuses": ["n"]}, "n = 2 is refused"),
        ({"ignores": ["seed"]}, "✓ seed not honoured"),
        ({"refuses": ["temperature"]}, "! settings the server does not take `temperature`"),
    ],
)
def test_what_a_server_does_not_take_is_said_and_is_no_reason_to_refuse_it(
    ways: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with OddEndpoint(healthy, **ways) as server:
        done = agent_r_try(settings(server), tmp_path)
    assert done.returncode == 0
    assert said in squeezed(done.stdout)
    assert arrows(done.stdout) == []


def test_a_key_that_is_refused_names_its_variable(tmp_path: Path) -> None:
    with OddEndpoint(healthy, key="sk-another") as server:
        done = agent_r_try(settings(server), tmp_path)
    assert done.returncode == 1
    assert (
        "put a key that may use this model into the variable $OPENAI_API_KEY"
        in arrows(done.stdout)[0]
    )


def test_a_context_that_is_too_small_is_said_at_once_or_when_it_is_outgrown(
    tmp_path: Path,
) -> None:
    with OddEndpoint(healthy, context=100) as server:
        done = agent_r_try(settings(server), tmp_path)
    assert done.returncode == 1 and "do not fit the model's context" in arrows(done.stdout)[0]
    with OddEndpoint(healthy, context=500) as server:
        done = agent_r_try(settings(server), tmp_path)
    assert done.returncode == 0
    [line] = arrows(done.stdout)
    assert "search.max_depth" in line
    assert "step 1 is not judged: the server refuses the question" in done.stdout


def test_a_server_that_is_not_there_is_said_within_seconds(tmp_path: Path) -> None:
    with OddEndpoint(healthy) as server:
        toml = settings(server).replace(server.base_url, "http://127.0.0.1:9/v1")
    done = agent_r_try(toml, tmp_path)
    assert done.returncode == 1
    assert arrows(done.stdout) == ["nobody answers there: start the server, or correct "
                                   "endpoint.base_url"]  # fmt: skip


def test_an_address_without_its_version_is_written_out(tmp_path: Path) -> None:
    with OddEndpoint(healthy) as server:
        bare = server.base_url.removesuffix("/v1")
        done = agent_r_try(settings(server).replace(server.base_url, bare), tmp_path)
    assert done.returncode == 1
    assert arrows(done.stdout) == [f"set endpoint.base_url = '{bare}/v1'"]
