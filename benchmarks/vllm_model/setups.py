"""Servers that are simulated: the constants of each, and where they are published."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Setup:
    """One model on one GPU under vLLM; times in microseconds.

    An iteration takes `step + prefill * (prompt tokens not cached) + decode * (sequences that
    decode) + kv * (tokens of their KV caches)`; a request also takes `arrival + letter * (prompt
    tokens)` before it is queued and `reply * (tokens)` after its last, on the CPU, beside others.
    """

    step: float
    prefill: float
    decode: float
    kv: float
    blocks: int  # of 16 tokens
    arrival: float = 0.0
    letter: float = 0.0
    reply: float = 0.0
    max_num_seqs: int = 256  # vLLM's default but for the newest on GPUs of 70 GiB and more
    max_num_batched_tokens: int = 2048  # likewise


# step, prefill, decode are BLIS's beta, arrival, letter, reply its alpha, blocks its
# total_kv_blocks: defaults.yaml of https://github.com/inference-sim/inference-sim for
# vllm-openai:v0.8.4 and one GPU. kv is a token's KV bytes (two of each of layers * KV heads *
# head size * 2 bytes) over the data sheet's memory bandwidth; of what the fit of `decode` already
# holds of it, so much is counted twice.
H100_8B = Setup(
    step=5752.7, prefill=17.25, decode=6.00, kv=131_072 / 3.35e6, blocks=29_205,
    arrival=232.5, letter=1.75, reply=3357.4,
)  # fmt: skip
A100_8B = Setup(
    step=16_441.5, prefill=47.84, decode=18.21, kv=131_072 / 2.04e6, blocks=29_205,
    arrival=7739.7, letter=2.31, reply=6276.2,
)  # fmt: skip
# CodeLlama-34b fills an H100 but for 40,592 tokens.
H100_34B = Setup(
    step=26_595.3, prefill=96.28, decode=56.59, kv=196_608 / 3.35e6, blocks=2537,
    arrival=13_450.5, letter=0.04,
)  # fmt: skip
# 8B on an RTX 3090: the blocks are a log's (https://github.com/vllm-project/vllm/issues/10517);
# the times are no fit, but a roofline of the data sheet: 16.06 GB of weights at 936 GB/s, and two
# operations a weight and token at half of 71 TFLOP/s.
RTX3090_8B = Setup(step=17_160, prefill=452, decode=20, kv=131_072 / 0.936e6, blocks=1952)

SETUPS = {
    "h100-8b": H100_8B,
    "a100-8b": A100_8B,
    "h100-34b": H100_34B,  # little KV cache for its speed
    "rtx3090-8b": RTX3090_8B,  # still less
    "h100-8b-16": replace(H100_8B, max_num_seqs=16),  # somebody set it low
    "h100-8b-1024": replace(H100_8B, max_num_seqs=1024, max_num_batched_tokens=8192),
}
