from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from agent_r.local_model import llama
from agent_r.local_model.engine import (
    Engine,
    EngineStopped,
    GenerationRequest,
    PromptTooLong,
    UnsupportedModel,
)
from agent_r.local_model.kv_cache import PrefixCache
from agent_r.local_model.text import Continuation
from tests.local_model.test_server import CONTEXT, make_tiny_llama


def prompt(length: int, seed: int = 0) -> tuple[int, ...]:
    rng = random.Random(seed)
    return tuple(rng.randrange(3, 300) for _ in range(length))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("tiny-llama")
    return folder, make_tiny_llama(folder)


@pytest.fixture(scope="module")
def engine(checkpoint: tuple[Path, Any]) -> Iterator[Engine]:
    running = Engine(checkpoint[0], cache_bytes=2**22, block=8)
    yield running
    running.close()


@torch.inference_mode()
def own_logits(model: llama.Llama, tokens: tuple[int, ...]) -> torch.Tensor:
    shape = model.shape

    def attend(_: int, query: torch.Tensor, kv: torch.Tensor) -> torch.Tensor:
        heads = kv.reshape(-1, shape.kv_heads, 2, shape.head_dim)
        return llama.causal_attention(query, heads, llama.causal_mask(0, len(query), len(query)))

    positions = torch.arange(len(tokens))
    return llama.logits(model, llama.hidden_states(model, torch.tensor(tokens), positions, attend))


@torch.inference_mode()
def reference_greedy(model: Any, tokens: tuple[int, ...], count: int) -> list[int]:
    written: list[int] = []
    while len(written) < count and written[-1:] != [1]:
        scores = model(torch.tensor([[*tokens, *written]])).logits[0, -1]
        written.append(int(scores.argmax()))
    return written


def test_the_logits_of_grouped_queries_match_transformers(
    checkpoint: tuple[Path, Any], engine: Engine
) -> None:
    tokens = prompt(CONTEXT)
    with torch.inference_mode():
        expected = checkpoint[1](torch.tensor([tokens])).logits[0]

    difference = (own_logits(engine.model, tokens) - expected).abs().max()

    assert expected.abs().max() > 1
    assert difference < 1e-4


def test_a_bf16_checkpoint_with_its_own_output_matrix_is_loaded(
    checkpoint: tuple[Path, Any], tmp_path: Path
) -> None:
    config = LlamaConfig(**checkpoint[1].config.to_dict() | {"tie_word_embeddings": False})
    with torch.random.fork_rng():
        LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(tmp_path)
    reference = LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    with torch.inference_mode():
        expected = reference(torch.tensor([prompt(40)])).logits[0]

    assert (own_logits(llama.load(tmp_path), prompt(40)) - expected).abs().max() < 1e-4


def test_greedy_text_matches_transformers_at_every_length_in_one_batch(
    checkpoint: tuple[Path, Any], engine: Engine
) -> None:
    prompts = [prompt(length, seed=length) for length in (1, 7, 8, 9, 120, 250, 300)]

    futures = [
        engine.submit(GenerationRequest(p, temperature=0.0, max_tokens=12, n=1 + len(p) % 3))
        for p in prompts
    ]

    for tokens, future in zip(prompts, futures, strict=True):
        expected = reference_greedy(checkpoint[1], tokens, 12)
        assert [list(s.tokens) for s in future.result().samples] == [expected] * (
            1 + len(tokens) % 3
        )


def test_a_prompt_that_extends_an_answer_finds_its_own_prompt_in_the_cache(
    checkpoint: tuple[Path, Any], engine: Engine
) -> None:
    first = prompt(41, seed=77)
    answer = engine.submit(GenerationRequest(first, n=3, seed=1, max_tokens=20)).result()
    child = first + answer.samples[0].tokens + prompt(5, seed=78)

    reply = engine.submit(GenerationRequest(child, temperature=0.0, max_tokens=9)).result()

    assert reply.cached_tokens == 40
    assert list(reply.samples[0].tokens) == reference_greedy(checkpoint[1], child, 9)


def test_the_least_recently_used_block_goes_and_a_prefix_loses_its_end_first(
    engine: Engine,
) -> None:
    shape = engine.model.shape
    cache = PrefixCache(shape, limit_bytes=4 * shape.layers * 2 * shape.kv_width * 4, block=2)

    def kv(start: int, end: int) -> torch.Tensor:
        return torch.arange(start, end).float().expand(shape.layers, shape.kv_width, -1).mT

    cache.write((1, 2, 3, 4, 5, 6), kv)
    cache.write((7, 8, 9, 10), kv)
    row = torch.zeros(shape.layers, 6, shape.kv_width)

    assert cache.read((1, 2, 3, 4, 5, 6, 0), row) == 4
    assert row[1, :, 0].tolist() == [0, 1, 2, 3, 0, 0]
    assert cache.read((7, 8, 9, 10, 0), row) == 4


def test_samples_differ_and_a_seed_repeats_them_in_a_crowd(engine: Engine) -> None:
    request = GenerationRequest(prompt(30, seed=9), n=5, seed=42, top_p=0.95, max_tokens=12)
    alone = engine.submit(request).result()

    others = [
        engine.submit(GenerationRequest(prompt(20 + i, seed=i), n=1 + i % 4, max_tokens=3 + i))
        for i in range(20)
    ]
    crowded = engine.submit(request).result()

    assert len({sample.text for sample in alone.samples}) == 5
    assert crowded.samples == alone.samples
    assert all(len(other.result().samples) == 1 + i % 4 for i, other in enumerate(others))


def test_a_sample_does_not_depend_on_how_many_are_asked_for(engine: Engine) -> None:
    few, many = (
        engine.submit(GenerationRequest(prompt(30), n=n, seed=7, max_tokens=8)).result().samples
        for n in (2, 20)
    )

    assert len({sample.tokens for sample in many}) > 15
    assert [sample.tokens for sample in few] == [sample.tokens for sample in many[:2]]


def test_sampling_follows_the_model_s_probabilities(
    checkpoint: tuple[Path, Any], engine: Engine
) -> None:
    with torch.inference_mode():
        scores = checkpoint[1](torch.tensor([prompt(10)])).logits[0, -1]
    best = int(scores.argmax())
    chance = float(torch.softmax(scores / 0.7, 0)[best])

    drawn = [
        sample.tokens[0]
        for seed in range(10)
        for sample in engine.submit(
            GenerationRequest(prompt(10), n=100, temperature=0.7, seed=seed, max_tokens=1)
        )
        .result()
        .samples
    ]

    assert drawn.count(best) / 1000 == pytest.approx(chance, abs=0.06)


def test_top_p_zero_is_greedy(checkpoint: tuple[Path, Any], engine: Engine) -> None:
    request = GenerationRequest(prompt(25), top_p=0.0, seed=3, max_tokens=8)

    tokens = list(engine.submit(request).result().samples[0].tokens)

    assert tokens == reference_greedy(checkpoint[1], prompt(25), 8)


def test_text_ends_before_the_first_stop_string_and_holds_back_its_beginning(
    engine: Engine,
) -> None:
    ids = engine.text.encode("craft oak planks using oak logs")
    text = Continuation(engine.text, ("planks us", "zzz"))
    pieces: list[str] = []
    for token in ids:
        if stopped := text.push(token):
            break
        pieces.append(text.new_text(final=False))
    pieces.append(text.new_text(final=True))

    assert stopped
    assert text.text == "".join(pieces) == "craft oak "


def test_a_long_conversation_is_tokenised_as_if_it_were_new(engine: Engine) -> None:
    messages = [{"role": role, "content": f"get {role} oak é\n"} for role in ("user", "assistant")]
    text = engine.text._template.apply_chat_template(
        messages * 4, tokenize=False, add_generation_prompt=True
    )

    whole = engine.text.tokenizer.encode(text, add_special_tokens=False).ids

    assert engine.text.encode_chat(messages * 4) == whole


def test_max_tokens_is_clamped_to_what_the_context_has_left(engine: Engine) -> None:
    request = GenerationRequest(prompt(CONTEXT - 4), n=3, temperature=0.0, max_tokens=100)

    sample = engine.submit(request).result().samples[0]

    assert sample.finish_reason == "length"
    assert len(sample.tokens) == 4


def test_a_prompt_that_fills_the_context_is_refused(engine: Engine) -> None:
    with pytest.raises(PromptTooLong, match=f"{CONTEXT} tokens, and the prompt has {CONTEXT}"):
        engine.submit(GenerationRequest(prompt(CONTEXT)))


def test_a_failing_listener_fails_its_own_request_only(engine: Engine) -> None:
    def broken(_: int, __: str) -> None:
        raise OSError("the listener is gone")

    bad = engine.submit(GenerationRequest(prompt(20), n=2, max_tokens=9), on_text=broken)
    good = engine.submit(GenerationRequest(prompt(20), n=2, max_tokens=9))

    assert len(good.result().samples) == 2
    with pytest.raises(OSError, match="the listener is gone"):
        bad.result()


def test_a_cancelled_request_gives_its_rows_back(engine: Engine) -> None:
    futures = [engine.submit(GenerationRequest(prompt(20), n=128)) for _ in range(4)]
    for future in futures:
        future.cancel()

    assert engine.submit(GenerationRequest(prompt(9), max_tokens=2)).result().samples
    assert engine._batch.rows == []


def test_closing_fails_what_is_still_running(checkpoint: tuple[Path, Any]) -> None:
    running = Engine(checkpoint[0])
    future = running.submit(GenerationRequest(prompt(20), n=128))
    running.close()

    with pytest.raises(EngineStopped):
        future.result(timeout=5)


def test_a_model_of_another_kind_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')

    with pytest.raises(UnsupportedModel, match="model_type is 'gpt2'; only Llama"):
        Engine(tmp_path)
