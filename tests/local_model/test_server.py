from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.support.waiting import until

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SERVER = [sys.executable, "-m", "agent_r.local_model.server"]
CONTEXT = 320
ASK: Any = [{"role": "user", "content": "get oak logs"}]


TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tiny_llama(folder: Path) -> Any:
    """A random Llama whose four query heads share two key heads, with a tiny byte-level BPE."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "<|im_end|>", "<|im_start|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(["get oak logs", "craft oak planks using oak logs"] * 9, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token="<|im_end|>", chat_template=TEMPLATE
    )
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        initializer_range=0.3,
        eos_token_id=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:  # fresh norms are all ones, which would hide a norm left out
                weight.copy_(torch.linspace(0.5, 1.5, len(weight)))
    model.save_pretrained(folder)
    return model


def wait_for(path: Path, process: subprocess.Popen[Any]) -> dict[str, Any]:
    def ready() -> bool:
        assert process.poll() is None, "the server ended before it was ready"
        return path.exists()

    until(ready, every_s=0.02)
    facts: dict[str, Any] = json.loads(path.read_text())
    return facts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served")
    make_tiny_llama(path)
    return path


@pytest.fixture(scope="module")
def base_url(folder: Path) -> Iterator[str]:
    """A server whose parent is a process of its own, which is killed at the end."""
    ready = folder / "ready.json"
    options = ["--model", "tiny", "--port", "0", "--ready-file", str(ready), "--exit-with-parent"]
    command = [*SERVER, str(folder), *options]
    called = f"subprocess.call({command!r} + [str(os.getpid())])"
    launcher = f"import os, subprocess; raise SystemExit({called})"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", launcher], stdout=pipe, text=True) as parent:
        facts = wait_for(ready, parent)
        assert parent.stdout is not None
        line = parent.stdout.readline()
        assert line == f"agent-r serve: tiny on {facts['base_url']}\n"
        yield str(facts["base_url"])
        parent.send_signal(signal.SIGKILL)


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0) as made:
        yield made


def test_health_and_the_list_of_models_answer(base_url: str, client: Any) -> None:
    assert httpx.get(base_url.removesuffix("/v1") + "/health").json() == {"status": "ok"}
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "agent-r"


def test_n_choices_come_with_usage_and_reasons(client: Any) -> None:
    reply = client.chat.completions.create(
        model="tiny", messages=ASK, n=3, max_tokens=5, seed=1, temperature=1.5
    )

    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in reply.choices}) == 3
    assert {choice.finish_reason for choice in reply.choices} <= {"stop", "length"}
    assert 3 <= reply.usage.completion_tokens <= 15
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_a_longer_prompt_finds_the_shorter_one_in_the_cache(client: Any) -> None:
    def cached(messages: Any) -> Any:
        reply = client.chat.completions.create(model="tiny", messages=messages, max_tokens=1)
        return reply.usage.prompt_tokens_details.cached_tokens

    long = [{"role": "user", "content": "craft oak planks using oak logs " * 5}]
    longer = [*long, {"role": "assistant", "content": "get"}, *ASK]

    assert cached(long) < 32 <= cached(longer) < cached(longer)


def test_a_stop_string_is_not_part_of_the_text(client: Any) -> None:
    def text(**stop: object) -> Any:
        reply = client.chat.completions.create(
            model="tiny", messages=ASK, temperature=0, max_completion_tokens=30, **stop
        )
        return reply.choices[0].message.content

    whole = text()
    stop = whole[4:6]
    assert text(stop=stop) == text(stop=["\x00", stop]) == whole[: whole.index(stop)]


def test_logprobs_name_the_chosen_token_and_the_best_ones(client: Any) -> None:
    reply = client.chat.completions.create(
        model="tiny", messages=ASK, temperature=0, max_tokens=4, logprobs=True, top_logprobs=5
    )

    first = reply.choices[0].logprobs.content[0]
    assert first.token == first.top_logprobs[0].token
    assert first.logprob == first.top_logprobs[0].logprob < 0
    assert len(first.top_logprobs) == 5
    assert sum(2.718281828**best.logprob for best in first.top_logprobs) <= 1


def test_a_stream_gives_the_same_texts_as_a_plain_reply(client: Any) -> None:
    options = {"model": "tiny", "messages": ASK, "n": 2, "max_tokens": 12, "seed": 4}
    plain = client.chat.completions.create(**options)

    chunks = list(
        client.chat.completions.create(
            **options, stream=True, stream_options={"include_usage": True}
        )
    )

    texts = {0: "", 1: ""}
    for choice in [choice for chunk in chunks for choice in chunk.choices]:
        texts[choice.index] += choice.delta.content or ""
    assert texts == {choice.index: choice.message.content for choice in plain.choices}
    assert chunks[-1].usage.completion_tokens == plain.usage.completion_tokens
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_ends_with_done(base_url: str) -> None:
    body = {"model": "tiny", "messages": ASK, "stream": True, "max_tokens": 3}

    assert httpx.post(f"{base_url}/chat/completions", json=body).text.endswith("data: [DONE]\n\n")


def test_too_long_a_prompt_is_a_400_with_the_code_that_clients_look_for(client: Any) -> None:
    messages = [{"role": "user", "content": "planks " * CONTEXT}]

    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model="tiny", messages=messages, stream=stream)

        assert caught.value.code == "context_length_exceeded"


def test_an_unknown_model_is_a_404(client: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="'huge' does not exist") as caught:
        client.chat.completions.create(model="huge", messages=ASK)

    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"messages": []}, "messages: List should have at least 1 item"),
        ({"n": 0}, "n: Input should be greater than or equal to 1"),
        ({"top_logprobs": 3}, "top_logprobs needs logprobs to be true"),
        ({"tools": [{"type": "function"}]}, "tools is not supported by this server"),
        ({"stop": ""}, "a stop string must not be empty"),
    ],
)
def test_a_bad_body_is_explained_in_one_line(
    base_url: str, change: dict[str, object], message: str
) -> None:
    body = {"model": "tiny", "messages": ASK} | change
    reply = httpx.post(f"{base_url}/chat/completions", json=body)
    error = reply.json()["error"]

    assert reply.status_code == 400
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith(message)
    assert "\n" not in error["message"]


def test_a_body_that_is_no_json_and_an_unknown_route_have_the_same_shape(base_url: str) -> None:
    broken = httpx.post(f"{base_url}/chat/completions", content=b"{")
    missing = httpx.get(f"{base_url}/nothing")

    assert broken.status_code == 400
    assert missing.status_code == 404
    assert {"message", "type", "param", "code"} == set(broken.json()["error"])
    assert missing.json()["error"]["message"] == "Not Found: GET /v1/nothing"


def test_many_clients_at_once_all_get_their_choices(client: Any) -> None:
    def ask(number: int) -> int:
        messages = [{"role": "user", "content": "oak " * (number % 9 + 1)}]
        reply = client.chat.completions.create(
            model="tiny", messages=messages, n=number % 3 + 1, max_tokens=10
        )
        return len(reply.choices)

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(48))) == [number % 3 + 1 for number in range(48)]


@pytest.mark.parametrize("stream", [False, True])
def test_clients_that_leave_do_not_hold_the_server_up(
    base_url: str, client: Any, stream: bool
) -> None:
    body = {"model": "tiny", "messages": ASK, "n": 128, "stream": stream}
    for _ in range(12):  # together about ten seconds of work
        with (
            contextlib.suppress(httpx.ReadTimeout),
            httpx.stream("POST", f"{base_url}/chat/completions", json=body, timeout=0.05) as reply,
        ):
            next(reply.iter_lines())

    before = time.monotonic()
    client.chat.completions.create(model="tiny", messages=ASK, max_tokens=1)

    assert time.monotonic() - before < 2


def test_a_folder_without_a_llama_ends_the_command_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')

    ended = subprocess.run(
        [*SERVER, str(tmp_path), "--model", "x"], capture_output=True, text=True, check=False
    )

    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "model_type is 'bert'" in ended.stderr


def test_the_server_ends_when_its_parent_is_killed(folder: Path, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    options = ["--model", "tiny", "--ready-file", str(ready), "--exit-with-parent"]
    command = [*SERVER, str(folder), *options]
    launcher = f"import os, subprocess; subprocess.call({command!r} + [str(os.getpid())])"
    with subprocess.Popen([sys.executable, "-c", launcher], stdout=subprocess.DEVNULL) as parent:
        url = str(wait_for(ready, parent)["base_url"]).removesuffix("/v1") + "/health"
        assert httpx.get(url).status_code == 200
        parent.kill()

    def gone() -> bool:
        try:
            httpx.get(url)
        except httpx.TransportError:
            return True
        return False

    until(gone)


def test_a_server_whose_parent_ended_before_it_was_up_ends_as_well(folder: Path) -> None:
    orphan = [*SERVER, str(folder), "--model", "tiny", "--exit-with-parent", "1"]
    assert subprocess.run(orphan, capture_output=True, timeout=60, check=False).returncode == 1
