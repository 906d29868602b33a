# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "torch>=2.9,<3",
#     "transformers>=5.20,<6",
#     "trl==1.16.*",
#     "peft==0.21.*",
#     "accelerate>=1.15,<2",
#     "datasets>=5.2,<6",
# ]
# ///
"""Fine-tune a causal language model on a dataset version of Agent-R: LoRA or full, SFT or DPO.

    uv run train.py                                      # installs what it needs, and trains
    python train.py --model Qwen/Qwen3-0.6B --epochs 2   # in an environment that has it
    accelerate launch --num_processes 4 train.py         # on four GPUs

Of each conversation only the replies that are marked `train` carry the loss: the model sees the
errors of the others, and does not learn to make them. Rows that are too long are left out whole,
and counted. Progress is JSON lines, one a second at most; a run that was killed goes on from its
last checkpoint when the same command is given again. In the end `--out` holds the model (or the
LoRA adapter), its tokenizer, `loss.jsonl`, and `done.json`, which says what was done.
"""
