"""The arms of the experiment: what each explores with, and what of its own it trains on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HALF = 0.5
THIRD = 1 / 3  # what the factory's own configurations train on: half costs success
EVERY_KIND: tuple[str, ...] = ()  # of `sft` rows that an arm's versions hold


@dataclass(frozen=True, slots=True)
class Arm:
    """Every arm is trained on as many tokens: of its own rows, the rest of demonstrations."""

    name: str
    description: str
    own: Literal["nothing", "demonstrations", "versions", "corrected"]
    kinds: tuple[str, ...] = EVERY_KIND  # of `sft` rows, where its own rows are of versions
    settings: tuple[str, ...] = ()  # over the experiment's, as of `--set`
    share: float = HALF  # of the trained tokens that are of its own rows
    good: float | None = None  # of these, those of good ways; None: as its rows come
    preference: bool = False  # half of its share are preference pairs, trained on afterwards (DPO)

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
    "revision.interleaved=0",
)
_PLAIN = ("revision.interleaved=0",)
# Its revisions are not looked at, and so cost no judging; its good ways are those of ours.
_UNREVISED = (*_PLAIN, "critique.localiser=direct")
_UNAVERAGED = ("train.average=1.0",)
_OF_THE_PAPER = ("good", "revision")


def _witness(name: str, description: str) -> Arm:
    """`revisions` with one witness of the first error: interleaved rows would not depend on it."""
    settings = (*_PLAIN, f"critique.localiser={name}")
    return Arm(name, f"revisions, the first error by {description}", "versions", settings=settings)


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
        Arm("ours", "the factory's default", "versions", share=THIRD),
        Arm("expert", "the expert's episodes with mistakes, corrected (a reference)", "corrected"),
        # Ablations, run where they are asked for.
        Arm(
            "preference",
            "good ways, and DPO on pairs of a right and a wrong step",
            "versions",
            ("good",),
            share=THIRD,
            preference=True,
        ),
        Arm("both", "ours, and DPO on its pairs", "versions", share=THIRD, preference=True),
        Arm("half", "ours, half of the training and not a third of it", "versions"),
        Arm("balanced", "half, and half of that are good ways", "versions", good=HALF),
        Arm("revisions", "half without interleaved rows", "versions", settings=_PLAIN),
        _witness("actor", "its own judgement"),
        _witness("value", "where the tree's value falls most"),
        _witness("replay", "what replay proves"),
        Arm(
            "paper-verified",
            "as in the paper, but executed",
            "versions",
            _OF_THE_PAPER,
            (*_PAPER, "critique.localiser=actor", "revision.verify=true"),
        ),
        Arm(
            "unaveraged",
            "ours, its weights not averaged with those before",
            "versions",
            settings=_UNAVERAGED,
            share=THIRD,
        ),
        Arm(
            "slow",
            "unaveraged, at half the learning rate",
            "versions",
            settings=(*_UNAVERAGED, "train.learning_rate=1e-3"),
            share=THIRD,
        ),
        Arm("interleaved", "interleaved rows alone", "versions", ("interleaved",)),
        Arm(
            "signals",
            "revisions, with a thought about the error before the right step",
            "versions",
            settings=(*_PLAIN, "revision.signal=proof"),
        ),
        Arm(
            "turns",
            "revisions, with the paper's thoughts, each a turn of its own",
            "versions",
            settings=(*_PLAIN, "revision.signal=template", "revision.placement=turn"),
        ),
    )
}
DEFAULT = ("ours", "paper", "direct", "good", "expert", "demonstrations")  # the longest first
OURS = "ours"
START = "start"
