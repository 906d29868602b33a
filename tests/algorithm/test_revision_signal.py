"""What a judge wrote, and what of it the actor can say: whole, in the first person, or nothing."""

from __future__ import annotations

import time

import pytest

from agent_r.algorithm.revision_signal import MAX_CHARS, spoken

LONG = "I took the wrong item from the shelf, and that cost a turn that I needed later on. "


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("I do not have the items for mortar.", "I do not have the items for mortar."),
        ("I do not have the items for mortar", "I do not have the items for mortar."),
        ('{"reason": "I have no planks", "verdict": "Bad"}', "I have no planks."),
        ('```json\n{"Reasoning": "I have no planks."}\n```', "I have no planks."),
        ("### Analysis\nI have no planks yet.\n\n### Verdict", "I have no planks yet."),
        ("**Reason:** I have no planks yet.", "I have no planks yet."),
        ("- I have no planks yet.\n- I need a log.", "I have no planks yet. I need a log."),
        ("Step 3: I have no planks yet.", "I have no planks yet."),
        ("The agent tried to craft without planks.", "I tried to craft without planks."),
        ("The assistant's step was refused.", "My step was refused."),
        ("The action was refused, e.g. for want of planks.", None),
        ("I have no planks yet. So the step is Bad.", "I have no planks yet."),
        ("The last step is bad. I have no planks yet.", "I have no planks yet."),
        ("Did it bring the goal nearer? I have no planks yet.", "I have no planks yet."),
        ("I need to judge my last step. I have no planks yet.", "I have no planks yet."),
        ("I have no planks yet.\nAction: get 1 log", "I have no planks yet."),
        ("I have no planks yet.\nObservation: Got 1 log", "I have no planks yet."),
        ("That was a bad idea, since I have no planks.", None),
        ("木の板がまだありません。必要です。", "木の板がまだありません。 必要です。"),
    ],
)
def test_a_signal_is_what_the_actor_can_say_of_its_own_step(reason: str, said: str | None) -> None:
    assert spoken(reason) == (reason if said is None else said)


@pytest.mark.parametrize(
    "reason",
    [
        "",
        "Bad",
        "**Bad**",
        '"Bad."',
        "The step is Bad.",
        "My judgement is Bad.",
        "You should have taken a log first.",
        "The agent crafts without planks.",
        "Did the step bring the goal nearer?",
        "The user wants me to judge the last step of the agent.",
        '{"reason": "", "verdict": "Bad"}',
        '{"verdict": "Bad"}',
        '{"reason": "I had no',
        "### Verdict",
        "Action: get 1 oak log",
        "No.",
        "Because the",
        "x" * 500,
    ],
)
def test_what_the_actor_cannot_say_leaves_nothing(reason: str) -> None:
    assert spoken(reason) == ""


def test_a_long_reason_ends_with_a_whole_sentence() -> None:
    said = spoken(LONG * 10)
    assert 0 < len(said) <= MAX_CHARS
    assert said == (LONG * 3).strip()


@pytest.mark.parametrize("piece", ["a ", "the agent ", "is ", "{", "#", "* ", "\n", "is a ", '"'])
def test_any_text_is_read_in_time_that_grows_with_it(piece: str) -> None:
    began = time.process_time()
    spoken(piece * (20_000 // len(piece)))
    assert time.process_time() - began < 2.0  # quadratic would take minutes
