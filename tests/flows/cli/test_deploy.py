"""`agent-r deploy` sets a real Prefect server up in one command; again, and nothing changes."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.blocks.system import Secret
from pydantic import SecretStr

from agent_r.errors import ConfigError
from agent_r.settings import OpenAIEndpoint
from flows.cli.main import main
from flows.form.asked import asked
from tasks.blocks import AgentREndpoint, AgentRSettings, HubDataset, secret_of
from tasks.keys import held_of, key_of
from tests.support.ports import closed_port
from tests.support.prefect_server import ROOT, Server, asking, idle

pytestmark = pytest.mark.slow

FILE = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
DEAD, NEVER = "a run without a heartbeat has crashed", "a run that never began has crashed"
TRIGGERED = {f"{d['name']}__automation_1" for d in FILE["deployments"] if d.get("triggers")}
ONE: dict[str, Any] = {
    "name": "one",
    "entrypoint": "flows.collect.collect",
    "work_pool": {"name": "other"},
    "schedules": [{"cron": "0 3 * * *", "active": False}],
    "triggers": [{"type": "event", "expect": ["agent_r.dataset.written"]}],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with idle(tmp_path_factory.mktemp("deploy")) as running:
        shutil.copy(ROOT / "prefect.yaml", running.folder)
        shutil.copytree(ROOT / "automations", running.folder / "automations")
        yield running


@pytest.fixture(scope="module")
def first(server: Server) -> str:
    return server.do("agent-r deploy")


def deployments(server: Server) -> list[dict[str, Any]]:
    return list(server.post("/deployments/filter", {"sort": "NAME_ASC"}))


def automations(server: Server) -> dict[str, str]:
    """Ids by name, without those that `prefect deploy` makes anew of our file's triggers."""
    found = server.post("/automations/filter", {})
    return {each["name"]: each["id"] for each in found if each["name"] not in TRIGGERED}


def test_all_of_the_file_is_there_and_it_is_said(server: Server, first: str) -> None:
    assert {d["name"] for d in deployments(server)} == {d["name"] for d in FILE["deployments"]}
    assert sorted(automations(server)) == [NEVER, DEAD]
    assert server.get("/work_pools/local")["type"] == "process"
    assert server.get("/block_types/slug/agent-r-endpoint")["name"] == "Agent-R Endpoint"
    for line in ("1 pool made: local", f"2 automations made: {NEVER}, {DEAD}",
                 f"{len(FILE['deployments'])} deployments made: collect/collect, "):  # fmt: skip
        assert line in first
    assert f"PREFECT_API_URL={server.url}/api prefect worker start --pool local" in first


def test_a_second_time_nothing_changes(server: Server, first: str) -> None:
    before = {d["id"] for d in deployments(server)}, automations(server)
    assert server.do("agent-r deploy").startswith("nothing to change: 1 pool, ")
    after = {d["id"] for d in deployments(server)}, automations(server)
    assert after == before


def test_each_says_what_it_is_and_how_many_may_run(server: Server, first: str) -> None:
    for each in deployments(server):
        assert "agent-r" in each["tags"]
        assert each["version"][:1].isdecimal() or len(each["version"]) >= 7  # 0.2.0; a commit
        assert each["description"]
        assert each["global_concurrency_limit"]["limit"] >= 1
        assert each["concurrency_options"]["collision_strategy"] in {"ENQUEUE", "CANCEL_NEW"}


def test_what_is_no_longer_in_the_file_goes_and_what_was_made_twice_is_one(
    server: Server, first: str
) -> None:
    folder = server.folder / "other"
    shutil.copytree(server.folder / "automations", folder / "automations")
    file = folder / "prefect.yaml"
    file.write_text(yaml.safe_dump({"deployments": [ONE]}))
    server.do("agent-r deploy --file other/prefect.yaml")
    assert len(automations(server)) == 3  # its trigger is one
    file.write_text(yaml.safe_dump({"deployments": [ONE | {"schedules": [], "triggers": []}]}))
    server.do("prefect automation create --from-file automations/no-heartbeat.yaml")
    said = server.do("agent-r deploy --file other/prefect.yaml")
    assert f"1 automation changed: {DEAD}" in said
    assert "1 deployment changed: collect/one" in said
    assert "1 schedule cleared: collect/one" in said
    assert sorted(automations(server)) == [NEVER, DEAD]
    assert server.get("/deployments/name/collect/one")["schedules"] == []


def deployed(path: Path, url: str = "http://127.0.0.1:9/api") -> int:
    with asking(url):
        return main(["deploy", "--file", str(path)])


BAD = {
    "nothing is there": (None, "cannot read .*: No such file"),
    "no YAML": ("deployments: [", "is not valid YAML: "),
    "a word": ("deployments", "is not what Prefect reads"),
    "a wrong schedule": ("deployments: [{name: a, entrypoint: b, schedules: 3}]", "schedules: "),
    "no deployments": ("name: mine", "has no deployments"),
    "no entrypoint": ("deployments: [{name: a}]", "deployment 1 has no entrypoint"),
    "no pool": ("deployments: [{name: a, entrypoint: b}]", "deployment a names no work_pool"),
}


@pytest.mark.parametrize(("text", "line"), BAD.values(), ids=BAD.keys())
def test_a_file_that_cannot_be_is_one_line(
    text: str | None, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "prefect.yaml"
    if text is not None:
        file.write_text(text)
    assert deployed(file) == 2
    [said] = capsys.readouterr().err.splitlines()
    assert re.search(line, said)


def test_no_server_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert deployed(ROOT / "prefect.yaml", f"http://127.0.0.1:{closed_port()}/api") == 2
    [said] = capsys.readouterr().err.splitlines()
    assert "begin one with `prefect server start`" in said


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"entrypoint": "flows.collect.nothing"}, "prefect deploy: "),
        ({"work_pool": {"name": "new", "type": "starship"}}, "choose one of .*docker.*process"),
        ({"work_pool": {"name": "local", "type": "docker"}}, "is of type 'process' on the server"),
    ],
    ids=["no such flow", "no such type", "another type"],
)
def test_what_prefect_refuses_is_one_line(
    server: Server, first: str, change: dict[str, Any], line: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    file = tmp_path / "prefect.yaml"
    file.write_text(yaml.safe_dump({"deployments": [ONE | change]}))
    assert deployed(file, f"{server.url}/api") == 2
    [said] = capsys.readouterr().err.splitlines()
    assert re.search(line, said)


SECRET = "sk-kept-by-prefect-0123456789"


@pytest.fixture
def blocks(server: Server, first: str) -> Iterator[None]:
    """Blocks as the UI makes them, on the server that was set up."""
    with asking(f"{server.url}/api"):
        if not server.post("/block_documents/filter", {}):
            asyncio.run(make_blocks())
        yield


async def make_blocks() -> None:
    endpoint = AgentREndpoint(base_url="http://gpu/v1", model="m", api_key=SecretStr(SECRET))
    await endpoint.asave("mine")
    await AgentREndpoint(base_url="http://gpu/v1", model="m", concurrency=4).asave("open")
    await HubDataset(repo="me/data", token=SecretStr(SECRET), private=False).asave("mine")
    await AgentRSettings(toml='trees = 7\n[endpoint]\nkind = "block"\nname = "mine"').asave("mine")
    await Secret(value="1e5").asave("plain")


def test_a_run_names_a_block_and_its_settings_say_where_the_secret_is(blocks: None) -> None:
    chosen = {"kind": "block", "name": "mine"}
    config = asyncio.run(
        asked("default", ["endpoint.attempts=2"], endpoint=chosen, repo="hub-dataset/mine")
    )
    assert isinstance(config.endpoint, OpenAIEndpoint)
    assert (config.endpoint.base_url, config.endpoint.attempts) == ("http://gpu/v1", 2)
    assert config.endpoint.api_key_block == "agent-r-endpoint/mine"
    assert (config.hub.repo, config.hub.private) == ("me/data", False)
    assert config.hub.token_block == "hub-dataset/mine"
    assert SECRET not in config.model_dump_json()
    assert asyncio.run(asked("agent-r-settings/mine")).endpoint.model_dump() == (
        config.endpoint.model_dump() | {"attempts": 6}
    )


def test_the_secret_comes_from_the_block_that_is_named(blocks: None) -> None:
    names = ("agent-r-endpoint/mine", "hub-dataset/mine", "plain")
    assert [asyncio.run(secret_of(name)) for name in names] == [SECRET, SECRET, "1e5"]
    headers = {"X-A": "Key block:plain", "X-B": "block:agent-r-endpoint/mine"}
    endpoint = OpenAIEndpoint(base_url="http://gpu/v1", model="m", headers=headers)
    held = {"block:plain": "1e5", "block:agent-r-endpoint/mine": SECRET}
    assert asyncio.run(held_of(endpoint)) == held


def test_no_key_of_the_environment_goes_to_an_endpoint_that_wants_none(
    blocks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    config = asyncio.run(asked("default", endpoint={"kind": "block", "name": "open"}))
    assert isinstance(config.endpoint, OpenAIEndpoint)
    assert asyncio.run(key_of(config.endpoint)) == "none"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("agent-r-endpoint/nobody", "no Prefect Agent-R Endpoint block 'nobody'"),
        ("agent-r-endpoint/", "which Agent-R Endpoint block"),
        ("agent-r-endpoint/open", "the Agent-R Endpoint block 'open' keeps no secret"),
        ("json/mine", "'json/mine' is no block with a secret: NAME of a Secret block, or agent-r-"),
        ("nobody", "no Prefect Secret block 'nobody'"),
    ],
)
def test_a_block_that_is_not_there_is_one_line(blocks: None, name: str, line: str) -> None:
    with pytest.raises(ConfigError, match=line):
        asyncio.run(secret_of(name))


def test_the_api_masks_what_the_database_has_encrypted(server: Server, blocks: None) -> None:
    assert SECRET not in str(server.post("/block_documents/filter", {}))
    for file in server.database.parent.iterdir():
        assert SECRET.encode() not in file.read_bytes()
