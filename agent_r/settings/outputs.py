"""What is done with the data: versions, the Hub, fine-tuning, measuring."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from agent_r.settings.base import Fraction, Positive, Settings

Allowed = Annotated[str, Field(pattern=r"^[a-z0-9-]+:([0-9a-f]{12}|\*)$")]


class DatasetConfig(Settings):
    """Where versions go, and what they are called."""

    name: str = Field(
        "agent-r",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$",
        description="folder of this dataset's versions",
    )
    out: str = Field("datasets_out", description="folder of all datasets")
    store: str = Field(
        "",
        description="where trees are kept: a folder, or `s3://bucket/prefix`, which several "
        "machines can share; empty: beside the versions",
    )
    reasoning: bool = Field(
        False,
        description="train on the actor's reasoning as well: each trained reply begins with it, in "
        "<think>…</think>; without it, it is a column of its own alone",
    )
    tokenizer: str = Field(
        "",
        description="counts the tokens of rows: a folder, or a model's name on the Hub; empty: the "
        "embedded actor's own, and no count for a served one",
    )
    validation: Fraction = Field(
        0.05,
        description="share of the tasks, drawn by their names, whose rows are the split "
        "`validation` and not trained on; none while that is less than one task",
    )
    audit: bool = Field(
        True,
        description="compare what is written with the world's expert, where it has one and its "
        "state can be kept: the card then says how often judgements, errors and signals are right",
    )
    maintainer: str = Field(
        "", max_length=120, description="who makes this dataset, for its card: a person or a group"
    )
    contact: str = Field(
        "",
        max_length=200,
        pattern=r"^$|^[^\s@]+@[^\s@]+\.[^\s@]+$|^https?://\S+$",
        description="how to reach them, for the card, which is public: an e-mail address or a URL",
    )
    about_actor: str = Field(
        "",
        max_length=400,
        description="what the actor is, for the card: its family, size and training, and the terms "
        "of what it writes",
    )
    tool: str = Field(
        "",
        max_length=200,
        pattern=r"^$|^(git\+)?https://[^\s\"'`$]+$",
        description="where a stranger gets this program, for the card: what `pip install` takes, "
        "such as git+https://…",
    )


class HubConfig(Settings):
    """Where versions are published; without a repository they stay in their folder."""

    repo: str = Field(
        "",
        pattern=r"^$|^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="dataset repository, `owner/name`; empty: nothing is published",
    )
    private: bool = Field(True, description="publish to a private repository, or make one")
    endpoint: str = Field(
        "",
        pattern=r"^$|^https?://[^\s/@]+(/\S*)?$",
        description="URL of another Hub; empty: $HF_ENDPOINT, or the Hub",
    )
    token_env: str = Field("HF_TOKEN", description="environment variable with the token")
    token_block: str = Field(
        "", description="Prefect block with the token: NAME of a Secret, or hub-dataset/NAME"
    )
    accept_licence: bool = Field(
        False, description="publish although a world's licence is not known to allow it"
    )
    allow: tuple[Allowed, ...] = Field(
        (),
        description="findings of the scan that may be published, by the names that it gives them: "
        "`rule:digest`, or `rule:*` for all personal data of a kind; the manifest records them",
    )
    attempts: Positive = Field(8, description="tries of the whole publication")


class TrainConfig(Settings):
    """The fine-tuning job (paper section 4.1): a process of its own."""

    backend: Literal["local", "command"] = Field(
        "local", description="the embedded model on this machine, or a job of your own"
    )
    command: str = Field(
        "", description="for `command`: your own job; {dataset} {model} {out} are filled in"
    )
    epochs: Positive = Field(3, description="times that every row is seen")
    learning_rate: float = Field(2e-3, gt=0, description="its peak, after the warm-up")
    optimizer: Literal["adamw", "muon"] = Field("muon", description="paper: adamw")
    batch_tokens: Positive = Field(3072, description="tokens of one step, about")
    average: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the fine-tuned weights in the result, the rest being those before: "
        "0.5 forgets less (WiSE-FT)",
    )
    warmup: Fraction = Field(0.03, description="share of the steps until the learning rate's peak")
    max_length: Positive = Field(1024, description="tokens of a row; longer rows are dropped")
    threads: Positive = Field(2, description="CPU threads of the training job")
    general: str = Field(
        "",
        description="JSONL of general chat rows ({messages: […]}), or `demonstrations`: the "
        "world's own expert, where it has one, on tasks that are neither explored nor tested",
    )
    general_rows: Positive = Field(
        2000,
        description="general rows to draw from: of a file so many at random, where it has more; of "
        "demonstrations about so many are made",
    )
    accumulate: bool = Field(True, description="train on the rows of earlier iterations too")
    restart: bool = Field(
        False, description="fine-tune the first model each time, not the one before"
    )
    eta: float = Field(
        0.5,
        gt=0,
        le=1,
        description="share of good and revision rows; the rest is general data (paper: 0.2)",
    )
    revision_share: Fraction = Field(
        0.5,
        description="at most this share of the agent's rows are revisions, the rest good: others "
        "are dropped at random; where no row is good, only 1 lets revisions be trained on",
    )

    @model_validator(mode="after")
    def _command_is_given(self) -> TrainConfig:
        if (self.backend == "command") != bool(self.command):
            raise ValueError("`command` goes with backend = 'command', and only with it")
        return self


class MeasureConfig(Settings):
    """The held-out measurement: success, recovery from an error (paper section 4.4), robustness."""

    tasks: Positive = Field(100, description="held-out tasks, the first of the test split")
    recovery_tasks: int = Field(
        50, ge=0, description="failures of the first actor, cut at a random step and continued"
    )
    robustness_tasks: int = Field(
        30,
        ge=0,
        description="held-out tasks led to a step by the world's expert (by the first actor's own "
        "success, where it has none) and continued after 0, 1 and 3 mistakes; 0: none",
    )
    control: bool = Field(
        False,
        description="train and measure a control as well: the same actor, trained as long as the "
        "last one, on good and general rows, none of which shows how to come back from an error",
    )
    max_steps: Positive = Field(20, description="steps of an episode")
    temperature: float = Field(0.0, ge=0, description="of the actor that is measured")
