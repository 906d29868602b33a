"""Worlds read replies in their own way, and a setting says how for worlds that are not ours."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from agent_r.actor import Completion
from agent_r.environment import Forkable
from agent_r.reading.reply import DEFAULT, parse_action, read
from agent_r.settings import (
    AgentGymEnv,
    GrammarConfig,
    GymnasiumEnv,
    OpenEnvEnv,
    PythonEnv,
    first_problem,
    public_settings,
)
from env_adapters import world_of
from env_adapters.agentgym.profiles import PROFILES

SQL = "SELECT a,\n  b\nFROM t\nWHERE " + " OR ".join(f"a = {n}" for n in range(60))


@pytest.mark.parametrize(
    ("server", "reply", "action", "kept"),
    [
        ("textcraft", "Thought:\nFirst.\n\nAction:\nget 1 oak log", "get 1 oak log", ""),
        ("textcraft", "I would rather not.", "", ""),
        ("babyai", "Thought:\nFirst.\n\nAction:\nturn left\n\nAction:\ndrop", "turn left", ""),
        ("babyai", "turn left</s>", "turn left", "turn left"),
        ("sciworld", "Thought:\na\n\nAction:\nopen door to kitchen", "open door to kitchen", ""),
        ("sciworld", "look around", "look around", ""),
        ("alfworld", "THOUGHT: a\nACTION: go to desk 1", "go to desk 1", ""),
        ("webshop", "Thought:\nI think ...\n\nAction: \nclick[red]", "click[red]", ""),
        ("webshop", "Action: search[red shoes, size 7]", "search[red shoes, size 7]", ""),
        ("webshop", "I look for shoes.\nsearch[red shoes]\nThen on.", "search[red shoes]", ""),
        ("webshop", "Thought: click[buy now] comes later.\nAction: search[x]", "search[x]", ""),
        ("webshop", "Action: search[]", "search[]", ""),
        (
            "searchqa",
            "<think>I do not know.</think>\n<search>capital of France</search>\n"
            "<information>Paris</information><answer>Paris</answer>",
            "<search>capital of France</search>",
            "<search>capital of France</search>",
        ),
        (
            "searchqa",
            "Action: <answer> Paris </answer>.",
            "<answer> Paris </answer>",
            "Action: <answer> Paris </answer>",
        ),
        ("searchqa", "<information>x</information>\n<answer>x</answer>", "", ""),
        (
            "sqlgym",
            f"Thought: all.\n\nAction: ```sql\n{SQL}\n```\nThat is it.",
            SQL.replace("\n", " "),
            f"Thought: all.\n\nAction: ```sql\n{SQL}\n```",
        ),
        ("sqlgym", "Action: SELECT 1", "SELECT 1", ""),
        (
            "webarena",
            "In summary, the next action I will perform is ```click [12]```. Then ```go_back```",
            "click [12]",
            "In summary, the next action I will perform is ```click [12]```",
        ),
        ("webarena", "Action: type [3] [a b] [1]", "type [3] [a b] [1]", ""),
    ],
)
def test_agentgyms_servers_are_spoken_to_as_their_own_clients_do(
    server: str, reply: str, action: str, kept: str
) -> None:
    grammar = PROFILES[server].reads
    reading = read(Completion(reply), grammar)
    assert reading.action == action
    assert not kept or reading.text == kept
    assert parse_action(reading.text, grammar) == action


def test_textcrafts_own_client_leaves_out_marks_and_knows_no_look() -> None:
    said = PROFILES["textcraft"].sent_line
    assert said("get 1 [oak log].") == "get 1 oak log"
    assert said("Look") == "Look"
    assert said("look") == "inventory"


def problem(**values: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        PythonEnv(factory="a:b", grammar=GrammarConfig(**values))
    return first_problem(caught.value)


def test_a_grammar_that_cannot_be_meant_is_refused_in_one_line() -> None:
    said = [
        problem(pattern="("),
        problem(pattern="a*"),
        problem(labels=()),
        problem(labels=("a:",)),
        problem(ends=("",)),
        problem(reasoning=("a b c",)),
        problem(longest=0),
    ]
    words = ["no regular expression", "nothing at all", "no reply holds an action", "no label"]
    for line, word in zip(said, [*words, "no label", "neither a tag", "longest"], strict=True):
        assert word in line
        assert "\n" not in line


def test_a_grammar_that_says_nothing_is_the_usual_one() -> None:
    assert GrammarConfig().grammar() == DEFAULT


COMMAND = GrammarConfig(labels=("command",))


@pytest.mark.parametrize("toy", ["Corridor", "ForkableCorridor"])
async def test_a_setting_says_how_a_python_worlds_replies_are_read(toy: str) -> None:
    spec = PythonEnv(factory=f"agent_r.testing:{toy}", grammar=COMMAND)
    world = world_of(spec)
    env = world.environment()
    assert env.info.grammar.labels == ("command",)
    assert isinstance(env, Forkable) == (toy == "ForkableCorridor")
    plain = world_of(PythonEnv(factory=f"agent_r.testing:{toy}")).environment()
    assert plain.info.grammar == DEFAULT
    assert env.tasks("train") == plain.tasks("train")
    assert await env.reset("corridor 0") == await plain.reset("corridor 0")
    assert await env.step("take key") == await plain.step("take key")
    if isinstance(env, Forkable):
        kept = env.snapshot()
        await env.step("drop key")
        env.restore(kept)
    await env.close()
    await world.aclose()


def test_a_setting_says_how_other_worlds_replies_are_read() -> None:
    how = {"base_url": "http://localhost:1", "grammar": COMMAND}
    worlds = [
        AgentGymEnv(server="searchqa", **how),
        OpenEnvEnv(name="o", instruction="?", action={"do": "{action}"}, observation="text", **how),
        GymnasiumEnv(factory="builtins:object", instruction="?", grammar=COMMAND),
    ]
    for spec in worlds[:2]:
        assert world_of(spec).info.grammar.labels == ("command",)
    for spec in worlds:
        assert public_settings(spec)["grammar"]["labels"] == ["command"]
        assert "grammar" not in public_settings(spec.model_copy(update={"grammar": None}))
