"""What happened in one episode: steps, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class StopReason(StrEnum):
    """Why an episode has no further step; every one of them is data, none is a crash."""

    TERMINATED = "terminated"  # the world says so
    STEP_LIMIT = "step_limit"  # the depth we allow is used up
    CONTEXT_OVERFLOW = "context_overflow"  # the conversation no longer fits the model
    REFUSED = "refused"  # the server will not answer this conversation: its content policy, say
    NO_REPLY = "no_reply"  # the endpoint gave no completion, or only empty ones
    CUT = "cut"  # the token limit ended every reply before its action
    FILTERED = "filtered"  # the provider's filter took every reply
    FAILED = "failed"  # the provider broke off every reply
    FAULT = "fault"  # the world did not come back to this state: it does not quite repeat itself


# Ends that are the server's or the world's doing: they say nothing of what the actor did.
NOT_THE_ACTORS = frozenset(
    {
        StopReason.REFUSED,
        StopReason.NO_REPLY,
        StopReason.CUT,
        StopReason.FILTERED,
        StopReason.FAILED,
        StopReason.FAULT,
    }
)


@dataclass(frozen=True, slots=True)
class Step:
    """One turn: what the actor wrote, what it did, and what came back."""

    response: str  # the reply as it was meant; training text is never re-rendered from `action`
    action: str  # what was sent to the world; empty where the response held no action
    observation: str
    reasoning: str = ""  # what was thought before the reply, kept apart from it


@dataclass(frozen=True, slots=True)
class Trajectory:
    """An episode from reset to its end; `reward` is the world's final reward in [0, 1]."""

    task: str
    prompt: str  # the first observation, with the goal in it
    steps: tuple[Step, ...]
    reward: float
    stop: StopReason
