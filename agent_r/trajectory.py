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
    NO_REPLY = "no_reply"  # the endpoint gave no usable completion
    FAULT = "fault"  # the world did not come back to this state: it does not quite repeat itself


@dataclass(frozen=True, slots=True)
class Step:
    """One turn: what the actor wrote, what it did, and what came back."""

    response: str  # the reply as it was meant; training text is never re-rendered from `action`
    action: str  # what was sent to the world; empty where the response held no action
    observation: str
    reasoning: str = ""  # what was thought before the reply, told apart from it


@dataclass(frozen=True, slots=True)
class Trajectory:
    """An episode from reset to its end; `reward` is the world's final reward in [0, 1]."""

    task: str
    prompt: str  # the first observation, with the goal in it
    steps: tuple[Step, ...]
    reward: float
    stop: StopReason
