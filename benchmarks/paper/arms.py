"""The arms of the experiment: what each explores with, and what of its own it trains on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EVERY_KIND: tuple[str, ...] = ()  # of `sft` rows that an arm's versions hold


@dataclass(frozen=True, slots=True)
class Arm:
    """Beside its own rows, every arm that is trained sees as many tokens of demonstrations."""

    name: str
    description: str
    own: Literal["nothing", "demonstrations", "versions", "corrected"]
    kinds: tuple[str, ...] = EVERY_KIND  # of `sft` rows, where its own rows are of versions
    settings: tuple[str, ...] = ()  # over the experiment's, as of `--set`

    @property
    def explores(self) -> bool:
        return self.own == "versions"

    @property
    def trains(self) -> bool:
        return self.own != "nothing"


# The paper's constants that matter here. Its schedule of alpha does not: TextCraft's rewards are
# 0 and 1. Search is the same in all arms, for equal exploration.
_PAPER = (
    "critique.when_none=direct",
    "revision.signal=template",
    "revision.placement=turn",
    "revision.verify=false",
    "revision.prune=false",
)
_UNREVISED = ("critique.localiser=direct", "revision.verify=false")  # no revision is looked at
_OF_THE_PAPER = ("good", "revision")

ARMS = {
    arm.name: arm
    for arm in (
        Arm("start", "the first actor, not trained", "nothing"),
        Arm("demonstrations", "demonstrations alone, twice as many", "demonstrations"),
        Arm("good", "own good ways", "versions", ("good",), _UNREVISED),
        Arm(
            "direct",
            "Direct-Revision: cut at the end, not executed (the paper's baseline)",
            "versions",
            _OF_THE_PAPER,
            (*_PAPER, "critique.localiser=direct"),
        ),
        Arm(
            "paper",
            "Agent-R as in the paper",
            "versions",
            _OF_THE_PAPER,
            (*_PAPER, "critique.localiser=actor"),
        ),
        Arm("ours", "the factory's default", "versions"),
        Arm("expert", "the expert's episodes with mistakes, corrected (a reference)", "corrected"),
        # Ablations, run where they are asked for.
        Arm(
            "paper-verified",
            "as in the paper, but executed",
            "versions",
            _OF_THE_PAPER,
            (*_PAPER, "critique.localiser=actor", "revision.verify=true"),
        ),
        Arm("actor", "ours, errors by the actor", "versions", (), ("critique.localiser=actor",)),
        Arm("value", "ours, errors by value", "versions", (), ("critique.localiser=value",)),
        Arm("replay", "ours, errors by replay", "versions", (), ("critique.localiser=replay",)),
    )
}
DEFAULT = ("ours", "paper", "direct", "good", "expert", "demonstrations")  # the longest first
OURS = "ours"
START = "start"
