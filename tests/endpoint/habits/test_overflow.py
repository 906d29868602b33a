"""A conversation that is too long ends an episode, in any wording; too long a reply shrinks.

The wordings are those of real servers, found where the comments say; a year is that of the thread.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from agent_r.endpoint.habits.overflow import FEWEST, fewer_tokens, is_overflow
from agent_r.errors import ContextOverflow
from agent_r.reading.reply import CONTEXT_FULL
from tests.support.faulty_endpoint import PARAMS, Fault, Received, bench, refusal, texts

# A reply of 256 tokens was asked for; what the server says; the tokens that are left, if any.
SAID: dict[str, tuple[int, str, int | None]] = {
    # vllm/entrypoints/openai/serving_engine.py, to 0.8
    "vLLM": (
        400,
        "This model's maximum context length is 8192 tokens. However, you requested 8292 tokens "
        "(8036 in the messages, 256 in the completion). Please reduce the length of the messages "
        "or completion.",
        156,
    ),
    # vllm 0.9: serving_engine.py, _validate_input
    "vLLM 0.9": (
        400,
        "'max_tokens' or 'max_completion_tokens' is too large: 256. This model's maximum context "
        "length is 8192 tokens and your request has 8036 input tokens (256 > 8192 - 8036).",
        156,
    ),
    # vllm-project/vllm, 2026: the prompt is counted no further than it has to be
    "vLLM, which counts no further": (
        400,
        "This model's maximum context length is 8192 tokens. However, you requested 256 output "
        "tokens and your prompt contains at least 7937 input tokens, for a total of at least 8193 "
        "tokens.",
        128,
    ),
    # vllm/sampling_params.py
    "vLLM, nothing left": (400, "max_tokens must be at least 1, got -7584.", None),
    "vLLM, at its engine": (
        500,
        "The decoder prompt (length 9000) is longer than the maximum model length of 8192. Make "
        "sure that `max_model_len` is no smaller than the number of text tokens.",
        None,
    ),
    # sgl-project/sglang: managers/tokenizer_manager.py
    "SGLang": (
        400,
        "Requested token count exceeds the model's maximum context length of 8192 tokens. You "
        "requested a total of 8292 tokens: 8036 tokens from the input messages and 256 tokens for "
        "the completion.",
        156,
    ),
    "SGLang, the prompt": (
        400,
        "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
        None,
    ),
    # ggml-org/llama.cpp: tools/server/server.cpp
    "llama.cpp": (
        400,
        "request (9000 tokens) exceeds the available context size (8192 tokens), try increasing it",
        None,
    ),
    "llama.cpp, as it generates": (500, "Context size has been exceeded.", 64),
    # huggingface/text-generation-inference: router/src/validation.rs
    "TGI": (
        422,
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8192. Given: 8036 "
        "`inputs` tokens and 256 `max_new_tokens`",
        156,
    ),
    "TGI, the prompt": (422, "`inputs` must have less than 4095 tokens. Given: 5000", None),
    # NVIDIA/TensorRT-LLM: executor, and triton's backend
    "TensorRT-LLM": (500, "Prompt length (9000) exceeds maximum input length (8192).", None),
    # lmstudio-ai/lmstudio-bug-tracker, 2025
    "LM Studio": (
        400,
        "Trying to keep the first 5114 tokens when context the overflows. However, the model is "
        "loaded with context length of only 4096 tokens, which is not enough.",
        None,
    ),
    "LM Studio, older": (
        500,
        "The number of tokens to keep from the initial prompt is greater than the context length.",
        64,
    ),
    # docs.anthropic.com: errors of the Messages API, through its compatible endpoint
    "Anthropic": (400, "prompt is too long: 212983 tokens > 200000 maximum", None),
    "Anthropic, both": (
        400,
        "input length and `max_tokens` exceed context limit: 8036 + 256 > 8192, decrease input "
        "length or `max_tokens` and try again",
        156,
    ),
    "Gemini": (
        400,
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        None,
    ),
    "xAI": (
        400,
        "This model's maximum prompt length is 8192 but the request contains 9000 tokens",
        None,
    ),
    "OpenRouter": (
        400,
        "This endpoint's maximum context length is 8192 tokens. However, you requested about 8292 "
        "tokens (8036 of text input, 256 in the output).",
        156,
    ),
    "Mistral": (
        400,
        "Prompt contains 39000 tokens and 0 draft tokens, too large for model with 32768 maximum "
        "context length",
        None,
    ),
    "Cerebras": (
        400,
        "Please reduce the length of the messages or completion. Current length is 8301 while "
        "limit is 8192",
        147,
    ),
    "Moonshot": (400, "Invalid request: Your request exceeded model token limit: 8192", 64),
    "DashScope": (400, "Range of input length should be [1, 30720]", None),
    "Z.AI": (400, "Prompt exceeds max length", 64),
    "MiniMax": (400, "invalid params, context window exceeds limit", 64),
    "Cohere": (
        400,
        "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000.",
        None,
    ),
    "Bedrock": (400, "Input is too long for requested model.", 64),
    "GitHub Models": (
        413,
        "Request body too large for gpt-4o model. Max size: 8000 tokens.",
        64,
    ),
    "Copilot": (400, "prompt token count of 140000 exceeds the limit of 128000", None),
    # No time is long enough for a request that is larger than a minute's tokens.
    "Groq": (
        413,
        "Request too large for model `m` in organization `o` on tokens per minute (TPM): Limit "
        "6000, Requested 7000, please reduce your message size and try again.",
        None,
    ),
    "OpenAI, a minute's tokens": (
        429,
        "Request too large for gpt-4o in organization o on tokens per min (TPM): Limit 30000, "
        "Requested 30100. The input or output tokens must be reduced in order to run successfully.",
        156,
    ),
    "LiteLLM": (400, "litellm.ContextWindowExceededError: OpenAIException", 64),
    "never seen": (400, "Your conversation has more than 4096 tokens", 64),
    "never seen, at another status": (500, "Sequence longer than max_seq_len 4096", 64),
}


@pytest.mark.parametrize(("status", "words", "left"), SAID.values(), ids=SAID)
def test_an_overflow_is_told_by_its_words_and_what_is_left_by_its_numbers(
    status: int, words: str, left: int | None
) -> None:
    assert is_overflow(words, status=status)
    assert fewer_tokens(words, 256) == left


OTHERS = [
    (400, "Invalid 'stop[0]': string too long."),
    (400, "'temperature' must be at most 2"),
    (400, "Content Exists Risk"),
    (400, "The request violates our usage policy"),
    (400, "The request has more than one system message"),
    (400, "max_tokens is too large: 256. This model supports at most 128 completion tokens"),
    (400, "`max_tokens` must be less than or equal to `128`, the maximum value for `max_tokens` is "
          "less than the `context_window` for this model"),  # Groq
    (429, "Rate limit reached on tokens per min (TPM): Limit 10000, Used 9000, Requested 2000."),
    (429, "Too many tokens, please wait before trying again."),  # Bedrock
    (429, "Number of request tokens has exceeded your per-minute rate limit"),  # Anthropic
    (503, "too many tokens in the queue"),
    (500, "CUDA out of memory"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "words"), OTHERS)
def test_other_limits_are_no_overflow(status: int, words: str) -> None:
    assert not is_overflow(words, status=status)


def counting(limit: int, prompt: int) -> Any:
    """vLLM's refusal by its own count."""

    def fault(received: Received) -> Fault | None:
        asked = received.body["max_tokens"]
        if prompt + asked <= limit:
            return None
        return refusal(
            400,
            f"This model's maximum context length is {limit} tokens. However, you requested "
            f"{prompt + asked} tokens ({prompt} in the messages, {asked} in the completion).",
        )

    return fault


async def test_a_reply_shrinks_to_what_is_left_and_the_next_is_asked_for_whole() -> None:
    async with bench(counting(8192, 8036)) as (client, server):
        assert texts(await client.ask(n=2)) == ["reply 7", "reply 8"]
        await client.ask()
    assert [r.body["max_tokens"] for r in server.completions] == [256, 156, 256, 156]


async def test_a_reply_that_what_is_left_was_not_enough_for_says_so() -> None:
    too_long = counting(8192, 8036)

    def fault(received: Received) -> Fault | None:
        return too_long(received) or Fault(finish_reason="length")

    async with bench(fault) as (client, _):
        (shrunk,) = await client.ask()
        (short,) = await client.ask(params=replace(PARAMS, max_tokens=100))
    assert (shrunk.finish_reason, short.finish_reason) == (CONTEXT_FULL, "length")


async def test_a_reply_too_short_for_an_action_is_not_asked_for() -> None:
    async with bench(counting(8192, 8192 - FEWEST + 1)) as (client, server):
        with pytest.raises(ContextOverflow) as caught:
            await client.ask()
    assert len(server.completions) == 1 and caught.value.status == 400


async def test_a_server_that_counts_no_further_than_it_must_is_asked_a_few_times() -> None:
    def fault(received: Received) -> Fault | None:
        asked = received.body["max_tokens"]
        words = (
            f"This model's maximum context length is 8192 tokens. However, you requested {asked} "
            f"output tokens and your prompt contains at least {8193 - asked} input tokens"
        )
        return refusal(400, words) if asked > 40 else None

    async with bench(fault) as (client, server):
        await client.ask()
    assert [r.body["max_tokens"] for r in server.completions] == [256, 128, 64, 32]


@pytest.mark.parametrize("status", [400, 413, 422, 500])
async def test_no_try_is_made_again_and_nobody_is_called_down(status: int) -> None:
    said = refusal(status, "This model's maximum prompt length is 8192 but it contains 9000 tokens")
    async with bench(lambda _: said) as (client, server):
        for _ in range(12):
            with pytest.raises(ContextOverflow):
                await client.ask()
    assert len(server.completions) == 12 and client.waits == []


@pytest.mark.parametrize(
    "inside",
    [
        {"error": {"code": 400, "message": "maximum context length is 8192, 9000 requested"}},
        {"error": "Input is too long: 9000 tokens > 8192"},
    ],
)
async def test_an_overflow_with_the_status_of_a_reply_is_one(inside: dict[str, Any]) -> None:
    async with bench(lambda _: Fault(body=json.dumps(inside))) as (client, server):
        with pytest.raises(ContextOverflow):
            await client.ask()
    assert len(server.completions) == 1


@pytest.mark.parametrize(
    "fault",
    [
        refusal(400, "no", code="context_length_exceeded"),
        Fault(
            400, '{"error": {"code": 400, "message": "no", "type": "exceed_context_size_error"}}'
        ),
        Fault(413, '{"detail": "Input is too long for the requested model."}'),
        refusal(400, "BadRequestError: " * 60 + "maximum context length is 2048 tokens."),
    ],
    ids=["a code", "a type", "FastAPI", "a router's words around it"],
)
async def test_where_no_number_is_said_a_quarter_of_the_reply_is_tried_once(fault: Fault) -> None:
    async with bench(lambda _: fault) as (client, server):
        with pytest.raises(ContextOverflow) as caught:
            await client.ask(n=2)
    assert caught.value.status == fault.status
    assert [r.body["max_tokens"] for r in server.completions] == [256, 64]
