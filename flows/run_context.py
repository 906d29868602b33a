"""One run: its settings, its worlds, the actor that plays in them, and where its files lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from agent_r.collection.object_store import ObjectStore
from agent_r.collection.plan import dataset_folder, part_of, tasks_of_iteration, work_folder
from agent_r.collection.provenance import record
from agent_r.collection.tree_store import TreeStore
from agent_r.collection.tree_stores import TreeStores
from agent_r.config import digest
from agent_r.environment import TaskSpec
from agent_r.local_model.model_folder import PACKAGED, model_name
from agent_r.run_worlds import Worlds
from agent_r.settings import Config, EmbeddedEndpoint, OpenAIEndpoint, ScriptedEndpoint
from agent_r.training.serving.names import served_name
from env_adapters import world_of


@dataclass(frozen=True)
class RunContext:
    """What the flows of one iteration share; made once from a flow's parameters."""

    config: Config  # as the user wrote it
    iteration: int  # from 1: it chooses the tasks and alpha
    trained: int  # fine-tunings that the actor has had
    model: Path | None  # folder of the model in use; None where it is not ours

    @classmethod
    def of(
        cls, config: Config, iteration: int = 1, model: str = "", trained: int | None = None
    ) -> RunContext:
        """The actor has had one fine-tuning for each iteration before this one, unless given.

        >>> RunContext.of(Config(), 2).trained, RunContext.of(Config(), 2, trained=0).trained
        (1, 0)
        """
        folder = Path(model) if model else None
        if folder is None and isinstance(config.endpoint, EmbeddedEndpoint):
            folder = Path(config.endpoint.checkpoint) if config.endpoint.checkpoint else PACKAGED
        return cls(config, iteration, iteration - 1 if trained is None else trained, folder)

    @cached_property
    def as_trained(self) -> Config:
        """The settings with the endpoint that really acts: what is stored is named by that."""
        endpoint = self.config.endpoint
        if isinstance(endpoint, OpenAIEndpoint):
            acting = after(endpoint, self.trained)
            if name := served_name(endpoint, self.model):
                acting = acting.model_copy(update={"model": name})
            return self.config.model_copy(update={"endpoint": acting})
        if isinstance(endpoint, EmbeddedEndpoint):
            chosen = endpoint.model_copy(update={"checkpoint": str(self.model)})
            return self.config.model_copy(update={"endpoint": chosen})
        return self.config

    @cached_property
    def actor_name(self) -> str:
        """Who acts: known without asking, it names folders and rows.

        Raises:
            StoreError: the embedded model's folder holds none.
        """
        endpoint = self.as_trained.endpoint
        if isinstance(endpoint, ScriptedEndpoint):
            return f"scripted-{endpoint.error_rate:g}"
        if isinstance(endpoint, OpenAIEndpoint):
            return endpoint.alias or endpoint.model
        return model_name(Path(endpoint.checkpoint))

    @property
    def model_to_train(self) -> Path:
        """The model's folder, or what the trainer is told of one that is not ours."""
        endpoint, trl = self.as_trained.endpoint, self.config.train.trl
        served = endpoint.model if isinstance(endpoint, OpenAIEndpoint) else ""
        named = trl.model if trl is not None else ""
        return self.model or Path(named or served or self.actor_name)

    @cached_property
    def worlds(self) -> Worlds:
        """The worlds of this run; whoever plays in them closes them.

        Raises:
            ConfigError, ExtraMissing: one of them is not to be had here.
        """
        return worlds_of(self.config)

    def tasks(self, part: str = "") -> list[TaskSpec]:
        """The tasks to explore, in their order; of a part as 3/16, that machine's share.

        Raises:
            ConfigError: that is no part, or a world has no tasks to explore.
        """
        return part_of(tasks_of_iteration(self.worlds, self.config, self.iteration), part)

    @property
    def dataset_folder(self) -> Path:
        """Where the dataset's versions lie, its report beside them."""
        return dataset_folder(self.config)

    @property
    def work_folder(self) -> Path:
        """What a resumed run goes on from, on this machine."""
        return work_folder(self.config)

    @property
    def object_store(self) -> ObjectStore:
        """Where trees and what was made of them lie, which several machines can share."""
        return ObjectStore.at(self.config.dataset.store or self.work_folder)

    async def tree_stores(self, actor: str) -> TreeStores:
        """Where the trees of this run's worlds lie, each as in a run of that world alone."""
        stores: dict[str, TreeStore] = {}
        for name, member in self.worlds.members.items():
            stores[name] = TreeStore.of(
                self.work_folder,
                member.world.environment,
                self.as_trained.model_copy(update={"env": member.spec}),
                actor=actor,
                iteration=self.iteration,
                object_store=self.object_store,
            )
            await record(self.object_store, stores[name], actor=actor, iteration=self.iteration)
        return TreeStores(self.as_trained, stores)

    def account(self, stores: TreeStores, tasks: Sequence[TaskSpec]) -> Path:
        """Where all runs that grow these trees note what they spent."""
        which = digest(*(f"{task.world}/{task.id}/{task.repeat}" for task in tasks))
        return self.work_folder / f"spent-{stores.key}-{which}.json"

    @property
    def training_seed(self) -> int:
        """Of the mixture and of the fine-tuning: each iteration has its own."""
        return self.config.seed + self.iteration


def after(endpoint: OpenAIEndpoint, trained: int) -> OpenAIEndpoint:
    """The endpoint's model as it is called after so many fine-tunings.

    Where the server calls it by a path of its machine, datasets call it by the last part of that.
    """
    model, alias = (
        name.replace("{iteration}", str(trained)) for name in (endpoint.model, endpoint.alias)
    )
    if not alias and model.startswith(("/", "~", ".")):
        alias = model.rstrip("/").rpartition("/")[2]
    return endpoint.model_copy(update={"model": model, "alias": alias})


def worlds_of(config: Config) -> Worlds:
    """All worlds of a run; nothing is begun, and so nothing to close, before their first episode.

    Raises:
        ConfigError, ExtraMissing: one of them is not to be had here.
    """
    return Worlds.of(config.env, world_of)
