"""Whose token goes to the Hub, and what is known of this machine that must not."""

from __future__ import annotations

import pytest

from agent_r.errors import ConfigError
from agent_r.hub.repository import Hub
from agent_r.settings import Config, HubConfig, OpenAIEndpoint
from flows.hub_client import hub_of, private_here
from flows.run_context import after
from flows.versions import local_version


async def test_a_token_from_a_file_may_end_with_a_newline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_mine\n")
    hub = await hub_of(HubConfig(repo="me/data"))
    assert hub.token.get_secret_value() == "hf_mine"


@pytest.mark.parametrize("token", ["hf_wri“te", "hf_a\nb", "hf_\x00"[:3] + "\x07"])
async def test_a_token_that_no_header_can_carry_is_refused_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(ConfigError, match="no HTTP header") as caught:
        await hub_of(HubConfig(repo="me/data"))
    assert "hf_" not in str(caught.value)


async def test_a_variable_that_is_named_and_not_set_is_no_reason_to_take_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_somebody")
    monkeypatch.delenv("MY_TOKEN", raising=False)
    with pytest.raises(ConfigError, match=r"\$MY_TOKEN, which is not set"):
        await hub_of(HubConfig(repo="me/data", token_env="MY_TOKEN"))


async def test_the_keys_of_the_environment_and_the_endpoints_host_stay_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "very-secret-value-1")
    endpoint = {"kind": "openai", "base_url": "http://gpu-17.lab:8000/v1", "model": "m"}
    known = await private_here(Config.model_validate({"endpoint": endpoint}), Hub("me/data"))
    assert "very-secret-value-1" in known.secrets
    assert "gpu-17.lab" in known.hosts


def test_a_model_that_is_called_by_a_path_has_its_last_part_for_a_name() -> None:
    served = OpenAIEndpoint(base_url="http://x/v1", model="/srv/models/llama-{iteration}")
    assert (after(served, 2).model, after(served, 2).alias) == ("/srv/models/llama-2", "llama-2")
    named = OpenAIEndpoint(base_url="http://x/v1", model="meta/llama")
    assert after(named, 0).alias == ""


async def test_an_address_without_its_version_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="me/data@v"):
        await local_version("me/data", Config())
