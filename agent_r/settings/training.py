"""Fine-tuning: what is trained on, how, by which back end, and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field, model_validator

from agent_r.settings.base import Fraction, Positive, Settings, is_none
from agent_r.settings.remote_training import HfJobsConfig, ProviderConfig
from agent_r.settings.trl_training import TrlConfig


def is_usual(usual: object) -> Callable[[object], bool]:
    """Whether a setting is as it always was: then no dump has it, as before there was one."""
    return lambda value: value == usual


class PoolConfig(Settings):
    """A Prefect work pool on whose machines the training job runs, the GPU box for one."""

    deployment: str = Field(
        "fine-tune/fine-tune",
        pattern=r"^fine-tune/[^/]+$",
        description="deployment of the flow `fine-tune`: its pool's workers run the job",
    )
    job_variables: dict[str, Any] = Field(
        {},
        description="of this job's infrastructure: the image, the GPUs, the memory, as the "
        "pool's template names them",
    )
    shared: str = Field(
        "",
        description="folder that both machines have under this name, through which rows and models "
        "travel; empty: the dataset's own folder is one",
    )


class IterationTrain(Settings):
    """What an iteration has of its own."""

    epochs: Positive | None = Field(None, description="times that every row is seen")
    learning_rate: float | None = Field(None, gt=0, description="its peak, after the warm-up")
    schedule: Literal["cosine", "linear", "constant"] | None = Field(
        None, description="how the learning rate falls after its peak"
    )
    eta: float | None = Field(None, gt=0, le=1, description="share of good and revision rows")


# Where nothing is said: the local trainer's model is a thousand times smaller.
BY_SCRIPT = ("trl", "hf-jobs")  # back ends that run the script of `agent-r train-script`
_DEFAULTS: dict[str, dict[str, Any]] = {
    "trl": {"optimizer": "adamw", "batch_tokens": 16384, "max_length": 4096}
}


class TrainConfig(Settings):
    """The fine-tuning job (paper section 4.1): a process of its own."""

    backend: Literal["local", "command", "trl", "provider", "hf-jobs"] = Field(
        "local",
        description="the embedded model on this machine; a job of your own; any model by TRL; a "
        "provider's API; any model by TRL on Hugging Face Jobs",
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
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine",
        exclude_if=is_usual("cosine"),
        description="how the learning rate falls after its peak: to nothing, or not at all",
    )
    max_length: Positive = Field(1024, description="tokens of a row; longer rows are dropped")
    threads: Positive = Field(2, description="CPU threads of the training job")
    general: str = Field(
        "",
        description="general chat rows: a JSONL or parquet file, a folder or a dataset on the Hub "
        "(owner/name, owner/name@ref), as messages, ShareGPT's conversations, or prompt and "
        "completion; or `demonstrations`: those of TextCraft's or the shop's expert, on tasks that "
        "are neither explored nor tested",
    )
    general_split: str = Field(
        "train", exclude_if=is_usual("train"), description="of a folder or a dataset on the Hub"
    )
    general_subset: str = Field(
        "",
        exclude_if=is_usual(""),
        description="of a dataset on the Hub: its config, if it has any",
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
        0.33,
        gt=0,
        le=1,
        description="share of the agent's own rows; the rest is general data (paper: 0.2)",
    )
    eta_of: Literal["rows", "trained_tokens"] = Field(
        "rows",
        exclude_if=is_usual("rows"),
        description="what `eta` is a share of: rows, or what they train (a revision's bad steps "
        "carry no loss, so that it trains less than its length)",
    )
    revision_share: Fraction = Field(
        0.5,
        description="at most this share of the agent's rows are revisions, the rest good: others "
        "are dropped at random; where no row is good, only 1 lets revisions be trained on",
    )

    hf_jobs: HfJobsConfig | None = Field(
        None, exclude_if=is_none, description="for `hf-jobs`: the machine, the model's repository"
    )
    trl: TrlConfig | None = Field(
        None, exclude_if=is_none, description="for `trl`: which rows, LoRA or full, how it runs"
    )
    provider: ProviderConfig | None = Field(
        None, exclude_if=is_none, description="for `provider`: its fine-tuning API"
    )
    pool: PoolConfig | None = Field(
        None,
        exclude_if=is_none,
        description="run the job as a flow run on another work pool, and not on this machine",
    )

    iterations: tuple[IterationTrain, ...] = Field(
        (),
        exclude_if=is_usual(()),
        description="settings of the first, second, … iteration over these; the last ones hold for "
        "those to come",
    )

    def at(self, iteration: int) -> TrainConfig:
        """The settings of an iteration, from 1.

        >>> train = TrainConfig(epochs=3, iterations=[{"epochs": 5}, {"learning_rate": 1e-4}])
        >>> [(at.epochs, at.learning_rate) for at in map(train.at, (1, 2, 3))]
        [(5, 0.002), (3, 0.0001), (3, 0.0001)]
        """
        if not self.iterations:
            return self
        own = self.iterations[min(iteration, len(self.iterations)) - 1]
        return self.model_copy(update={**own.model_dump(exclude_none=True), "iterations": ()})

    def anywhere(self) -> TrainConfig:
        """The settings without the place where the job runs, which does not change its result."""
        rented = self.hf_jobs and HfJobsConfig(repo=self.hf_jobs.repo)
        return self.model_copy(update={"pool": None, "hf_jobs": rented})

    @model_validator(mode="before")
    @classmethod
    def _trl_has_defaults_of_its_own(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("backend") not in BY_SCRIPT:
            return values
        trl = values.get("trl") or {}
        full = trl.get("full", False) if isinstance(trl, dict) else trl.full
        return _DEFAULTS["trl"] | {"learning_rate": 2e-5 if full else 2e-4} | values | {"trl": trl}

    @model_validator(mode="after")
    def _trl_goes_with_its_back_end(self) -> TrainConfig:
        if (self.backend in BY_SCRIPT) != (self.trl is not None):
            raise ValueError("`trl` goes with backend = 'trl' or 'hf-jobs', and only with them")
        if self.trl and (self.optimizer, self.average) != ("adamw", 1.0):
            raise ValueError("`optimizer` and `average` are the local trainer's: leave them out")
        if self.trl and self.trl.rows == "preference" and self.general:
            raise ValueError("`general` rows are no pairs: leave them out, or set trl.rows = 'sft'")
        return self

    @model_validator(mode="after")
    def _command_is_given(self) -> TrainConfig:
        if (self.backend == "command") != bool(self.command):
            raise ValueError("`command` goes with backend = 'command', and only with it")
        return self

    @model_validator(mode="after")
    def _elsewhere_has_a_table(self) -> TrainConfig:
        for backend, table in {"provider": self.provider, "hf-jobs": self.hf_jobs}.items():
            name = backend.replace("-", "_")
            if self.backend == backend and table is None:
                raise ValueError(f"backend = '{backend}' needs the table [train.{name}]")
            if self.backend != backend and table is not None:
                raise ValueError(f"[train.{name}] goes with backend = '{backend}' alone")
        return self
