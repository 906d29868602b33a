"""One result: an arm's actor after one iteration, with all that the statistics need."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ValidationError

from agent_r.errors import ConfigError, StoreError
from agent_r.evaluation.evaluate import Measurement
from agent_r.files import write_bytes
from benchmarks.paper.arms import ARMS, START
from benchmarks.paper.experiment import Experiment


class Training(BaseModel):
    """What an actor was made of."""

    rows: dict[str, int] = {}  # drawn for an epoch, by kind; repeated ones count again
    distinct: dict[str, int] = {}  # of these, each once
    tokens: dict[str, int] = {}  # trained ones of an epoch, by kind
    counts: dict[str, int] = {}  # of the iteration's exploration; empty: it explored nothing
    revision_length: float | None = None  # steps up to the first error, mean
    loss_first: float | None = None
    loss_last: float | None = None
    seconds: dict[str, float] = {}  # by stage: explore, train

    @property
    def revises(self) -> bool:
        """Whether it saw any revision: of other arms their length says nothing."""
        return bool(self.distinct.get("revision"))


class Result(BaseModel):
    """Rewards are by task; a seed's arms have the same tasks, failures and led tasks."""

    seed: int
    arm: str
    iteration: int  # 0: before any training
    key: str  # digest of the settings
    actor: str
    rewards: dict[str, float]
    recovery: dict[str, float]  # of the first actor's cut failures
    led: dict[int, dict[str, float]]  # by injected mistakes
    kinds: dict[str, str] = {}  # of the mistake in each led task: refused, silent
    loops: float  # share of the whole episodes
    recovery_loops: float
    mean_steps: float
    unplayed: dict[str, int]
    training: Training = Training()
    seconds: float  # of measuring

    @classmethod
    def of(
        cls,
        experiment: Experiment,
        seed: int,
        arm: str,
        iteration: int,
        measured: Measurement,
        *,
        seconds: float,
        training: Training = Training(),
    ) -> Result:
        return cls(
            seed=seed,
            arm=arm,
            iteration=iteration,
            key=experiment.key(ARMS[arm]),
            actor=measured.actor,
            rewards=measured.rewards,
            recovery=measured.recovery_rewards,
            led=measured.robustness.rewards,
            kinds={task.task: task.kind for task in measured.robustness.led},
            loops=measured.loops,
            recovery_loops=measured.recovery_loops,
            mean_steps=measured.mean_steps,
            unplayed=measured.unplayed,
            training=training,
            seconds=seconds,
        )

    def __str__(self) -> str:
        won = [sum(reward >= 1 for reward in rewards.values()) for rewards in self.led.values()]
        after = " → ".join(map(str, won))
        success = 100 * sum(self.rewards.values()) / max(len(self.rewards), 1)
        led = f", led {after} of {len(self.led[0])}" if self.led else ""
        return f"seed {self.seed} {self.arm} {self.iteration}: reward {success:.1f} %{led}"


def save(experiment: Experiment, result: Result) -> None:
    """Whole, or not at all."""
    path = experiment.result(result.seed, result.arm, result.iteration)
    write_bytes(path, f"{result.model_dump_json()}\n".encode())


def finished(experiment: Experiment, seed: int, arm: str, iteration: int) -> Result | None:
    """The result that is there, which is not made again.

    Raises:
        ConfigError: it is of other settings.
    """
    path = experiment.result(seed, arm, iteration)
    if not path.exists():
        return None
    result = read(path)
    if result.key != experiment.key(ARMS[arm]):
        raise ConfigError(f"{path} is of other settings: choose another --out, or move it away")
    return result


def read(path: Path) -> Result:
    """A result's file.

    Raises:
        StoreError: it is none.
    """
    try:
        return Result.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise StoreError(f"{path} is no result: {type(error).__name__}") from error


def all_of(out: Path) -> list[Result]:
    """Every result under a folder, by seed, arm and iteration."""
    results = [read(path) for path in out.glob("seed-*/*.json")]
    return sorted(results, key=lambda r: (r.seed, r.arm, r.iteration))


def planned(arms: list[str], seeds: list[int], iterations: int) -> list[tuple[int, str, int]]:
    """Seed, arm and iteration of all results that there will be.

    >>> planned(["start", "ours"], [0], 2)
    [(0, 'start', 0), (0, 'ours', 1), (0, 'ours', 2)]
    """
    return [
        (seed, arm, iteration)
        for seed in seeds
        for arm in [START, *(arm for arm in arms if arm != START)]
        for iteration in ([0] if arm == START else range(1, iterations + 1))
    ]
