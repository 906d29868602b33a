"""The back end that the settings name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from agent_r.settings import TrainConfig
from agent_r.training.backends.job_backend import JobBackend
from agent_r.training.backends.process_backend import CommandBackend, LocalBackend
from agent_r.training.backends.trl_backend import TrlBackend


class RemoteBackend(JobBackend, Protocol):
    """A back end elsewhere, which may not let us in."""

    async def check(self) -> None:
        """Ask whether it does.

        Raises:
            TrainerError: it does not, or not now.
        """
        ...


# Their clients are imported where they are needed: that takes a second.
def _provider(config: TrainConfig) -> RemoteBackend:
    from agent_r.training.backends.elsewhere.provider import ProviderBackend

    return ProviderBackend(config.provider)


def _hf_jobs(config: TrainConfig) -> RemoteBackend:
    from agent_r.training.backends.elsewhere.hf_jobs import HfJobsBackend

    return HfJobsBackend(config.hf_jobs)


HERE: dict[str, Callable[[TrainConfig], JobBackend]] = {
    "local": lambda config: LocalBackend(),
    "command": lambda config: CommandBackend(),
    "trl": lambda config: TrlBackend(),
}
ELSEWHERE: dict[str, Callable[[TrainConfig], RemoteBackend]] = {
    "provider": _provider,
    "hf-jobs": _hf_jobs,
}


def make_backend(config: TrainConfig) -> JobBackend:
    """That of `train.backend`, as far as it is this process that asks it."""
    return (HERE | ELSEWHERE)[config.backend](config)


async def check_backend(config: TrainConfig) -> None:
    """Ask a back end elsewhere whether it lets us in, before hours are spent on rows for it.

    Raises:
        TrainerError: it does not, or not now.
    """
    if config.backend in ELSEWHERE:
        await ELSEWHERE[config.backend](config).check()
