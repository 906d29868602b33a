"""What a user says of a request is checked, holds no secret, and names what it changes."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from agent_r.config import load, overrides, parse, read_held
from agent_r.errors import ConfigError
from agent_r.settings import OpenAIEndpoint


def shaped(**shape: Any) -> OpenAIEndpoint:
    endpoint = {"kind": "openai", "base_url": "http://localhost/v1", "model": "m", **shape}
    made = parse({"endpoint": endpoint}, source="test").endpoint
    assert isinstance(made, OpenAIEndpoint)
    return made


def test_the_command_line_sets_a_body_of_any_json() -> None:
    words = [
        "endpoint.kind=openai",
        "endpoint.base_url=http://localhost/v1",
        "endpoint.model=m",
        "endpoint.extra_body.chat_template_kwargs.enable_thinking=false",
        "endpoint.extra_body.top_k=20",
        'endpoint.extra_body.provider={order = ["a", "b"]}',
        "endpoint.query.api-version=2024-10-21",
        "endpoint.n=1",
    ]
    endpoint = load(None, over=overrides(words)).endpoint
    assert isinstance(endpoint, OpenAIEndpoint)
    assert endpoint.extra_body == {
        "chat_template_kwargs": {"enable_thinking": False},
        "top_k": 20,
        "provider": {"order": ["a", "b"]},
    }
    assert endpoint.query == {"api-version": "2024-10-21"}
    assert endpoint.n == 1


@pytest.mark.parametrize("name", ["model", "messages", "n", "stream", "temperature", "max_tokens"])
def test_a_setting_has_one_place(name: str) -> None:
    with pytest.raises(ConfigError, match=f"extra_body: `{name}` is set by") as caught:
        shaped(extra_body={name: 1})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["headers", "query"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api-key", "hunter2"),
        ("X-Access-Token", "hunter2"),
        ("Cookie", "hunter2"),
        ("X-Mine", "Bearer hunter2"),
        ("X-Mine", "sk-hunter2hunter2"),
        ("X-Mine", "hunter2" * 6),
    ],
)
def test_a_secret_is_no_setting_and_is_not_shown(field: str, name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"{field}: the value of `{name}` may be") as caught:
        shaped(**{field: {name: value}})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "shape",
    [
        {"headers": {"a b": "c"}},
        {"headers": {"a": "b\nc: d"}},
        {"auth_header": "api key"},
        {"stop": [""]},
        {"query": {"key": "$MY_KEY"}},
        {"extra_body": {"until": date(2024, 10, 21)}},
        {"top_p": 0},
        {"n": 2},
    ],
)
def test_what_cannot_be_sent_is_refused_in_one_line(shape: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^test: endpoint[^\n]*$"):
        shaped(**shape)


def test_values_name_variables_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = shaped(
        headers={
            "Authorization": "Token $MY_TOKEN",
            "X-Org": "${ORG}",
            "X-Title": "mine",
            "X-Key": "block:gateway-key",
            "X-Other": "block:agent-r-endpoint/mine",
        },
    )
    assert endpoint.variables == ["MY_TOKEN", "ORG"]
    assert endpoint.blocks == ["gateway-key", "agent-r-endpoint/mine"]
    monkeypatch.setenv("MY_TOKEN", "hunter2\n")
    with pytest.raises(ConfigError, match=r"names \$ORG, which is not set"):
        read_held(endpoint)
    monkeypatch.setenv("ORG", "us")
    assert read_held(endpoint) == {"MY_TOKEN": "hunter2", "ORG": "us"}


def test_what_changes_no_reply_names_nothing() -> None:
    how = {"headers": {"X-Title": "a"}, "query": {"api-version": "1"}, "auth_header": "api-key"}
    assert shaped(**how, n=1, extra_body={"user": "me", "store": False}).replies_depend_on() == {}
    body = {"user": "me", "top_k": 20}
    assert shaped(top_p=0.9, stop=["a"], extra_body=body).replies_depend_on() == {
        "top_p": 0.9,
        "stop": ["a"],
        "extra_body": {"top_k": 20},
    }
