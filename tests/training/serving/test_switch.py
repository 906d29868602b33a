"""Facts about serving what was trained; vLLM and SGLang are servers on loopback."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from agent_r.actor import Message
from agent_r.endpoint.client import EndpointActor
from agent_r.errors import TrainerError, TrainerUnavailable
from agent_r.settings import OpenAIEndpoint
from agent_r.training.backends.train_job import REPORT, TrainedModel, TrainReport
from agent_r.training.serving.adapter_servers import AdapterServer
from agent_r.training.serving.names import served_name
from agent_r.training.serving.replies import Switched, replies_of
from agent_r.training.serving.switch import switch
from tests.support.adapter_server import BASE, ServerOfAdapters
from tests.support.ports import closed_port

KINDS = ("vllm", "sglang")
PROMPTS = [[Message("user", "Goal: a bowl.")]]


def adapter(folder: Path, weights: str, **model: Any) -> Path:
    """A folder as a job leaves it whose model is a LoRA adapter."""
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"r": model.pop("rank", 8)}))
    (folder / "adapter_model.safetensors").write_text(weights)
    described = TrainedModel(**{"served": "adapter", "base": BASE} | model)
    report = TrainReport(digest=weights.ljust(16, "0"), rows=1, seconds=1, model=described)
    (folder / REPORT).write_text(report.model_dump_json())
    return folder


def endpoint_of(server: ServerOfAdapters, folder: Path | None, **serving: Any) -> OpenAIEndpoint:
    """The endpoint that acts once a folder's model is served."""
    plain = OpenAIEndpoint.model_validate(
        {"base_url": server.base_url, "model": BASE, "serving": {"by": server.kind} | serving}
    )
    return plain.model_copy(update={"model": served_name(plain, folder) or BASE})


async def switched(server: ServerOfAdapters, folder: Path, key: str = "", **serving: Any) -> None:
    endpoint = endpoint_of(server, folder, **serving)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    await switch(endpoint, folder, AdapterServer(server.kind, server.base_url, headers))


async def replies(server: ServerOfAdapters, folder: Path | None) -> Any:
    async with EndpointActor(endpoint_of(server, folder), api_key="none") as actor:
        await actor.check()
        return await replies_of(actor, PROMPTS)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_adapter_is_loaded_once_and_answers_with_a_voice_of_its_own(
    kind: str, tmp_path: Path
) -> None:
    first, second = (adapter(tmp_path / name, name) for name in ("one", "two"))
    with ServerOfAdapters(kind) as server:
        for folder in (first, second, second):
            await switched(server, folder)
        said = [await replies(server, folder) for folder in (None, first, second)]
    assert server.loads == ["agent-r-one00000", "agent-r-two00000"]
    assert len({each.digest for each in said}) == 3 and all(each.steady for each in said)
    assert said[1].model == ("tiny:" if kind == "sglang" else "") + "agent-r-one00000"
    assert Switched(by=kind, before=said[0], after=said[1]).doubts() == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_goes_on_as_before_is_found_out(kind: str, tmp_path: Path) -> None:
    folder = adapter(tmp_path / "one", "one")
    with ServerOfAdapters(kind, deaf=True) as server:
        await switched(server, folder)
        both = [await replies(server, which) for which in (None, folder)]
    (doubt,) = Switched(by=kind, before=both[0], after=both[1]).doubts()
    assert "the server still serves the model of before" in doubt


async def test_a_name_of_every_iteration_is_loaded_anew_where_it_has_another_path(
    tmp_path: Path,
) -> None:
    first, second = (adapter(tmp_path / name, name) for name in ("one", "two"))
    with ServerOfAdapters() as server:
        known = AdapterServer("vllm", server.base_url)
        for folder in (first, second, second):
            await known.load("my-model-1", str(folder))
        assert server.adapters == {"my-model-1": str(second)}
    assert len(server.loads) == 2


async def test_where_there_is_no_room_an_adapter_of_ours_makes_place(tmp_path: Path) -> None:
    folders = [adapter(tmp_path / name, name) for name in ("one", "two", "six")]
    with ServerOfAdapters("sglang", room=2) as server:
        server.adapters["of somebody else"] = str(folders[0])
        for folder in folders:
            await switched(server, folder)
        assert [*server.adapters] == ["of somebody else", "agent-r-six00000"]


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "not enabled": ({"updates": False}, {}, "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"),
    "not seen": ({}, {"path": "/mnt/{name}"}, "does not see /mnt/one; endpoint.serving.path"),
    "rank": ({"rank": 4}, {}, "start it with a --max-lora-rank"),
    "no room": ({"room": 0}, {}, "the maximum number of LoRA adapters"),
    "key": ({"key": "sk-right"}, {}, "the key may not"),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_what_is_wrong_is_one_line_that_says_what_to_change(
    wrong: str, tmp_path: Path
) -> None:
    table, serving, words = WRONG[wrong]
    with ServerOfAdapters(**table) as server, pytest.raises(TrainerError) as failure:
        await switched(server, adapter(tmp_path / "one", "one"), "sk-wrong", **serving)
    assert words in str(failure.value) and "\n" not in str(failure.value)


async def test_a_whole_model_is_no_adapter_and_a_server_may_be_down(tmp_path: Path) -> None:
    whole = adapter(tmp_path / "one", "one", served="folder")
    with ServerOfAdapters() as server:
        with pytest.raises(TrainerError, match=r"train\.trl\.lora\.merge = false"):
            await switched(server, whole)
        endpoint = endpoint_of(server, whole)
    nowhere = f"http://127.0.0.1:{closed_port()}/v1"
    with pytest.raises(TrainerUnavailable, match=nowhere.removesuffix("/v1")):
        await AdapterServer("vllm", nowhere).load("a", "b")
    assert endpoint.model == "agent-r-one00000"


async def test_a_command_is_run_where_the_server_lacks_the_model_and_waited_for(
    tmp_path: Path,
) -> None:
    folder = adapter(tmp_path / "one", "one", served="folder")
    note = tmp_path / "ran"
    words = "import sys; open(sys.argv[1], 'a').write(' '.join(sys.argv[2:]) + chr(10))"
    command = f'{sys.executable} -c "{words}" {note} {{folder}} {{model}}'
    with ServerOfAdapters() as server:
        table = {"by": "command", "command": command, "wait_s": 0.3}
        plain = OpenAIEndpoint.model_validate(
            {"base_url": server.base_url, "model": "mine-{iteration}", "serving": table}
        )
        endpoint = plain.model_copy(update={"model": "mine-1"})
        known = AdapterServer("command", server.base_url)
        with pytest.raises(TrainerError, match="does not serve mine-1 within"):
            await switch(endpoint, folder, known)
        assert note.read_text() == f"{folder} mine-1\n"
        server.adapters["mine-1"] = str(folder)
        await switch(endpoint, folder, known)
        assert note.read_text() == f"{folder} mine-1\n"  # it is there: nothing is restarted
    failing = {"by": "command", "command": f"{sys.executable} -c exit(3)"}
    endpoint = OpenAIEndpoint.model_validate(
        {"base_url": known.base_url, "model": "other", "serving": failing}
    )
    with pytest.raises(TrainerError, match=r"has failed \(3\)"):
        await switch(endpoint, folder, known)
