"""Fine-tuning with TRL: which rows, how much of the model, and how it runs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agent_r.settings.base import Fraction, Positive, Settings


class LoraConfig(Settings):
    """A low-rank adapter (LoRA, arXiv 2106.09685)."""

    rank: Positive = Field(16, description="of its matrices")
    alpha: Positive = Field(32, description="it is scaled by alpha / rank")
    dropout: Fraction = Field(0.0, description="of its input")
    target_modules: tuple[str, ...] = Field(
        (), description="names of the layers that get one; empty: every linear layer"
    )
    merge: bool = Field(
        True, description="add it to the weights in the end; false: keep the adapter alone"
    )


class TrlConfig(Settings):
    """Fine-tuning with TRL, by the script that `agent-r train-script` writes."""

    model: str = Field(
        "",
        description="the model to start from, for an endpoint that calls it otherwise: a folder, "
        "or a name on the Hub",
    )
    rows: Literal["sft", "prompt_completion", "preference"] = Field(
        "sft", description="whole trajectories; one reply at a time; or pairs, by DPO"
    )
    full: bool = Field(False, description="train every weight, and no adapter")
    lora: LoraConfig = LoraConfig()
    beta: float = Field(0.1, gt=0, description="DPO: how dear it is to leave the model of before")
    packing: bool = Field(False, description="join short rows, each blind to the others")
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto", description="`auto`: bf16 where there is a GPU that does it"
    )
    gradient_checkpointing: bool = Field(
        True, description="compute activations again instead of keeping them: less memory"
    )
    device_rows: Positive = Field(4, description="rows that a device holds at once")
    attention: str = Field("", description="sdpa, flash_attention_2, …; empty: the model's own")
    chat_template: str = Field("", description="a Jinja file, instead of the model's own")
    processes: Positive = Field(1, description="one for each GPU, begun by `accelerate launch`")
