"""Every setting there is, in one frozen tree; a secret is never one.

An endpoint names the environment variable or the Prefect block that holds its key. `agent_r.config`
reads these settings from files.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from agent_r.settings.base import Fraction, Positive, Settings
from agent_r.settings.endpoints import (
    EmbeddedEndpoint,
    Endpoint,
    OpenAIEndpoint,
    ScriptedEndpoint,
)
from agent_r.settings.grammars import GrammarConfig
from agent_r.settings.outputs import DatasetConfig, HubConfig, MeasureConfig
from agent_r.settings.problems import first_problem
from agent_r.settings.search import BudgetConfig, CritiqueConfig, RevisionConfig, SearchConfig
from agent_r.settings.training import PoolConfig, TrainConfig
from agent_r.settings.trl_training import TrlConfig
from agent_r.settings.worlds import (
    AgentGymEnv,
    EnvSpec,
    GymnasiumEnv,
    MixtureEnv,
    OpenEnvEnv,
    PythonEnv,
    ScienceWorldEnv,
    ShopEnv,
    SingleEnv,
    TextCraftEnv,
    TextWorldExpressEnv,
    env_specs,
    public_settings,
)

__all__ = [
    "AgentGymEnv",
    "BudgetConfig",
    "Config",
    "CritiqueConfig",
    "DatasetConfig",
    "EmbeddedEndpoint",
    "Endpoint",
    "EnvSpec",
    "GrammarConfig",
    "GymnasiumEnv",
    "HubConfig",
    "MeasureConfig",
    "MixtureEnv",
    "OpenAIEndpoint",
    "OpenEnvEnv",
    "PoolConfig",
    "Positive",
    "PythonEnv",
    "RevisionConfig",
    "ScienceWorldEnv",
    "ScriptedEndpoint",
    "SearchConfig",
    "Settings",
    "ShopEnv",
    "SingleEnv",
    "TextCraftEnv",
    "TextWorldExpressEnv",
    "TrainConfig",
    "TrlConfig",
    "env_specs",
    "first_problem",
    "public_settings",
]


class Config(Settings):
    """One run of the factory."""

    seed: int = Field(0, description="the same seed and replies give the same dataset")
    iterations: Positive = Field(3, description="rounds of collect, train and measure")
    continual: bool = Field(
        False,
        description="each run of collect or self-train goes on where the last finished one ended: "
        "the next tasks, from the last model; an unfinished one is resumed",
    )
    trees: Positive = Field(200, description="tasks explored per iteration")
    alphas: tuple[Fraction, ...] = Field(
        (), description="alpha of each iteration (paper: 0.5, 0.7, 1.0); empty: revision.alpha"
    )
    workers: Positive = Field(
        1,
        description="processes that grow an iteration's trees at the same time, each a part of "
        "them; they share the endpoint's slots and the budget",
    )
    runner: Literal["prefect", "dask", "ray"] = Field(
        "prefect",
        description="what several workers are: runs of the deployment `grow`, or processes of a "
        "Dask or Ray cluster (extras `dask`, `ray`)",
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

    @field_validator("env", mode="before")
    @classmethod
    def _a_world_without_a_kind_is_textcraft(cls, env: Any) -> Any:
        """Each kind is its own default, for Prefect's form; it is not to be guessed from that."""
        return {"kind": "textcraft"} | env if isinstance(env, dict) else env

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
    def _a_control_is_another_model(self) -> Config:
        if self.measure.control and isinstance(self.endpoint, OpenAIEndpoint):
            raise ValueError(
                "measure.control needs an actor in a folder of its own, and a server has one model "
                "an iteration: leave it out, or set endpoint.kind = 'embedded'"
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

        Beyond the schedule it is the last one.
        """
        if not self.alphas:
            return self.revision
        alpha = self.alphas[min(iteration, len(self.alphas)) - 1]
        values = self.revision.model_dump() | {"alpha": alpha}
        try:
            return RevisionConfig.model_validate(values)
        except ValidationError as error:
            raise ValueError(f"iteration {iteration}: {first_problem(error)}") from error
