"""What is done with the data: versions, the Hub, measuring."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

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


class MeasureConfig(Settings):
    """The held-out measurement: success, recovery from an error (paper section 4.4), robustness."""

    tasks: Positive = Field(100, description="held-out tasks, the first of the test split")
    attempts: Positive = Field(
        1,
        description="times that each task is played, each with a seed of its own: for pass@k and "
        "pass^k; set a temperature with it",
    )
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
