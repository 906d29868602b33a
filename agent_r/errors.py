"""The exception tree: one type per boundary that can be crossed.

::

    AgentRError                 all that this project raises on purpose; the CLI: one line, exit 2
    ├── ConfigError             a setting is missing, malformed or contradicts another
    ├── ExtraMissing            an optional dependency is missing; the message names the command
    ├── UnknownTask             the world has no task, or no world, of that name
    ├── EnvironmentFault        the world itself broke (not: the action was refused, which is data)
    ├── EndpointError           the model's server could not answer
    │   ├── EndpointUnavailable no answer after all retries: transport, time-out, 429, 5xx
    │   │   └── EndpointDown    nobody is answered any more: the run stops
    │   ├── EndpointRejected    the server refuses the request (4xx): retrying cannot help
    │       └── ConversationRefused  this one alone (a policy, say): ends an episode, as data
    │           └── ContextOverflow  the prompt is longer than the context
    ├── NothingMade             a run made nothing that could be trained on; the CLI: exit 1
    ├── BudgetSpent             a limit that the user set is reached: a run ends there, cleanly
    ├── StoreError              a path cannot be read or written, or holds something else
    ├── DatasetError            a dataset is damaged, not what it claims, or must not go out
    ├── HubError                the Hub could not do what was asked
    │   ├── HubUnavailable      no answer after all retries: transport, 408, 409, 412, 429, 5xx
    │   ├── HubRejected         the Hub refuses (token, rights, request): retrying cannot help
    │   │   └── NotOnHub        there is no such repository, version or file, or not for this token
    │   └── VersionConflict     that version is there already, with other rows
    ├── TrainerError            a fine-tuning job failed
    │   └── TrainerUnavailable  its back end cannot be asked just now: the job goes on
    ├── WorkerFailed            a worker's part failed, or its process died again and again
    └── PrefectFault            Prefect's server cannot be reached, or does not understand us
"""

from __future__ import annotations

from collections.abc import Sequence


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
    """No usable answer after all retries; `kind` is what the last try is counted as."""

    kind = ""


class EndpointDown(EndpointUnavailable):
    """The server has answered no request at all for longer than the patience that was given."""


class EndpointRejected(EndpointError):
    """The server refuses the request; sending it again cannot help."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class ConversationRefused(EndpointRejected):
    """The server answers others, and will not answer this conversation: its content policy, say."""


class ContextOverflow(ConversationRefused):
    """The prompt is longer than the model's context."""


class NothingMade(AgentRError):
    """A run made nothing that could be trained on; `lines` say what became of everything."""

    def __init__(self, message: str, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.lines = list(lines)


class BudgetSpent(AgentRError):
    """A limit that the user set is reached; its text names it."""


class StoreError(AgentRError):
    """A path cannot be read or written, or holds something that is not ours."""


class DatasetError(AgentRError):
    """A dataset is damaged, does not say what it claims, or must not be published."""


class HubError(AgentRError):
    """The Hub could not do what was asked."""


class HubUnavailable(HubError):
    """Trouble that may pass: the same request may be answered later."""

    def __init__(self, message: str, *, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.after_s = after_s


class HubRejected(HubError):
    """The Hub refuses; asking again cannot help."""


class NotOnHub(HubRejected):
    """There is no such thing, or not for this token."""


class VersionConflict(HubError):
    """A published version has other rows than the one at hand: it never changes."""


class TrainerError(AgentRError):
    """A fine-tuning job failed."""


class TrainerUnavailable(TrainerError):
    """Trouble with a back end that may pass: what was asked of it can be asked again."""


class WorkerFailed(AgentRError):
    """The part of the trees that one of several workers grows; its text says which, and why."""


class PrefectFault(AgentRError):
    """Prefect's server cannot be reached, died, or answers what its client does not understand."""
