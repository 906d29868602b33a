"""The exception tree: one type per boundary that can be crossed.

::

    AgentRError                 all that this project raises on purpose; the CLI: one line, exit 2
    ├── ConfigError             a setting is missing, malformed or contradicts another
    ├── ExtraMissing            an optional dependency is missing; the message names the command
    ├── UnknownTask             the world has no task, or no world, of that name
    ├── EnvironmentFault        the world itself broke (not: the action was refused, which is data)
    ├── EndpointError           the model's server could not answer
    │   ├── EndpointUnavailable no answer after all retries: transport, time-out, 429, 5xx
    │   ├── EndpointRejected    the server refuses the request (4xx): retrying cannot help
    │   └── ContextOverflow     the prompt is longer than the context: ends an episode, as data
    ├── StoreError              a path cannot be read or written, or holds something else
    ├── DatasetError            a dataset folder is damaged or does not say what it claims
    └── TrainerError            a fine-tuning job failed
"""

from __future__ import annotations


class AgentRError(Exception):
    """Anything this project raises on purpose: its text is one line for a person."""


class ConfigError(AgentRError):
    """A setting is missing, malformed or contradicts another."""


class ExtraMissing(AgentRError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra: run `pip install 'agent-r[{extra}]'`")


class UnknownTask(AgentRError):
    """The world has no task, or we have no world, of that name."""


class EnvironmentFault(AgentRError):
    """The world broke; a refused action is an observation, not a fault."""


class EndpointError(AgentRError):
    """The model's server could not answer."""


class EndpointUnavailable(EndpointError):
    """No usable answer after all retries."""


class EndpointRejected(EndpointError):
    """The server refuses the request; sending it again cannot help."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class ContextOverflow(EndpointRejected):
    """The prompt is longer than the model's context."""


class StoreError(AgentRError):
    """A path cannot be read or written, or holds something that is not ours."""


class DatasetError(AgentRError):
    """A dataset folder is damaged, or does not say what it claims."""


class TrainerError(AgentRError):
    """A fine-tuning job failed."""
