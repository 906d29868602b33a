"""The back end that the settings name."""

from __future__ import annotations

from collections.abc import Callable

from agent_r.settings import TrainConfig
from agent_r.training.backends.job_backend import JobBackend
from agent_r.training.backends.process_backend import CommandBackend, LocalBackend

BACKENDS: dict[str, Callable[[TrainConfig], JobBackend]] = {
    "local": lambda config: LocalBackend(),
    "command": lambda config: CommandBackend(),
}


def make_backend(config: TrainConfig) -> JobBackend:
    """That of `train.backend`, as far as it is this process that asks it."""
    return BACKENDS[config.backend](config)
