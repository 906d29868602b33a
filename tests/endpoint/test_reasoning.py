"""Reasoning from an endpoint stays apart, and is sent back only where that is asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent_r.actor import Completion, Message
from agent_r.algorithm.critique import Verdict, parse_verdict
from agent_r.reading.reply import Outcome, read
from agent_r.settings import OpenAIEndpoint
from tests.support.faulty_endpoint import PARAMS, Fault, bench

TURNS = [
    Message("user", "Go."),
    Message("assistant", "Action: east", "A door?"),
    Message("user", "."),
]


def said(message: dict[str, Any], finish: str | None = "stop") -> Fault:
    return Fault(body=json.dumps({"choices": [{"message": message, "finish_reason": finish}]}))


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": "Hi", "reasoning_content": "hm"}, "Hi", "hm"),
        ({"content": "Hi", "reasoning": "hm"}, "Hi", "hm"),
        ({"content": "Hi", "reasoning": None, "reasoning_content": "hm"}, "Hi", "hm"),
        ({"content": "Hi", "reasoning_content": "hm", "reasoning": "hm"}, "Hi", "hm"),
        ({"content": "Hi", "reasoning": {"effort": "low"}}, "Hi", ""),
        ({"content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]}, "Hi", ""),
        ({"content": ["H", "i", 3, None, {"type": "image_url"}]}, "Hi", ""),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                    {"type": "text", "text": "Hi"},
                ]
            },
            "Hi",
            "hm",
        ),
        ({"content": None, "refusal": "I will not."}, "I will not.", ""),
    ],
)
async def test_reasoning_comes_in_several_fields(
    message: dict[str, Any], text: str, reasoning: str
) -> None:
    async with bench([said(message)]) as (client, _):
        [reply] = await client.ask()
    assert (reply.text, reply.reasoning) == (text, reasoning)


async def test_reasoning_without_an_answer_is_cut_or_empty_and_never_an_action() -> None:
    message = {"content": None, "reasoning_content": "Action: east"}
    async with bench([said(message, "length")]) as (client, _):
        [reply] = await client.ask()
    reading = read(reply)
    assert (reading.outcome, reading.action, reading.text) == (Outcome.CUT, "", "")
    assert reading.reasoning == "Action: east"


async def test_a_reply_that_the_server_broke_off_is_asked_for_again() -> None:
    async with bench([said({"content": "Action: ea"}, "error")]) as (client, server):
        [reply] = await client.ask()
    assert (len(server.completions), reply.finish_reason) == (2, "stop")


async def test_tags_of_a_models_own_are_a_setting() -> None:
    texts = ["<mull>Action: west</mull>Action: east", "[M]Action: west[/M]Action: east"]
    faults = [
        said({"content": text}) for text in [*texts, "<mull>Action: west", "<think>a</think>b"]
    ]
    async with bench(faults, reasoning_tags=("mull", "[M] [/M]")) as (client, _):
        replies = [reply for _ in faults for reply in await client.ask()]
    assert replies == [
        Completion("Action: east", "stop", reasoning="Action: west"),
        Completion("Action: east", "stop", reasoning="Action: west"),
        Completion("", "length", reasoning="Action: west"),
        Completion("b", "stop", reasoning="a"),
    ]


@pytest.mark.parametrize("tag", ["", "a b c", " a", "a\tb\n"])
def test_a_tag_that_could_not_be_found_is_refused(tag: str) -> None:
    with pytest.raises(ValueError, match="neither a tag's name"):
        OpenAIEndpoint(base_url="http://localhost/v1", model="m", reasoning_tags=(tag,))


@pytest.mark.parametrize("sends", [False, True])
async def test_reasoning_is_sent_back_only_where_it_is_asked_for(sends: bool) -> None:
    async with bench([], send_reasoning=sends) as (client, server):
        await client.actor.complete(TURNS, n=1, params=PARAMS)
    own = {"role": "assistant", "content": "Action: east"}
    sent = server.completions[0].body["messages"]
    assert sent[1] == own | ({"reasoning_content": "A door?"} if sends else {})
    assert set(sent[0]) == {"role", "content"}


@pytest.mark.parametrize(
    ("text", "verdict", "reason"),
    [
        ("<think>Judgement: Bad?</think>It helps.\nJudgement: Good", Verdict.GOOD, "It helps."),
        ("<think>Judgement: Bad", None, ""),
        ("Judgement: Bad, no …</think>It helps.\nJudgement: Good", Verdict.GOOD, "It helps."),
        (
            "It helps.\nJudgement: Good</s><|im_start|>user\nJudgement: Bad",
            Verdict.GOOD,
            "It helps.",
        ),
        ("<think>hm</think>", None, ""),
    ],
)
def test_reasoning_is_no_verdict_and_no_reason(
    text: str, verdict: Verdict | None, reason: str
) -> None:
    critique = parse_verdict(text)
    assert (critique.verdict, critique.reason) == (verdict, reason)
    assert "think" not in critique.text
