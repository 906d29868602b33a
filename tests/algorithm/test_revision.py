"""Pairs, splices and their execution: each fault of the published code is a test."""

from __future__ import annotations

import random
from typing import Any

import pytest

from agent_r.actor import Message, SamplingParams
from agent_r.algorithm.critique import Critique, FirstError
from agent_r.algorithm.pairing import TrajectoryPair, pair_trajectories
from agent_r.algorithm.prompts import PROVED_SIGNALS, REVISE, SIGNALS
from agent_r.algorithm.revision import (
    Drop,
    Part,
    Revision,
    Turn,
    cut,
    diverse,
    join,
    recover,
    verify,
)
from agent_r.algorithm.revision_signal import signal_of
from agent_r.algorithm.trajectory import Step
from agent_r.algorithm.tree import SearchTree
from agent_r.errors import ContextOverflow
from agent_r.settings import RevisionConfig
from agent_r.testing import Corridor, ScriptedActor
from tests.support.planting import judged, plant


def config(**over: Any) -> RevisionConfig:
    return RevisionConfig.model_validate(over)


PAIRED = (("take key/west/jump", 0.3), ("take key/east/push/push", 1.0))


def spliced(
    tree: SearchTree, *, error: int = 1, critique: Critique | None = None, **over: Any
) -> Revision:
    settings = config(**over)
    [pair] = pair_trajectories(tree, settings)
    found = FirstError(error, "actor", None)
    node = tree.path(pair.bad)[error]
    signal = signal_of(tree, node, critique, "", config=settings, rng=random.Random(0))
    splice = cut(tree, pair, found)
    return join(tree, pair, found, splice, signal, placement=settings.placement)


def parts(revision: Revision) -> list[tuple[str, str]]:
    return [(turn.step.action, turn.part.value) for turn in revision.turns]


def test_a_splice_is_initial_bad_signal_and_good() -> None:
    revision = spliced(plant(*PAIRED))
    assert parts(revision) == [
        ("take key", "initial"),
        ("west", "bad"),
        (REVISE, "signal"),
        ("east", "good"),
        ("push", "good"),
        ("push", "good"),
    ]
    assert (revision.reward, revision.verified) == (1.0, False)


def test_the_first_error_is_kept_and_nothing_after_it() -> None:
    assert [p for _, p in parts(spliced(plant(*PAIRED), error=2))].count("bad") == 2


def test_the_templates_signal_is_one_of_ten_and_is_answered_by_ok() -> None:
    assert len(set(SIGNALS)) == 10
    revision = spliced(plant(*PAIRED), signal="template")
    step = next(turn.step for turn in revision.turns if turn.part is Part.SIGNAL)
    assert step.response.removeprefix("Thought: ").removesuffix(f"\nAction: {REVISE}") in SIGNALS
    assert (step.action, step.observation, revision.signal) == (REVISE, "ok.", "template")


def test_the_critiques_signal_is_the_actors_reason_whole_sentences_on_one_line() -> None:
    reason = "I went\nwest.\nAction: jump " + "x" * 1000
    revision = spliced(plant(*PAIRED), critique=judged("Bad", reason))
    step = next(turn.step for turn in revision.turns if turn.part is Part.SIGNAL)
    assert revision.signal == "critique"
    assert step.response == f"Thought: I went west.\nAction: {REVISE}"


def test_without_a_reason_the_critiques_signal_is_a_template() -> None:
    assert spliced(plant(*PAIRED), critique=judged("Bad", " ")).signal == "template"
    assert spliced(plant(*PAIRED), critique=None).signal == "template"


def test_inline_lays_the_signal_on_the_first_corrected_step_without_a_wait() -> None:
    revision = spliced(plant(*PAIRED), placement="inline", critique=judged("Bad", "No door there."))
    assert [p for _, p in parts(revision)] == ["initial", "bad", "signal", "good", "good"]
    signal = revision.turns[2].step
    assert signal.action == "east"
    assert signal.response == "Thought: No door there. now.\nAction: east"


@pytest.mark.parametrize("placement", ["turn", "inline"])
def test_without_a_signal_the_correcting_step_follows_the_error(placement: str) -> None:
    revision = spliced(plant(*PAIRED), placement=placement, signal="none")
    assert revision.signal == "none" and not revision.count(Part.SIGNAL)
    plain = spliced(plant(*PAIRED), placement="turn")
    good = [turn for turn in plain.turns if turn.part is Part.GOOD]
    assert list(revision.turns[-len(good) :]) == good


async def test_verify_keeps_what_the_world_really_answered() -> None:
    revision = spliced(plant(*PAIRED))
    checked = await verify(Corridor(), plant(*PAIRED), revision, alpha=1.0)
    assert isinstance(checked, Revision)
    assert (checked.reward, checked.verified) == (1.0, True)
    assert [turn.step.observation for turn in checked.turns] == [
        "You have the key.",
        "You are in room 0.",
        "ok.",
        "You are in room 1.",
        "The door gives a little.",
        "The door is open.",
    ]
    assert [turn.part for turn in checked.turns] == [turn.part for turn in revision.turns]


async def test_verify_drops_a_splice_whose_bad_step_spent_what_the_tail_needs() -> None:
    tree = plant(("take key/drop key/jump", 0.0), ("take key/east/push/push", 1.0))
    assert await verify(Corridor(), tree, spliced(tree), alpha=1.0) is Drop.LOW_REWARD
    assert await verify(Corridor(), tree, spliced(tree), alpha=0.3) is Drop.LOW_REWARD


async def test_verify_keeps_a_lower_reward_where_alpha_allows_it_and_says_which() -> None:
    tree = plant(("take key/west/jump", 0.0), ("take key/east/push", 1.0))
    checked = await verify(Corridor(), tree, spliced(tree), alpha=0.3)
    assert isinstance(checked, Revision)
    assert checked.reward == 0.3


async def test_verify_drops_what_ends_before_the_correction() -> None:
    tree = plant(*PAIRED)
    assert await verify(Corridor(), tree, spliced(tree, error=2), alpha=0.0) is Drop.ENDED_EARLY


async def test_a_splice_that_succeeds_sooner_ends_there() -> None:
    tree = plant(("take key/east/push/west/jump", 0.3), ("take key/east/west/east/push/push", 1.0))
    checked = await verify(Corridor(), tree, spliced(tree, error=2), alpha=1.0)
    assert isinstance(checked, Revision)
    assert [turn.step.action for turn in checked.turns][-2:] == ["east", "push"]
    assert checked.reward == 1.0


async def test_a_verified_splice_verifies_again() -> None:
    tree = plant(*PAIRED)
    once = await verify(Corridor(), tree, spliced(tree), alpha=1.0)
    assert isinstance(once, Revision)
    assert await verify(Corridor(), tree, once, alpha=1.0) == once


SHORT = (("east/jump", 0.0), ("push/push", 1.0))  # as written, its tail lacks the key


async def recovered(actor: ScriptedActor, *, max_steps: int = 12) -> tuple[Step, ...] | None:
    tree = plant(*SHORT, task="corridor 0")
    return await recover(
        Corridor(),
        actor,
        tree,
        spliced(tree, error=0),
        alpha=1.0,
        max_steps=max_steps,
        params=SamplingParams(seed=1),
    )


async def test_recovery_goes_on_from_the_signal_and_gives_the_tail() -> None:
    actor = ScriptedActor(["Action: take key", "Action: push", "Action: push"])
    tail = await recovered(actor)
    assert tail is not None
    assert [step.action for step in tail] == ["take key", "push", "push"]
    assert actor.conversations[0][-1] == Message("user", "ok.")
    assert len({params.seed for params in actor.params}) == 3


@pytest.mark.parametrize(
    "replies",
    [["Action: jump"], [], [ContextOverflow("full", status=400)], ["Action: east"] * 20],
)
async def test_a_recovery_that_fails_is_dropped(replies: list[str | Exception]) -> None:
    assert await recovered(ScriptedActor(replies)) is None


async def test_a_recovery_without_a_step_left_is_dropped() -> None:
    assert await recovered(ScriptedActor(["Action: push"]), max_steps=2) is None


def revision_of(*wrong: str, tail: str = "good") -> Revision:
    turns = [Turn(Step(a, a, ""), Part.BAD) for a in wrong] + [
        Turn(Step(tail, tail, ""), Part.GOOD)
    ]
    return Revision(
        TrajectoryPair(1, 2, 0), FirstError(0, "actor", None), tuple(turns), 1, True, ""
    )


def test_the_cap_prefers_other_errors_to_more_of_one() -> None:
    one, again, other = revision_of("a"), revision_of("a", tail="x"), revision_of("b")
    assert list(diverse([one, again, other], 2)) == [one, other]
    assert list(diverse([one, again, other], 9)) == [one, other, again]
    assert list(diverse([], 2)) == []


@pytest.mark.parametrize("kind", PROVED_SIGNALS)
def test_a_proved_signal_says_what_kind_of_error_it_was(kind: str) -> None:
    tree, rng = plant(*PAIRED), random.Random(0)
    critique = judged("Bad", "I went west.")

    def signal(how: str, said: Critique | None) -> tuple[str, str]:
        one = signal_of(tree, 2, said, kind, config=config(signal=how), rng=rng)
        return one.thought, one.source

    thought, source = signal("proof", critique)
    assert source == "proof" and thought in PROVED_SIGNALS[kind]
    assert signal("critique", critique) == ("I went west.", "critique")
    assert signal("critique", None)[1] == "proof"
    assert signal("critique", judged("Good", "It was right."))[1] == "proof"
    assert signal("template", critique)[1] == "template"
