"""How a reply is read: every spelling of an action, and nothing that is not the actor's own."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from agent_r.actor import Completion
from agent_r.reading.reply import (
    DEFAULT,
    MAX_ACTION_CHARS,
    Grammar,
    Outcome,
    Reading,
    parse_action,
    read,
    split_reasoning,
)

HERE = Path(__file__).parent
# Our own cases, then situations that people report in public trackers, in our words; each names the
# repository and the number of the issue.
CASES = [
    json.loads(line)
    for name in ("replies.jsonl", "replies_public.jsonl")
    for line in (HERE / name).read_text(encoding="utf-8").splitlines()
]
# Pieces that grammars are made of: any of them may stand anywhere.
PIECES = r"""
Action: |Action: x⏎|action |<action>|</action>|<think>|</think>|{|}|"|"action":|"action": {|{"a":
"action": "a|```|⏎```⏎|Action:⏎|Observation:|⏎|[Action]|**|<|im_end|>|Action Input:|'|\|<plan>
</a>| |⇥|the next |- |1. |`|。|（|<|[|(|【|Action 1|⏎Action⏎|⏎Action: ```⏎|⏎Action: {|~~~⏎|：|🪵
"action": [|Action: x Action: |< /think >|. Action:|get 1 oak log|Thought: I need.⏎|⇤|</s>|final"""
ALPHABET = [
    piece.replace("⏎", "\n").replace("⇥", "\t").replace("⇤", "\r\n")
    for line in PIECES.splitlines()
    for piece in line.split("|")
    if piece
] + ["<|channel|>analysis<|message|>", "assistantfinal", "<|im_end|>", "\x00", "\u2028", "\ud800"]


@pytest.mark.parametrize("case", CASES, ids=[case["why"] for case in CASES])
def test_an_action_has_many_spellings(case: dict[str, str]) -> None:
    reading = read(Completion(case["reply"], case.get("finish", "stop")))
    assert reading.action == case["action"]


@pytest.mark.parametrize("case", CASES, ids=[case["why"] for case in CASES])
def test_what_is_trained_reads_as_the_same_action(case: dict[str, str]) -> None:
    reading = read(Completion(case["reply"]))
    again = read(Completion(reading.text))
    assert (again.text, again.action, again.reasoning) == (reading.text, reading.action, "")


@pytest.mark.parametrize("case", CASES, ids=[case["why"] for case in CASES])
def test_nothing_that_is_not_the_actors_own_is_trained(case: dict[str, str]) -> None:
    text = read(Completion(case["reply"])).text
    assert text == text.rstrip()
    for foreign in ("inventory\n", "Observation", "think", "<|", "|>", "</s>", "INST", "User:"):
        assert foreign not in text


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ("Thought: go.\nAction: east\n", "Thought: go.\nAction: east"),
        (" Thought: go.\nAction:  east.", " Thought: go.\nAction:  east."),
        ("Action: east\nObservation: a wall\nAction: west", "Action: east"),
        ("Action:\n```\neast\n```\nThen west.", "Action:\n```\neast\n```"),
        ("Action:\n```\neast\nwest\n```", "Action:\n```\neast\n```"),
        ("Action:\n```\neast", "Action:\n```\neast\n```"),
        ("```\nAction: east\nObservation: x\n```", "```\nAction: east\n```"),
        ("<action>east</action> I hope.", "<action>east</action>"),
        ("<action>east", "<action>east</action>"),
        ('{"thought": "I", "action": "east"', '{"thought": "I", "action": "east"}'),
        ("<action>\neast\nwest\n</action>", "<action>\neast\n</action>"),
        ("<r>\n<action>east</action>\n</r>\nok", "<r>\n<action>east</action>\n</r>"),
        ('{"action": "east", "why": "}"} {"action": "west"}', '{"action": "east", "why": "}"}'),
        ('```json\n{"action": "east"}\n```\nDone.', '```json\n{"action": "east"}\n```'),
        ('[{"action": "east"}, {"action": "west"}]', '[{"action": "east"}]'),
        ('[{"action": "east"}]\n', '[{"action": "east"}]'),
        ('{"actions": ["east", "west"]}', '{"actions": ["east"]}'),
        ('{"actions": ["east"], "n": 1}', '{"actions": ["east"], "n": 1}'),
        ('{"actions": [{"name": "east"}, {"name": "west"}]}', '{"actions": [{"name": "east"}]}'),
        ("Action: go\nAction Input: east\nThought: x", "Action: go\nAction Input: east"),
        ("**Action: east** now\nx", "**Action: east** now"),
        ("Action: east</s>", "Action: east"),
        ("Action: east</action>", "Action: east"),
        ("Thought: a. Action: east Observation: b", "Thought: a. Action: east"),
        ("<think>hm</think>\n\nAction: east", "Action: east"),
        ("I would rather not.\nObservation: a wall", "I would rather not."),
    ],
)
def test_a_reply_ends_with_its_action_and_is_else_verbatim(reply: str, text: str) -> None:
    assert read(Completion(reply)).text == text


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("Action: one\nThought: no\naction : two\n", "one"),
        ("Action: Action: nested", "Action: nested"),
        ("Action: get\x001\u2028coal\x7f", "get 1 coal"),
        ("Action: \ud800craft\udfff", "craft"),
        ("Action: naïve 漢字 🪵", "naïve 漢字 🪵"),
        ("Action: " + "x" * 5000, "x" * MAX_ACTION_CHARS),
        ('Action: say "hello"', 'say "hello"'),
        ('Action: "yes" and "no"', '"yes" and "no"'),
        ("Action: take bob's hat.", "take bob's hat."),
        ("Action: search[red shirt]", "search[red shirt]"),
        ("Action: <search>red shirt</search>", "<search>red shirt</search>"),
        ('Action: {"move": "left"}', '{"move": "left"}'),
        ("Action:\n- east\n- west", "east"),
        ("Action: old\n" + "x" * 30_000, "old"),
    ],
)
def test_an_action_is_one_printable_line_as_it_was_written(text: str, action: str) -> None:
    assert parse_action(text) == action


@pytest.mark.parametrize(
    ("text", "finish", "outcome"),
    [
        ("Action: east", "stop", Outcome.ACTION),
        ("Action: ea", "length", Outcome.CUT),
        ("Action:\nea", "length", Outcome.CUT),
        ("Thought: I am", "length", Outcome.CUT),
        ("", "length", Outcome.CUT),
        ("Action: east\nThis brings me", "length", Outcome.ACTION),
        ("Action: east\nObservation: a wa", "length", Outcome.ACTION),
        ("<action>east</action>", "length", Outcome.ACTION),
        ("<action>ea", "length", Outcome.CUT),
        ("Action:\n```\nea", "length", Outcome.CUT),
        ("Action:\n```\neast\n```", "length", Outcome.ACTION),
        ('{"action": "east", "thought": "I', "length", Outcome.CUT),
        ("<action>east\nor we", "length", Outcome.CUT),
        ("Action: ea", "max_tokens", Outcome.CUT),
        ("<think>hm\nAction: east\n", "stop", Outcome.CUT),
        ("<think>hm\nAction: east\n", "length", Outcome.CUT),
        ("Action: ea", "content_filter", Outcome.FILTERED),
        ("", "content_filter", Outcome.FILTERED),
        ("Action: ea", "error", Outcome.FAILED),
        ("", "stop", Outcome.EMPTY),
        (" \n\u200b", "stop", Outcome.EMPTY),
        ("", "tool_calls", Outcome.EMPTY),
        ("<think>hm</think>", "stop", Outcome.EMPTY),
        ("<|im_start|>user\nhello", "stop", Outcome.EMPTY),
        ("I would rather not.", "stop", Outcome.NO_ACTION),
    ],
)
def test_what_the_server_says_of_a_reply_is_used(text: str, finish: str, outcome: Outcome) -> None:
    reading = read(Completion(text, finish))
    assert reading.outcome is outcome
    assert bool(reading.action) == (outcome is Outcome.ACTION)


def test_a_reply_longer_than_any_is_cut() -> None:
    assert read(Completion("Thought: " + "on and " * 100_000)).outcome is Outcome.CUT


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("<think>a</think>b", "a", "b"),
        ("<think>\na\n</think>\n\nb", "a", "b"),
        ("<think>a", "a", ""),
        ("a</think>b", "a", "b"),
        ("<think>a</think>b</think>", "a", "b"),
        ("<think>a<think>b</think>c</think>d", "abc", "d"),
        ("<think>a</think>b<think>c</think>d", "a\nc", "bd"),
        ("< Think time='3'>a</ think >b", "a", "b"),
        ("<thinker>a</thinker>b", "", "<thinker>a</thinker>b"),
        ("plain", "", "plain"),
    ],
)
def test_reasoning_and_answer_are_told_apart(text: str, reasoning: str, answer: str) -> None:
    assert split_reasoning(text) == (reasoning, answer)


def test_other_marks_of_reasoning_can_be_named() -> None:
    assert split_reasoning("<mull>a</mull>b", ("mull",)) == ("a", "b")
    assert split_reasoning("{{a}}b", ("{{ }}",)) == ("a", "b")
    assert split_reasoning("<think>a</think>b", ()) == ("", "<think>a</think>b")


def test_reasoning_from_the_server_comes_first_and_not_twice() -> None:
    both = read(Completion("<think>b</think>Action: c", reasoning="a"))
    assert both == Reading(Outcome.ACTION, "Action: c", "c", "a\nb")
    assert read(Completion("<think>a</think>Action: c", reasoning=" a ")).reasoning == "a"


@pytest.mark.parametrize(
    ("grammar", "text", "action", "kept"),
    [
        (Grammar(labels=("command",)), "Action: a\nCommand: b\nc", "b", "Action: a\nCommand: b"),
        (Grammar(labels=("command",)), "DISCUSSION\na\n\nCOMMAND\nopen /b", "open /b", ""),
        (Grammar(labels=("zug",)), "**Zug 3**: e4", "e4", "**Zug 3**: e4"),
        (Grammar(ends=()), "Observation: a\nAction: b", "b", "Observation: a\nAction: b"),
        (Grammar(ends=("world",)), "World: a\nAction: b", "", ""),
        (Grammar(pattern=r"<(search|answer)>.*?</\1>"), "a <search>b</search> c", "search", ""),
        (Grammar(pattern=r"(?s)```sql\n(.*?)```"), "a\n```sql\nb\nc\n```\nd", "b c", ""),
        (Grammar(pattern=r"(?P<x>go) (?P<action>\w+)"), "go east, go west", "east", "go east"),
        (Grammar(pattern="go", whole=True), "look ", "look", "look"),
        (Grammar(whole=True), "e2e4", "e2e4", "e2e4"),
        (Grammar(whole=True), "Thought: a\nAction: e2e4", "e2e4", "Thought: a\nAction: e2e4"),
        (Grammar(reasoning=("mull",)), "<mull>Action: a</mull>Action: b", "b", "Action: b"),
    ],
)
def test_a_world_can_bring_a_grammar_of_its_own(
    grammar: Grammar, text: str, action: str, kept: str
) -> None:
    reading = read(Completion(text), grammar)
    assert reading.action == action
    assert not kept or reading.text == kept
    assert read(Completion(reading.text), grammar).action == action


def test_no_text_makes_reading_fail_and_what_is_read_stays_so() -> None:
    rng = random.Random(0)
    for _ in range(5000):
        text = "".join(rng.choices(ALPHABET, k=rng.randrange(14)))
        reading = read(Completion(text, rng.choice(["stop", "length"])))
        assert len(reading.action) <= MAX_ACTION_CHARS
        assert "\n" not in reading.action
        reading.action.encode()  # a lone surrogate could not be written to any file
        if reading.outcome is Outcome.ACTION:
            assert read(Completion(reading.text)).action == reading.action


@pytest.mark.parametrize(
    "unit", [*ALPHABET, "a", " ", "*", "action ", "\t:", "<think", '"action": ']
)
def test_a_long_reply_is_read_at_once(unit: str) -> None:
    for opening in ("", "Action: go\n", "<think>", "{"):
        text = opening + unit * (100_000 // len(unit))
        began = time.process_time()
        read(Completion(text), DEFAULT)
        assert time.process_time() - began < 2
