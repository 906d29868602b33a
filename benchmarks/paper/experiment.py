"""What one experiment is: settings, budget of trained tokens, and where its files lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent_r.collection.identity import unnamed
from agent_r.config import digest, merge, overrides, parse
from agent_r.settings import Config, Positive, Settings
from benchmarks.paper.arms import HALF, Arm
from benchmarks.paper.preference import LEARNING_RATE

_SEEDS_APART = 1000  # training seeds of a seed's iterations: no two of an experiment are the same

_NO_MATTER: dict[str, Any] = {  # for a result; seed and iteration are in its name
    "seed": True,
    "iterations": True,
    "dataset": {"name", "out", "store"},
    "endpoint": {"threads", "concurrency", "checkpoint"},
    "train": {"threads", "eta", "eta_of", "revision_share"},  # arms are mixed by trained tokens
}


class Experiment(Settings):
    """The same for all arms and seeds; its processes read it from a file."""

    config: Config
    tokens: Positive  # half of the trained ones of an epoch, of own rows and demonstrations
    out: Path  # results, which are to be kept
    work: Path  # trees, versions, models, episodes: what a killed run goes on from

    def settings(self, seed: int, arm: Arm) -> Config:
        """The arm's, under this seed; trees that are alike lie together, and so are made once."""
        folder = self.work / f"seed-{seed}"
        places = {"name": arm.name, "out": str(folder), "store": str(folder / "trees")}
        base = self.config.model_dump(mode="json") | {"seed": seed}
        return parse(
            merge(merge(base, {"dataset": places}), overrides(arm.settings)),
            source=f"arm {arm.name}",
        )

    def key(self, arm: Arm) -> str:
        """Names what an arm's results depend on, beside seed and iteration."""
        config = self.config.model_dump(mode="json", exclude=_NO_MATTER)
        first = unnamed(self.config).values()  # the start's weights, wherever they lie
        if not arm.trains:
            plays = {name: config[name] for name in ("env", "search", "measure")}
            return digest(plays, *first)
        more: list[object] = [] if arm.share == HALF else [arm.share]
        more += ["preference", LEARNING_RATE] if arm.preference else []
        more += ["good", arm.good] if arm.good is not None else []
        return digest(config, *first, self.tokens, arm.own, *arm.kinds, *arm.settings, *more)

    def result(self, seed: int, arm: str, iteration: int) -> Path:
        """Where a result lies."""
        return self.out / f"seed-{seed}" / f"{arm}-{iteration}.json"


def training_seed(seed: int, iteration: int) -> int:
    """Of the mixture and of the fine-tuning.

    >>> training_seed(2, 1)
    2001
    """
    return _SEEDS_APART * seed + iteration
