"""What an audit counts, each with how many cases it is of and how many could not be told."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Name: what is counted · of what. The names are the manifest's and stay; the words may change.
MEASURES: Mapping[str, tuple[str, str]] = {
    # the critic
    "bad_was_refused": ("the world itself had refused the step", "steps judged Bad"),
    "waste_judged_bad": (
        "judged Bad by the actor",
        "silently wasteful steps that the actor judged",
    ),
    "waste_proved_bad": ("proved Bad", "silently wasteful steps that were judged or tried"),
    "waste_labelled_bad": (
        "labelled Bad, by proof, else by the actor",
        "silently wasteful steps that were judged or tried",
    ),
    "harm_judged_bad": ("judged Bad by the actor", "harmful steps that the actor judged"),
    "harm_labelled_bad": (
        "labelled Bad, by proof, else by the actor",
        "harmful steps that were judged or tried",
    ),
    "good_is_wrong": ("the step was not needed", "steps judged Good"),
    "bad_is_wrong": ("the step was needed", "steps judged Bad"),
    "proof_is_wrong": ("the expert says otherwise", "steps that were proved Good or Bad"),
    "trained_verdict_is_wrong": ("the expert says otherwise", "critique rows with Good or Bad"),
    "reason_false": ("a sentence of the reason is false", "critique rows with Good or Bad"),
    "reason_elsewhere": (
        "a sentence of the reason is about another thing than the step",
        "critique rows with Good or Bad",
    ),
    # the localiser
    "error_is_none": ("the located step was needed", "revisions"),
    "error_is_not_first": ("a step before it, from the fork on, was not needed", "revisions"),
    "initial_was_refused": ("a step of the part `initial` was refused", "revisions"),
    "initial_not_needed": ("a step of the part `initial` was not needed", "revisions"),
    # what is trained
    "correction_refused": ("the correcting step is refused", "revisions"),
    "correction_not_needed": ("the correcting step is not needed", "revisions"),
    "trained_refused": ("refused", "trained actions"),
    "trained_not_needed": ("not needed", "trained actions"),
    "interleaved_is_none": ("the step was needed", "errors in interleaved rows"),
    "return_refused": ("the step after it is refused", "errors in interleaved rows"),
    "chosen_refused": ("the chosen step is refused", "preference pairs"),
    "chosen_not_better": ("the goal is no nearer after the chosen step", "preference pairs"),
    "signal_false": ("a sentence is false at that point", "revision signals"),
    "signal_elsewhere": ("a sentence is about another thing than the step", "revision signals"),
    "signal_echo": ("it repeats the judge's question or its verdict", "revision signals"),
    # coverage
    "tasks_pairable": ("with a good and a bad end", "tasks that were explored"),
    "tasks_with_revision": ("with a revision", "tasks that were explored"),
    "tasks_revised": ("with a revision", "tasks with a good and a bad end"),
    "rows_alike": ("it differs from another in details alone", "`sft` rows"),
}


@dataclass(slots=True)
class Share:
    """`count` of `of` cases; `unknown` more could not be told, and are in neither."""

    count: int = 0
    of: int = 0
    unknown: int = 0

    def add(self, case: bool | None) -> None:
        if case is None:
            self.unknown += 1
        else:
            self.count += case
            self.of += 1


class Shares:
    """All that an audit counts."""

    def __init__(self) -> None:
        self._shares = {name: Share() for name in MEASURES}
        self._steps: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._errors: defaultdict[str, Counter[int]] = defaultdict(Counter)

    def add(self, name: str, case: bool | None) -> None:
        """One case more of a measure; None: it cannot be told."""
        self._shares[name].add(case)

    def step(self, role: str, kind: str) -> None:
        """A step of that kind in a role: judged, trained, an error, rejected."""
        self._steps[role][kind] += 1

    def error(self, kind: str, depth: int) -> None:
        """An error that a revision corrects, in a task of that depth."""
        self._errors[kind][depth] += 1

    def value(self, others: dict[str, Share]) -> dict[str, Any]:
        """All of it and of some others, ready for JSON; what was never asked is left out."""
        shares = self._shares | others
        return {
            "shares": {
                name: {"count": share.count, "of": share.of, "unknown": share.unknown}
                for name, share in shares.items()
                if share.of or share.unknown
            },
            "steps": {
                role: dict(sorted(kinds.items())) for role, kinds in sorted(self._steps.items())
            },
            "errors": {
                kind: {str(depth): n for depth, n in sorted(depths.items())}
                for kind, depths in sorted(self._errors.items())
            },
        }
