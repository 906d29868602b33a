"""A model of how vLLM schedules: what a server's time and memory do to many requests at once.

`engine` is the scheduler of vLLM V1 in its documented rules: continuous batching up to
`max_num_seqs` sequences and `max_num_batched_tokens` tokens, decodes before prefills, prefills in
chunks, KV blocks of 16 tokens, prefix caching (blocks by the content up to them, the least
recently freed evicted first), and preemption of the last admitted, recomputed later
(https://docs.vllm.ai/en/stable/configuration/optimization/, vllm/v1/core/sched/scheduler.py).
How long one iteration takes is the published regression of BLIS, fitted to vLLM v0.8.4 on A100s
and H100s (https://github.com/inference-sim/inference-sim, defaults.yaml and blis.md); `setups`
has the constants and where each comes from. Vidur (https://arxiv.org/abs/2405.05465) simulates the
same loop with a profile of every operator.

Left out: what is not linear in a batch's tokens (CUDA graphs' padded sizes, attention over long
prompts), the CPU's share of an iteration growing with the batch, tensor parallelism but for its
fitted constants, speculative decoding, swapping to the CPU, LoRA, images; tokens are four
characters each. No figure of it is a GPU's.
"""
