"""Turns of our own look like the actor's: one form in a row, whatever it is."""

from __future__ import annotations

import pytest

from agent_r.algorithm.turns import with_action, with_thought

THOUGHT, ACTION = "That was wrong.", "revise plan"


@pytest.mark.parametrize(
    ("response", "laid", "turn"),
    [
        (
            "Thought: I need sand.\nAction: get 1 sand",
            "Thought: That was wrong. I need sand.\nAction: get 1 sand",
            "Thought: That was wrong.\nAction: revise plan",
        ),
        (
            "Thought:\nI need sand.\n\nAction:\nget 1 sand",
            "Thought:\nThat was wrong. I need sand.\n\nAction:\nget 1 sand",
            "Thought:\nThat was wrong.\n\nAction:\nrevise plan",
        ),
        (
            "**Thought:** I need sand.\n**Action:** `get 1 sand`",
            "**Thought:** That was wrong. I need sand.\n**Action:** `get 1 sand`",
            "**Thought:** That was wrong.\n**Action:** `revise plan`",
        ),
        (
            "I need sand.\n<action>get 1 sand</action>",
            "That was wrong. I need sand.\n<action>get 1 sand</action>",
            "That was wrong.\n<action>revise plan</action>",
        ),
        (
            '{"thought": "I need sand.", "action": "get 1 sand"}',
            '{"thought": "That was wrong. I need sand.", "action": "get 1 sand"}',
            '{"thought": "That was wrong.", "action": "revise plan"}',
        ),
        (
            "Thought: I need sand.\nAction:\n```\nget 1 sand\n```",
            "Thought: That was wrong. I need sand.\nAction:\n```\nget 1 sand\n```",
            "Thought: That was wrong.\nAction:\n```\nrevise plan\n```",
        ),
        (
            "Action: get 1 sand",
            "Thought: That was wrong.\nAction: get 1 sand",
            "Thought: That was wrong.\nAction: revise plan",
        ),
    ],
)
def test_a_turn_of_ours_has_the_form_of_the_actors(response: str, laid: str, turn: str) -> None:
    assert with_thought(THOUGHT, response) == laid
    assert with_action(THOUGHT, ACTION, response, "get 1 sand") == turn


def test_a_form_that_nobody_knows_gets_the_plain_one() -> None:
    assert with_action(THOUGHT, ACTION, "get 1 sand", "get 1 sand") == (
        "Thought: That was wrong.\nAction: revise plan"
    )
