"""The back end that the settings name."""

from __future__ import annotations

from collections.abc import Callable

from agent_r.settings import TrainConfig
from agent_r.training.backends.hf_jobs import HfJobsBackend
from agent_r.training.backends.job_backend import JobBackend
from agent_r.training.backends.process_backend import CommandBackend, LocalBackend
from agent_r.training.backends.provider import ProviderBackend
from agent_r.training.backends.trl_backend import TrlBackend

BACKENDS: dict[str, Callable[[TrainConfig], JobBackend]] = {
    "local": lambda config: LocalBackend(),
    "command": lambda config: CommandBackend(),
    "provider": lambda config: ProviderBackend(config.provider),
    "hf-jobs": lambda config: HfJobsBackend(config.hf_jobs),
    "trl": lambda config: TrlBackend(),
}


def make_backend(config: TrainConfig) -> JobBackend:
    """That of `train.backend`, as far as it is this process that asks it."""
    return BACKENDS[config.backend](config)


async def check_backend(config: TrainConfig) -> None:
    """Ask a back end elsewhere whether it lets us in, before hours are spent on rows for it.

    Raises:
        TrainerError: it does not, or not now.
    """
    backend = make_backend(config)
    if isinstance(backend, ProviderBackend | HfJobsBackend):
        await backend.check()
