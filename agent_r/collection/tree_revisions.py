"""What one tree gave, as it lies in the store beside the tree."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import TypeAdapter

from agent_r.algorithm.critique import Critique
from agent_r.algorithm.pairing import TrajectoryPair
from agent_r.algorithm.proof.effects import Effect
from agent_r.algorithm.proof.interleaving import Interleaved
from agent_r.algorithm.revision import Drop, Revision
from agent_r.algorithm.trajectory import Trajectory

REVISING = 6  # raised when the same tree and settings could give other revisions


@dataclass(frozen=True, slots=True)
class Dropped:
    """A pair that gave no revision, and why."""

    pair: TrajectoryPair
    reason: Drop


@dataclass(frozen=True, slots=True)
class TreeRevisions:
    """What one tree gave: judgements, revisions, good trajectories, and dropped pairs."""

    critiques: dict[int, Critique] = field(default_factory=dict)
    revisions: list[Revision] = field(default_factory=list)
    good: list[Trajectory] = field(default_factory=list)
    drops: dict[str, int] = field(default_factory=dict)  # counted by reason
    dropped: list[Dropped] = field(default_factory=list)  # the same, each; older files have none
    pairs: int = 0
    calls: int = 0  # completion requests of judging, and of recovery
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tree: str = ""  # digest of the tree's file: its nodes are meant, and no other tree's
    replies: dict[str, int] = field(default_factory=dict)  # of recovery and rewording, by Outcome
    effects: dict[int, Effect] = field(default_factory=dict)  # of the steps proved, by node
    no_preference: int = 0  # revisions whose two ways on are no pair: neither is clearly better
    interleaved: list[Interleaved] = field(default_factory=list)
    misstated: list[str] = field(default_factory=list)  # replies of right steps, not to be trained


TREE_REVISIONS = TypeAdapter(TreeRevisions)
