"""How data is made: search, critique, revision, and where that stops."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from agent_r.settings.base import Fraction, Positive, Settings


class SearchConfig(Settings):
    """Monte Carlo tree search (paper section 3.1, appendix); one simulation ends at a leaf."""

    renamed: ClassVar[dict[str, str]] = {
        "walks": "parallel_simulations",
        "tried": "expansion",
        "give_up": "abandon_after",
    }

    simulations: Positive = Field(8, description="per tree, each from the root to a leaf")
    candidates: Positive = Field(4, description="replies sampled at a node, in one request")
    parallel_simulations: Positive = Field(
        1,
        description="simulations of one tree that go on at once: more keep an endpoint busy with "
        "few trees, and find fewer pairs",
    )
    max_depth: Positive = Field(20, description="steps of one trajectory, at most")
    expansion: Literal["all", "walked", "auto"] = Field(
        "auto",
        description="which of a node's replies the world is asked about: `all` finds more ends for "
        "the same calls, and costs a replay each where the world cannot fork; `walked` waits until "
        "a simulation comes by; `auto`: all where it forks",
    )
    exploration: float = Field(0.25, ge=0, description="c of the UCT formula")
    temperature: float = Field(1.0, gt=0, description="of the replies sampled at a node")
    max_tokens: Positive = Field(128, description="length of one reply, in tokens")
    stop_early: bool = Field(
        True, description="search a tree no further once it holds all the pairs that are tried"
    )
    abandon_after: int = Field(
        4,
        ge=0,
        description="simulations after which a tree without any pair is searched no further "
        "(0, and the paper: never)",
    )


class CritiqueConfig(Settings):
    """How the first wrong step of a bad trajectory is found (paper section 3.2)."""

    renamed: ClassVar[dict[str, str]] = {"within": "agreement_tolerance"}

    localiser: Literal["witnesses", "actor", "value", "both", "vote", "replay", "direct"] = Field(
        "witnesses",
        description="the actor's judgement (paper), the tree's value, both agreeing, a vote of "
        "several judgements, replay (the first step that costs the goal, or that the good way does "
        "not need), the end of the trajectory (the paper's direct-revision baseline), or "
        "`witnesses`: what replay proves, and the actor where it proves nothing",
    )
    when_none: Literal["skip", "direct", "value"] = Field(
        "skip",
        description="no step was judged bad: drop the pair, cut at the end (direct revision), "
        "or cut where the tree's value falls most",
    )
    votes: Positive = Field(3, description="judgements of one step under `vote`")
    lookahead: Positive | Literal["doubling"] = Field(
        "doubling",
        description="steps of one trajectory judged at once: more is sooner, and costs more; "
        "`doubling`: one, then two, then four, …",
    )
    agreement_tolerance: int = Field(
        1, ge=0, description="steps apart that still count as agreeing"
    )
    temperature: float = Field(0.0, ge=0, description="of a judgement")
    max_tokens: Positive = Field(256, description="length of one judgement, in tokens")


class RevisionConfig(Settings):
    """Which trajectories are paired, and how the splice is made and checked."""

    alpha: Fraction = Field(1.0, description="lowest reward of a good trajectory")
    beta: Fraction = Field(0.2, description="what separates a bad trajectory from a good one")
    beta_is: Literal["gap", "threshold"] = Field(
        "gap", description="gap: r(good) - r(bad) > beta; threshold: r(bad) < beta"
    )
    signal: Literal["critique", "proof", "template", "none"] = Field(
        "critique",
        description="the revision signal: the actor's own reason for judging the step Bad; a "
        "thought about what replay proved of it, which is true whatever the actor says; or one of "
        "ten thoughts (paper). The later ones stand in where an earlier one is not to be had. "
        "`none`: the correcting step alone, which is best for a very small actor",
    )
    placement: Literal["turn", "inline"] = Field(
        "turn", description="a turn of its own (paper), or merged into the first corrected step"
    )
    verify: bool = Field(True, description="execute every revision; keep what reaches alpha")
    recovery: bool = Field(
        False, description="where the good tail no longer works, let the actor go on by itself"
    )
    pairs_per_task: Positive = Field(8, description="revisions kept of one task, at most")
    good_per_task: Positive = Field(4, description="good trajectories of one task, at most")
    interleaved: int = Field(
        4,
        ge=0,
        description="good trajectories of one task, at most, with several of the actor's own "
        "errors in them, each corrected (paper: 0)",
    )
    prune: bool = Field(
        True,
        description="leave out, by replay, what the reward does not need: steps of a good tail "
        "from its first on, and earlier errors before the one that a revision speaks of",
    )
    preference_margin: Fraction = Field(
        0.1,
        description="least difference in value of a preference pair's two ways on; where replay "
        "proves which is better, none, as long as the values do not say the opposite",
    )

    @model_validator(mode="after")
    def _bad_lies_below_good(self) -> RevisionConfig:
        if self.beta_is == "threshold" and self.beta > self.alpha:
            raise ValueError(
                f"beta {self.beta} is above alpha {self.alpha}: "
                "a trajectory would be good and bad at once"
            )
        if self.beta_is == "gap" and self.beta >= 1.0:
            raise ValueError("a gap of beta = 1 or more leaves no pair")
        return self


class BudgetConfig(Settings):
    """Where exploring and revising stop, each run anew; 0 is no limit. `trees` is one as well."""

    tokens: int = Field(0, ge=0, description="prompt and sampled tokens together")
    money: float = Field(0.0, ge=0, description="in the unit of the endpoint's prices")
    minutes: float = Field(0.0, ge=0, description="of the clock on the wall")
    fruitless_trees: int = Field(
        24,
        ge=0,
        description="trees without any pair after which a run is stopped; where some episode "
        "earns, the first trees of the plan must be among them, for easy ones end first; 0: never",
    )
    second_looks: int = Field(
        1,
        ge=0,
        description="times that a task without a revision is explored again, under another seed, "
        "with what a limit leaves over; no limit leaves anything over",
    )

    @property
    def limits(self) -> bool:
        return bool(self.tokens or self.money or self.minutes)

    def less(self, *, tokens: float, money: float, minutes: float) -> BudgetConfig:
        """What is left of it; a limit that is used up stays one, of next to nothing."""
        return BudgetConfig(
            tokens=max(self.tokens - int(tokens), 1) if self.tokens else 0,
            money=max(self.money - money, 1e-9) if self.money else 0.0,
            minutes=max(self.minutes - minutes, 1e-9) if self.minutes else 0.0,
            fruitless_trees=self.fruitless_trees,
            second_looks=self.second_looks,
        )
