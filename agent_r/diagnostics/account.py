"""Count what became of all replies, judgements, episodes, trees and pairs of a run.

The same numbers end a run, and are in the manifest, on the card and in Prefect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from agent_r.algorithm.critique import VERDICT
from agent_r.algorithm.pairing import why_no_pair
from agent_r.algorithm.proof.cleaning import UNPROVED
from agent_r.algorithm.revision import Drop
from agent_r.algorithm.trajectory import StopReason
from agent_r.algorithm.tree import SearchTree
from agent_r.collection.tree_revisions import TreeRevisions
from agent_r.diagnostics.symptoms import Symptoms, advice
from agent_r.diagnostics.witnesses import agreement
from agent_r.reading.reply import Outcome
from agent_r.settings import Config, CritiqueConfig, RevisionConfig

WITH_A_PAIR = "with a pair"
REVISIONS = "revisions"
MOST_SAMPLES = 5  # of a kind of reply


class Account(BaseModel):
    """Counts by name; every reply, leaf, tree and pair is in just one of each table.

    Manifests of before the last three tables are read as if nothing had been counted there.
    """

    replies: dict[str, int] = {}  # the acting model's, by Outcome
    judgements: dict[str, int] = {}  # the judge's replies, by kind
    episodes: dict[str, int] = {}  # leaves, by StopReason
    rewards: dict[str, int] = {}  # of the leaves, to a tenth
    trees: dict[str, int] = {}  # with a pair, or why there is none
    pairs: dict[str, int] = {}  # that were tried: revisions, and each drop
    signals: dict[str, int] = {}  # of the revisions, by their source
    errors: dict[str, int] = {}  # of the revisions, by their kind
    lacking: dict[str, int] = {}  # trees without a revision, by what they lacked
    agreement: dict[str, int] = {}  # of two witnesses of a step, which each step may have thrice


@dataclass(slots=True)
class Accounting:
    """An account in the making, and some replies of each unhealthy kind for a person to look at."""

    form: str = ""  # of an action, as the world reads it: see `form_of`
    tables: dict[str, Counter[str]] = field(
        default_factory=lambda: {name: Counter() for name in Account.model_fields}
    )
    samples: dict[str, list[str]] = field(default_factory=dict)
    reasoned_away: int = 0  # cut or empty replies that held reasoning alone
    judge_sample: str = ""  # a judgement without a verdict
    trees: int = 0

    def add(
        self,
        tree: SearchTree,
        tree_revisions: TreeRevisions,
        revision: RevisionConfig,
        critique: CritiqueConfig,
    ) -> None:
        """Count one tree and what was made of it; `revision` has the iteration's alpha."""
        self.trees += 1
        tables = self.tables
        tables["replies"].update(tree.replies)
        tables["replies"].update(tree_revisions.replies)
        for judged in tree_revisions.critiques.values():
            tables["judgements"].update(judged.replies)
            if judged.verdict is None:
                self.judge_sample = self.judge_sample or judged.text
        for leaf in tree.leaves():
            node = tree.nodes[leaf]
            tables["episodes"][str(node.stop)] += 1
            tables["rewards"][tenth(node.reward)] += 1
        tables["trees"][why_no_pair(tree, revision) or WITH_A_PAIR] += 1
        tables["pairs"].update({REVISIONS: len(tree_revisions.revisions)} | tree_revisions.drops)
        tables["signals"].update(one.signal for one in tree_revisions.revisions)
        tables["errors"].update(one.error_kind or UNPROVED for one in tree_revisions.revisions)
        if why := lacking(tree, tree_revisions, revision):
            tables["lacking"][why] += 1
        tables["agreement"].update(agreement(tree, tree_revisions, revision, critique))
        self.reasoned_away += tree.reasoned_away
        for kind, text in tree.samples.items():
            if len(kept := self.samples.setdefault(kind, [])) < MOST_SAMPLES:
                kept.append(text)

    @property
    def account(self) -> Account:
        return Account.model_validate({n: _sorted(table) for n, table in self.tables.items()})

    @property
    def speechless(self) -> bool:
        """Whether no reply at all had an action in it."""
        return self.tables["replies"].total() > 0 and not self.tables["replies"][Outcome.ACTION]

    @property
    def fruitless(self) -> bool:
        """Whether no tree has had a pair."""
        return self.trees > 0 and not self.tables["trees"][WITH_A_PAIR]

    @property
    def earns(self) -> bool:
        """Whether any episode has earned anything."""
        return any(float(reward) > 0 for reward in self.tables["rewards"])

    def symptoms(self, config: Config) -> Symptoms:
        """What advice is given from."""
        judged = self.tables["judgements"]
        rewards = [float(r) for r, n in sorted(self.tables["rewards"].items()) for _ in range(n)]
        return Symptoms(
            outcomes=self.tables["replies"],
            samples=self.samples,
            reasoned_away=self.reasoned_away,
            max_tokens=config.search.max_tokens,
            form=self.form,
            judged=judged.total(),
            verdicts=judged[VERDICT],
            judged_cut=judged[Outcome.CUT],
            judge_max_tokens=config.critique.max_tokens,
            judge_sample=self.judge_sample,
            overflows=self.tables["episodes"][StopReason.CONTEXT_OVERFLOW],
            rewards=rewards,
        )

    def lines(self, config: Config) -> list[str]:
        """The account and what to change, for a person."""
        return [*account_lines(self.account), *advice(self.symptoms(config))]


def lacking(tree: SearchTree, tree_revisions: TreeRevisions, revision: RevisionConfig) -> str:
    """What a tree lacked for a revision; "" where it has one.

    Of one with pairs, why most of them were dropped: that the same error came again is no reason.
    """
    if tree_revisions.revisions:
        return ""
    if why := why_no_pair(tree, revision):
        return why
    drops = {why: n for why, n in tree_revisions.drops.items() if why != Drop.SAME_ERROR}
    return max(drops, key=lambda why: (drops[why], why), default="no pair was tried")


def account_lines(account: Account) -> list[str]:
    """Lines for a person, one for each thing that is counted.

    >>> print(*account_lines(Account(replies={"action": 30, "cut": 2})))
    replies      32: 30 action, 2 cut
    """
    return [
        f"{name:<12} {sum(table.values()):,}: "
        + ", ".join(f"{n:,} {what.replace('_', ' ')}" for what, n in table.items())
        for name, table in account.model_dump().items()
        if table
    ]


def tenth(reward: float) -> str:
    """A reward to a tenth; 0 and 1 are only what is just that.

    >>> tenth(0.0), tenth(0.04), tenth(0.96), tenth(1.0)
    ('0.0', '0.1', '0.9', '1.0')
    """
    if reward in (0.0, 1.0):
        return f"{reward:.1f}"
    return f"{min(max(round(reward, 1), 0.1), 0.9):.1f}"


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    """The most frequent first; what was counted and is none is left out."""
    there = {str(name): n for name, n in counts.items() if n}
    return dict(sorted(there.items(), key=lambda item: (-item[1], item[0])))
