"""How the first error is found: what a verdict is, and what is none."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from agent_r.actor import Message
from agent_r.algorithm.critique import (
    Critique,
    FirstError,
    Verdict,
    contradicted,
    find_first_error,
    first_bad,
    judge_paths,
    judge_step,
    largest_fall,
    parse_verdict,
)
from agent_r.algorithm.prompts import JUDGE
from agent_r.algorithm.proof.effects import Effect
from agent_r.errors import ConversationRefused, EndpointRejected, EndpointUnavailable
from agent_r.settings import CritiqueConfig
from agent_r.testing import ScriptedActor
from tests.support.planting import judged, leaf, plant


def config(**over: Any) -> CritiqueConfig:
    return CritiqueConfig.model_validate(over)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("I need sand.\nJudgement: Good", Verdict.GOOD),
        ("judgement: bad", Verdict.BAD),
        ("JUDGEMENT: UNCERTAIN", Verdict.UNCERTAIN),
        ("Judgment: Bad", Verdict.BAD),
        ("**Judgement:** Bad", Verdict.BAD),
        ("**Judgement: Bad**", Verdict.BAD),
        ("__Judgement: Bad__", Verdict.BAD),
        ("_Judgement_: _Good_", Verdict.GOOD),
        ("`Judgement: Good`.", Verdict.GOOD),
        ("## Judgement\n\nUncertain", Verdict.UNCERTAIN),
        ("Judgement: Bad\nNo, wait.\nJudgement: Good", Verdict.GOOD),
        ("Judgement: Good\n" + "x" * 50_000, Verdict.GOOD),
        ("", None),
        ("Judgement:", None),
        ("Judgement: none", None),
        ("Judgement: Badly put", None),
        ("Judgement: not bad", None),
        ("Good", None),
        ("That was a bad step.", None),
        ("It was a misjudgement. Bad luck.", None),
        ("\x00\ud800", None),
    ],
)
def test_a_verdict_is_what_follows_the_last_judgement(text: str, verdict: Verdict | None) -> None:
    assert parse_verdict(text).verdict is verdict


def test_the_reason_is_what_comes_before_the_judgement() -> None:
    critique = parse_verdict("I do not need sand.\n**Judgement: Bad**")
    assert critique.reason == "I do not need sand."
    assert critique.text.endswith("Bad**")


def test_a_judge_that_runs_on_is_cut_and_none_can_break_the_parser() -> None:
    assert len(parse_verdict("x" * 90_000 + "\nJudgement: Bad").reason) == 2_000
    rng = random.Random(0)
    parts = ["judgement", ":", "bad", " ", "\n", "*", "_", "\ud800", "é", "Judgement: "]
    for _ in range(2000):
        parse_verdict("".join(rng.choices(parts, k=rng.randrange(40))))


@pytest.mark.parametrize("reply", [ConversationRefused("risk", status=400), "", "Hm."])
async def test_a_judge_that_fails_is_never_a_verdict(reply: str | Exception) -> None:
    tree = plant(("a/b", 0.0))
    critique = await judge_step(ScriptedActor([reply]), tree, 1, instruction="i", config=config())
    assert critique.verdict is None
    assert first_bad([1, 2], 0, {1: critique}) is None


async def test_an_endpoint_that_is_gone_is_no_judgement() -> None:
    gone = ScriptedActor([EndpointUnavailable("gone")])
    with pytest.raises(EndpointUnavailable):
        await judge_step(gone, plant(("a", 0.0)), 1, instruction="i", config=config())


async def test_no_reply_is_a_failed_judge_and_a_refused_request_ends_the_run() -> None:
    tree = plant(("a", 0.0))
    silent = await judge_step(ScriptedActor([]), tree, 1, instruction="i", config=config())
    assert silent.verdict is None
    with pytest.raises(EndpointRejected):
        refusing = ScriptedActor([EndpointRejected("no such model", status=404)])
        await judge_step(refusing, tree, 1, instruction="i", config=config())


async def test_the_judge_is_asked_about_the_last_step_after_its_observation() -> None:
    actor = ScriptedActor(["Judgement: Good"])
    await judge_step(actor, plant(("a/b", 0.0)), 1, instruction="rules", config=config())
    roles = [(m.role, m.content) for m in actor.conversations[0]]
    assert roles == [
        ("system", "rules"),
        ("user", "the prompt"),
        ("assistant", "Thought: now.\nAction: a"),
        ("user", f"seen a\n\n{JUDGE}"),
    ]
    assert actor.params[0].temperature == 0.0


async def test_a_vote_counts_verdicts_and_not_failures() -> None:
    actor = ScriptedActor(["Hm.", "r1\nJudgement: Bad", "Judgement: Good", "r2\nJudgement: Bad"])
    voting = config(localiser="vote", votes=4)
    critique = await judge_step(actor, plant(("a", 0.0)), 1, instruction="i", config=voting)
    assert (critique.verdict, critique.reason) == (Verdict.BAD, "r1")
    assert actor.params[0].temperature >= 0.7  # votes at temperature 0 would be one vote


async def test_a_tied_vote_goes_to_the_earlier_verdict() -> None:
    actor = ScriptedActor(["Judgement: Good", "Judgement: Bad"])
    voting = config(localiser="vote", votes=2)
    critique = await judge_step(actor, plant(("a", 0.0)), 1, instruction="i", config=voting)
    assert critique.verdict is Verdict.GOOD


def verdicts_of(bad: set[str]) -> ScriptedActor:
    """Judges an action bad if it is among those named."""

    def script(messages: Sequence[Message], k: int) -> str:
        action = messages[-2].content.rpartition(" ")[2]
        return f"Judgement: {'Bad' if action in bad else 'Good'}"

    return ScriptedActor(script)


TREE = (("a/b/c/d/e", 0.0), ("a/b/x/y", 0.0), ("a/z", 0.0), ("w/c", 0.0), ("a/b/c/q", 1.0))


@pytest.mark.parametrize("lookahead", [1, 2, 3, 10, "doubling"])
@pytest.mark.parametrize("bad", [set(), {"c"}, {"e", "y"}, {"b", "z"}, {"a"}, {"d", "c", "w"}])
async def test_waves_find_what_judging_in_order_finds(bad: set[str], lookahead: int | str) -> None:
    tree = plant(*TREE)
    paths = [tree.path(i) for i in tree.leaves()]
    settings = config(lookahead=lookahead)
    critiques: dict[int, Critique] = {}
    await judge_paths(verdicts_of(bad), tree, paths, critiques, instruction="i", config=settings)
    for path in paths:
        actions = [step.action for step in tree.steps(path[-1])]
        in_order = next((k for k, action in enumerate(actions) if action in bad), None)
        assert first_bad(path, 0, critiques) == in_order


@pytest.mark.parametrize("lookahead", [1, 4])
async def test_no_node_is_judged_twice(lookahead: int) -> None:
    tree = plant(*TREE)
    paths = [tree.path(i) for i in tree.leaves()]
    later = [path[2:] for path in paths]  # another pair's deeper fork: the same nodes, sooner
    actor = verdicts_of(set())
    critiques: dict[int, Critique] = {}
    settings = config(lookahead=lookahead)
    for some in (paths, later):
        await judge_paths(actor, tree, some, critiques, instruction="i", config=settings)
    assert actor.calls == len(critiques) == len(tree.nodes) - 1


async def test_judging_one_by_one_stops_at_the_first_bad_step() -> None:
    tree = plant(("a/b/c/d", 0.0))
    actor = verdicts_of({"b"})
    settings = config(lookahead=1)
    await judge_paths(actor, tree, [tree.path(4)], {}, instruction="i", config=settings)
    assert actor.calls == 2


@pytest.mark.parametrize("localiser", ["value", "direct", "replay"])
async def test_who_does_not_ask_the_actor_costs_nothing(localiser: str) -> None:
    tree = plant(*TREE)
    actor = verdicts_of(set())
    paths = [tree.path(1)]
    settings = config(localiser=localiser)
    await judge_paths(actor, tree, paths, {}, instruction="i", config=settings)
    assert actor.calls == 0


Found = tuple[int, str, bool | None] | None


def find(verdicts: Sequence[str | None], *, fork: int = 1, effects: str = "", **over: Any) -> Found:
    """The error on a/b/c/d, whose value falls most at c (position 2): where, by whom, agreeing.

    `effects` has a letter a step: p(rogress), i(dle), u(nneeded), c(ostly), d(ead end), or `.`.
    """
    error = first_error(verdicts, fork, effects, **over)
    return error and (error.position, error.source, error.agrees_with_value)


def first_error(
    verdicts: Sequence[str | None], fork: int = 1, effects: str = "", **over: Any
) -> FirstError | None:
    tree = plant(("a/b/c/d", 0.0), ("a/b/good", 1.0), ("a/b/fine", 1.0))
    path = tree.path(leaf(tree, "a/b/c/d"))
    critiques = {i: judged(v) for i, v in zip(path, verdicts, strict=False)}
    letters = {effect.value[0]: effect for effect in Effect}
    proved = {i: letters[e] for i, e in zip(path, effects, strict=False) if e != "."}
    settings = config(**({"localiser": "actor"} | over))
    return find_first_error(tree, path, fork, critiques, config=settings, effects=proved)


def test_the_actor_names_the_first_bad_step() -> None:
    assert find(["Good", "Good", "Bad", "Bad"]) == (2, "actor", True)


def test_an_error_before_the_fork_is_never_taken() -> None:
    assert find(["Bad", "Good", "Uncertain", "Bad"], agreement_tolerance=0) == (3, "actor", False)
    assert find(["Bad", "Bad", "Good", "Good"], fork=2) is None


def test_a_failed_judgement_and_an_uncertain_one_are_not_bad() -> None:
    assert find([None, None, "Uncertain", None]) is None


def test_the_value_localiser_takes_the_largest_fall_from_the_fork_on() -> None:
    assert find([], localiser="value") == (2, "value", None)
    assert find([], localiser="value", fork=3) is None  # nothing falls after it


def test_both_must_agree_within_so_many_steps() -> None:
    assert find(["Good", "Bad"], localiser="both", agreement_tolerance=1) == (1, "both", True)
    assert find(["Good", "Bad"], localiser="both", agreement_tolerance=0) is None


def test_a_vote_is_named_in_the_row() -> None:
    assert find(["Good", "Good", "Bad"], localiser="vote") == (2, "vote", True)


def test_direct_is_the_end_of_the_trajectory() -> None:
    assert find(["Bad"] * 4, localiser="direct") == (3, "direct", None)


def test_without_a_bad_step_the_policy_decides_and_is_recorded() -> None:
    calm = ["Good"] * 4
    assert find(calm) is None  # `skip` is the default
    assert find(calm, when_none="direct") == (3, "direct", None)
    assert find(calm, when_none="value") == (2, "value", None)
    assert find(calm, when_none="value", fork=3) is None


def test_what_replay_proved_is_an_error_whatever_the_actor_says() -> None:
    for letter in "ucd":
        assert find(["Good"] * 4, effects=f"pp{letter}i", localiser="witnesses") == (
            2,
            "witnesses",
            True,
        )
    assert find(["Good", "Bad", "Bad"], effects="ppu", localiser="witnesses")[0] == 2  # type: ignore[index]


def test_of_a_step_that_changed_nothing_the_actor_decides() -> None:
    assert find(["Good", "Good", "Bad"], effects="piii", localiser="witnesses") == (
        2,
        "witnesses",
        True,
    )
    assert find(["Good"] * 4, effects="piii", localiser="witnesses") is None


def test_where_nothing_is_proved_the_witnesses_are_the_actor() -> None:
    assert find(["Good", "Bad"], localiser="witnesses") == (1, "witnesses", True)


def test_replay_alone_takes_the_first_step_that_is_no_progress() -> None:
    assert find([], effects="uppi", localiser="replay") == (3, "replay", True)
    assert find([], effects="pppp", localiser="replay") is None


def test_an_error_names_the_witnesses_against_it() -> None:
    def against(*given: Any, **over: Any) -> tuple[str, ...]:
        error = first_error(*given, **over)
        assert error is not None
        return error.witnesses

    assert against(["Good", "Good", "Bad"], effects="..i") == ("actor", "value", "replay")
    assert against(["Good", "Bad"], effects=".p") == ("actor",)
    assert against([], localiser="value") == ("value",)


def test_a_judgement_is_contradicted_by_what_replay_proved_alone() -> None:
    assert contradicted(Verdict.GOOD, Effect.UNNEEDED)
    assert contradicted(Verdict.GOOD, Effect.IDLE)
    assert contradicted(Verdict.BAD, Effect.PROGRESS)
    assert not contradicted(Verdict.BAD, Effect.COSTLY)
    assert not contradicted(Verdict.UNCERTAIN, Effect.DEAD_END)
    assert not contradicted(Verdict.GOOD, None)


def test_of_equal_falls_the_earlier_counts_and_an_unvisited_leaf_has_its_reward() -> None:
    tree = plant(("a/b", 0.0), ("a/c", 1.0), ("d", 1.0), ("e", 1.0), ("f", 1.0), ("g", 2.0))
    path = tree.path(leaf(tree, "a/b"))
    assert [tree.nodes[i].value for i in (0, *path)] == [1.0, 0.5, 0.0]
    assert largest_fall(tree, path, 0) == 0
    assert largest_fall(tree, path, 1) == 1
    end = tree.nodes[path[-1]]
    end.visits, end.total_return, end.reward = 0, 0.0, 1.0
    assert largest_fall(tree, path, 1) is None
