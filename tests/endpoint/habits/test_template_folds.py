"""Turns are folded as a server's chat template takes them: found out once a run, said once.

The refusals are those of real servers and of the templates that models come with.
"""

from __future__ import annotations

import logging
from itertools import pairwise
from typing import Any

import pytest

from agent_r.actor import Message
from agent_r.errors import ConversationRefused, EndpointRejected
from agent_r.reading.folding import folded, possible
from tests.support.faulty_endpoint import PARAMS, Bench, Fault, Received, bench, refusal

EPISODE = [
    Message("system", "You craft."),
    Message("user", "Goal: a bowl."),
    Message("assistant", "Action: look"),
    Message("user", "A room."),
]
MERGED = [
    ("user", "You craft.\n\nGoal: a bowl."),
    ("assistant", "Action: look"),
    ("user", "A room."),
]


def turns(received: Received) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in received.body["messages"]]


async def ask(client: Bench, messages: list[Message] = EPISODE) -> None:
    await client.actor.complete(messages, n=2, params=PARAMS)


def unless(fits: Any, said: Fault) -> Any:
    """Refuse conversations that do not fit a template."""
    return lambda received: (
        None if received.path.endswith("/models") or fits(received.body["messages"]) else said
    )


def no_system(messages: list[dict[str, str]]) -> bool:
    return all(turn["role"] != "system" for turn in messages)


NO_SYSTEM = {
    # google/gemma-2: chat_template.jinja, through vLLM
    "Gemma 2": refusal(400, "System role not supported"),
    # ggml-org/llama.cpp: the exception of a template is an HTTP 500
    "llama.cpp": refusal(
        500, "Value is not callable: raise_exception('System role not supported') at row 1"
    ),
    # lmstudio-ai/lmstudio-bug-tracker
    "LM Studio": refusal(
        400,
        'Error rendering prompt with jinja template: "Only user and assistant roles are '
        'supported!"',
    ),
    # mistralai/Mistral-7B-Instruct-v0.1: the template knows no system role, and says so otherwise
    "Mistral 7B": refusal(
        400, "Conversation roles must alternate user/assistant/user/assistant/..."
    ),
    # text-generation-inference
    "TGI": refusal(422, "Template error: invalid operation: System role not supported"),
    # OpenAI's o1-mini
    "o1-mini": refusal(
        400, "Unsupported value: 'messages[0].role' does not support 'system' with this model."
    ),
    # Gemma by Google's compatible endpoint
    "Gemini": refusal(400, "Developer instruction is not enabled for models/gemma-3-27b-it"),
    # AWS Bedrock's gateway
    "Bedrock": refusal(400, "This model doesn't support system messages. Try again without"),
    "a first turn that is the user's": refusal(
        400, 'messages: first message must use the "user" role'
    ),
    "no word of it": refusal(400, "Bad Request"),
    "no word of it, and broken": refusal(500, "Internal Server Error"),
}


@pytest.mark.parametrize("said", NO_SYSTEM.values(), ids=NO_SYSTEM)
async def test_without_a_system_role_the_instruction_goes_into_the_first_user_turn(
    said: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "agent_r")
    async with bench(unless(no_system, said), attempts=4) as (client, server):
        for _ in range(3):
            await ask(client)
        assert turns(server.completions[-1]) == MERGED
        assert server.completions[-1].body["n"] == 2
        assert client.actor.folds == ["system"]
        tried = len(server.completions)
        await ask(client)
        assert len(server.completions) == tried + 1
    assert [r.message.count("first user turn") for r in caplog.records].count(1) == 1


async def test_a_set_fold_needs_no_finding_out_and_keep_allows_none() -> None:
    async with bench(unless(no_system, refusal(400, "no")), system="merge") as (client, server):
        await ask(client)
        assert [turns(one) for one in server.completions] == [MERGED]
    said = refusal(400, "System role not supported")
    async with bench(unless(no_system, said), system="keep") as (client, server):
        with pytest.raises(ConversationRefused, match="System role"):
            await ask(client)


def no_empty(messages: list[dict[str, str]]) -> bool:
    return all(turn["content"].strip() for turn in messages)


@pytest.mark.parametrize(
    "words",
    [
        "messages: text content blocks must be non-empty",  # Anthropic
        "messages.3: all messages must have non-empty content except for the optional final "
        "assistant message",  # Anthropic
        "Unable to submit request because it must have a text parameter",  # Vertex
        "The content field in messages cannot be empty",  # Z.AI, DashScope
        "contents.parts must not be empty.",  # Gemini
        "Bad Request",
    ],
)
async def test_an_empty_turn_that_is_refused_says_that_there_is_nothing(words: str) -> None:
    silent = [*EPISODE[:3], Message("user", "")]
    async with bench(unless(no_empty, refusal(400, words))) as (client, server):
        await ask(client, silent)
        assert turns(server.completions[-1])[-1] == ("user", "(nothing)")
        assert turns(server.completions[-1])[0] == ("system", "You craft.")
        assert client.actor.folds == ["empty"]


def alternates(messages: list[dict[str, str]]) -> bool:
    roles = [turn["role"] for turn in messages if turn["role"] != "system"]
    return all(one != other for one, other in pairwise(roles))


@pytest.mark.parametrize(
    "words",
    [
        "Conversation roles must alternate user/assistant/user/assistant/...",
        "After the optional system message, conversation roles must alternate",  # Mistral, vLLM
        "After the (optional) system message(s), user or tool message(s) should alternate with "
        "assistant message(s)",  # Perplexity
        'messages: roles must alternate between "user" and "assistant", but found multiple "user" '
        "roles in a row",  # Anthropic, older
        "no",
    ],
)
async def test_neighbours_of_one_role_are_joined(words: str) -> None:
    twice = [*EPISODE, Message("user", "It is dark.")]
    async with bench(unless(alternates, refusal(400, words))) as (client, server):
        await ask(client)
        await ask(client, twice)
        assert turns(server.completions[-1])[-1] == ("user", "A room.\n\nIt is dark.")
        assert turns(server.completions[-1])[0][0] == "system"


@pytest.mark.parametrize(
    "words",
    [
        "Expected last role User or Tool (or Assistant with prefix True) for serving but got "
        "assistant",  # Mistral
        "This model does not support assistant message prefill. The conversation must end with a "
        "user message.",  # Anthropic
        "Last message must have role `user`.",  # Perplexity
        "no",
    ],
)
async def test_a_last_turn_of_the_actors_is_followed_by_one_of_ours(words: str) -> None:
    def ends_well(messages: list[dict[str, str]]) -> bool:
        return messages[-1]["role"] == "user"

    async with bench(unless(ends_well, refusal(400, words))) as (client, server):
        await ask(client, EPISODE[:3])
        assert turns(server.completions[-1])[-1] == ("user", "Go on.")


async def test_a_policy_teaches_no_fold() -> None:
    def decent(messages: list[dict[str, str]]) -> bool:
        return "bomb" not in str(messages)

    async with bench(unless(decent, refusal(400, "The prompt violates our policy"))) as (client, _):
        with pytest.raises(ConversationRefused):
            await ask(client, [*EPISODE[:3], Message("user", "A bomb.")])
        assert client.actor.folds == []


async def test_what_no_fold_helps_with_is_refused_and_teaches_none() -> None:
    said = refusal(400, "System role not supported")
    async with bench(lambda r: None if r.path.endswith("/models") else said) as (client, _):
        with pytest.raises(EndpointRejected):
            await ask(client)
        assert client.actor.folds == []


def test_folds_that_change_nothing_are_not_tried() -> None:
    plain = [{"role": one.role, "content": one.content} for one in EPISODE]
    assert possible(plain) == ["system"]
    assert folded(plain, []) == plain
    assert folded(plain, ["alternate", "empty", "last"]) == plain


def test_an_instruction_without_a_user_turn_becomes_one_and_what_a_turn_holds_stays() -> None:
    assert folded([{"role": "system", "content": "Act."}], ["system"]) == [
        {"role": "user", "content": "Act."}
    ]
    rows = [
        {"role": "system", "content": "A", "train": False},
        {"role": "user", "content": "B", "train": False},
        {"role": "assistant", "content": "C", "train": True},
    ]
    assert folded(rows, ["system"])[1] == rows[2]
