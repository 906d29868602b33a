"""What listens on this machine is reached past any proxy."""

from __future__ import annotations

import os
import urllib.request

import httpx
import httpx2
import pytest

from agent_r.config import process_environment, spare_loopback
from agent_r.endpoint.transport import _proxy
from tests.support.faulty_endpoint import Bench, FaultyEndpoint, texts
from tests.support.ports import closed_port

PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


@pytest.fixture
def dead_proxy(monkeypatch: pytest.MonkeyPatch) -> str:
    """Where nobody listens, as the proxy of everything."""
    url = f"http://127.0.0.1:{closed_port()}"
    for name in PROXIES:
        monkeypatch.setenv(name, url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    return url


async def test_an_endpoint_of_this_machine_is_asked_past_a_dead_proxy(dead_proxy: str) -> None:
    with FaultyEndpoint() as server:
        port = server.base_url.rpartition(":")[2]
        for url in (server.base_url, f"http://localhost:{port}"):
            client = Bench(None, {"base_url": url, "attempts": 1})
            async with client.actor as actor:
                await actor.check()
                assert texts(await client.ask()) == ["reply 7"]


def test_an_endpoint_elsewhere_is_asked_through_the_proxy(dead_proxy: str) -> None:
    assert _proxy("http://example.org/v1") == dead_proxy
    assert _proxy("http://127.0.0.1:1/v1") is None
    assert _proxy("http://[::1]:1/v1") is None


@pytest.mark.parametrize("given", ["", "example.org", "example.org, localhost"])
def test_every_client_of_this_process_goes_past_it(
    given: str, dead_proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, given)
    spare_loopback()
    spare_loopback()  # adds nothing again
    assert os.environ["NO_PROXY"].count("127.0.0.1") == 1
    with FaultyEndpoint() as server:
        url = f"{server.base_url}/models"
        assert httpx.get(url).status_code == 200
        assert httpx2.get(url).status_code == 200
        with urllib.request.urlopen(url) as answer:
            assert answer.status == 200
    assert ("example.org" in os.environ["no_proxy"]) == bool(given)
    assert urllib.request.proxy_bypass("example.net") is False


def test_who_wants_no_proxy_at_all_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "*")
    spare_loopback()
    assert os.environ["no_proxy"] == "*"


def test_a_processs_environment_is_made_without_a_program_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", "/somewhere")
    monkeypatch.setenv("KEPT", "yes")
    made = process_environment({"NEW": "1"}, without=("HF_HUB_CACHE",))
    assert (made["KEPT"], made["NEW"], "HF_HUB_CACHE" in made) == ("yes", "1", False)
    assert os.environ["HF_HUB_CACHE"] == "/somewhere"
