"""What an actor's replies look like becomes one line for each thing that a person should change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent_r.algorithm.search import search
from agent_r.diagnostics.remedies import remedy
from agent_r.diagnostics.symptoms import Symptoms, advice, is_base_model, quoted
from agent_r.errors import ContextOverflow, EndpointError, EndpointRejected, EndpointUnavailable
from agent_r.settings import OpenAIEndpoint, SearchConfig
from agent_r.testing import Corridor, ScriptedActor

WELL = Symptoms({"action": 20}, max_tokens=128, judged=4, verdicts=4)
ENDPOINT = OpenAIEndpoint(base_url="http://localhost:8000/v1", model="tiny", timeout_s=9)


def only(seen: Symptoms) -> str:
    [line] = advice(seen)
    assert line.isprintable()
    return line


def test_a_healthy_actor_needs_no_advice() -> None:
    assert advice(WELL) == []
    assert advice(replace(WELL, outcomes={"action": 99, "cut": 1})) == []


@pytest.mark.parametrize("kind", ["no action", "empty", "cut"])
def test_replies_of_a_chats_marks_say_that_it_is_a_base_model(kind: str) -> None:
    line = only(Symptoms({kind: 8}, {kind: ["<|im_start|>user"] * 3}))
    assert line.startswith("8 of 8 replies are no answer but a chat's marks or turns")
    assert '"<|im_start|>user"' in line and "base model" in line and "chat template" in line


@pytest.mark.parametrize(
    "text",
    ["<|im_start|>user", "<|start_header_id|>assistant", "[INST] go", "</s>", "Human: and now?",
     "### User\ngo on", "<start_of_turn>model\n", "<|endoftext|>The"],
)  # fmt: skip
def test_a_turn_of_somebody_else_is_a_base_models(text: str) -> None:
    assert is_base_model([text, text])


@pytest.mark.parametrize(
    "text", ["I cannot do that.<|im_end|>", "The user: he wants bread.", "", "Thought: </s> ends"]
)
def test_an_answer_with_an_end_mark_is_no_base_models(text: str) -> None:
    assert not is_base_model([text, text])


def test_cut_replies_name_the_token_limit() -> None:
    seen = Symptoms({"cut": 3, "action": 5}, {"cut": ["Thought: to"]}, max_tokens=64)
    line = only(seen)
    assert line.startswith("3 of 8 replies are cut by the token limit (search.max_tokens = 64)")
    assert ', such as "Thought: to": raise' in line


def test_replies_cut_while_reasoning_say_to_turn_thinking_off() -> None:
    assert "turn thinking off" in only(Symptoms({"cut": 4}, reasoned_away=4, max_tokens=64))


def test_empty_replies_are_told_by_what_else_came() -> None:
    empty = Symptoms({"empty": 2})
    assert "chat template" in only(empty)
    assert "tool-call parser" in only(replace(empty, finish_reasons={"tool_calls": 2}))
    assert "turn thinking off" in only(replace(empty, reasoned_away=2))


def test_another_form_shows_the_worlds_form_and_a_sample() -> None:
    seen = Symptoms({"no action": 1}, {"no action": ["I\nlook"]}, form="Action: …")
    line = only(seen)
    assert line.startswith("1 of 1 replies holds no action in the form that the world reads "
                           '(Action: …), such as "I look": ')  # fmt: skip


@pytest.mark.parametrize(("kind", "word"), [("filtered", "filter"), ("failed", "its log")])
def test_what_a_server_takes_away_is_the_servers(kind: str, word: str) -> None:
    assert word in only(Symptoms({"action": 5, kind: 5}))


def test_a_judge_without_verdicts_names_the_setting_that_does_without() -> None:
    line = only(replace(WELL, verdicts=0, judge_sample="Well\n…"))
    assert line.startswith('4 of 4 judgements gave no verdict, such as "Well …"')
    assert "critique.localiser = 'value'" in line
    cut = only(replace(WELL, verdicts=1, judged_cut=2, judge_max_tokens=32))
    assert "critique.max_tokens = 32" in cut


def test_who_never_acts_is_told_nothing_of_its_judgements_and_seeds() -> None:
    line = only(Symptoms({"no action": 4}, judged=1, alike=True))
    assert "no action" in line


def test_replies_that_are_always_the_same_find_one_way_only() -> None:
    assert "search.temperature" in only(replace(WELL, alike=True))
    assert advice(replace(WELL, alike=False)) == []


def test_rewards_of_many_episodes_that_are_all_alike_leave_nothing_to_learn() -> None:
    assert "no episode earned" in only(replace(WELL, rewards=[0.0] * 5))
    assert "every episode earned all" in only(replace(WELL, rewards=[1.0] * 5))
    assert advice(replace(WELL, rewards=[1.0, 0.0, 0.0, 0.0, 0.0])) == []
    assert advice(replace(WELL, rewards=[0.0])) == []


def test_an_episode_that_outgrows_the_context_names_the_depth() -> None:
    line = only(replace(WELL, overflows=1, rewards=[0.0, 0.3]))
    assert line.startswith("1 of 2 episodes") and "search.max_depth" in line


def test_a_sample_is_one_short_line_that_moves_no_cursor() -> None:
    assert quoted("\x1b[2Ja\n" + "b" * 99) == f'"[2Ja {"b" * 75}…"'


REFUSALS: list[tuple[EndpointError, str]] = [
    (ContextOverflow("too long", status=400), "search.max_tokens = 64"),
    (EndpointRejected("refuses the key", status=401), "$OPENAI_API_KEY"),
    (EndpointRejected("x does not serve the model 'a'; it serves b", status=404), "endpoint.model"),
    (EndpointRejected("System role not supported", status=400), "takes no system message"),
    (EndpointRejected("roles must alternate user/assistant", status=400), "system message"),
    (EndpointRejected("no chat template is defined", status=400), "has no chat template"),
    (EndpointRejected("Not Found", status=404), "endpoint.base_url"),
    (EndpointRejected("no quota", status=429), "credit"),
    (EndpointRejected("odd", status=400), "its own words"),
    (EndpointUnavailable("no answer: timed out"), "endpoint.timeout_s = 9"),
    (EndpointUnavailable("no answer: HTTP 429: slow down"), "endpoint.concurrency"),
    (EndpointUnavailable("no answer: HTTP 500: oh"), "its log"),
    (EndpointUnavailable("no answer: a reply that is not JSON"), "endpoint.base_url"),
    (EndpointUnavailable("no answer: Connection refused"), "start the server"),
]


@pytest.mark.parametrize(("error", "word"), REFUSALS)
def test_a_refusal_names_what_to_change(error: EndpointError, word: str) -> None:
    assert word in remedy(error, ENDPOINT, max_tokens=64)


def test_an_address_without_its_version_is_written_out() -> None:
    bare = ENDPOINT.model_copy(update={"base_url": "http://localhost:8000/"})
    line = remedy(EndpointRejected("Not Found", status=404), bare, max_tokens=64)
    assert line == "set endpoint.base_url = 'http://localhost:8000/v1'"


def test_a_key_in_a_block_is_named_by_its_block() -> None:
    vault = ENDPOINT.model_copy(update={"api_key_block": "vault"})
    line = remedy(EndpointRejected("no", status=401), vault, max_tokens=64)
    assert "'vault'" in line and "$" not in line


async def test_a_trees_sample_of_a_base_models_reply_has_its_marks() -> None:
    actor = ScriptedActor(lambda messages, k: "<|im_start|>user")
    how = SearchConfig(simulations=1, candidates=2)
    tree = await search(Corridor(), actor, "corridor 1", config=how, seed=0)
    assert tree.samples == {"empty": "<|im_start|>user"}
    samples = {kind: [text] for kind, text in tree.samples.items()}
    assert "base model" in only(Symptoms(tree.replies, samples))
