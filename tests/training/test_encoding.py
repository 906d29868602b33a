"""Facts about what is trained on."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("transformers")

from agent_r.errors import TrainerError
from agent_r.training.encoding import IGNORED, encode, encode_rows
from agent_r.training.warm_start import make_tokenizer

Message = dict[str, Any]


def say(role: str, content: str, train: bool = False) -> Message:
    return {"role": role, "content": content, "train": train}


EPISODE = [
    say("system", "You craft items."),
    say("user", "Goal: craft 1 bowl."),
    say("assistant", "Thought: I look.\nAction: inventory"),
    say("user", "You have nothing."),
    say("assistant", "Thought: I need wood.\nAction: get 1 log", train=True),
    say("user", "Got 1 log"),
    say("assistant", "Thought: now.\nAction: craft 1 bowl", train=True),
    say("user", "Crafted 1 bowl"),
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return make_tokenizer([m["content"] for m in EPISODE] * 5, vocab=300)


def trained_text(tokenizer: Any, messages: list[Message]) -> list[str]:
    """The text of each run of trained tokens."""
    encoded = encode(tokenizer, messages, 10_000)
    assert encoded is not None
    runs: list[list[int]] = [[]]
    for label in encoded[1]:
        if label == IGNORED:
            runs.append([])
        else:
            runs[-1].append(label)
    return [tokenizer.decode(run) for run in runs if run]


def test_a_trained_message_is_its_content_and_its_end_of_turn(tokenizer: Any) -> None:
    assert trained_text(tokenizer, EPISODE) == [
        "Thought: I need wood.\nAction: get 1 log<|im_end|>",
        "Thought: now.\nAction: craft 1 bowl<|im_end|>",
    ]


def test_the_ids_are_those_of_the_whole_rendering(tokenizer: Any) -> None:
    encoded = encode(tokenizer, EPISODE, 10_000)
    assert encoded is not None
    plain = [{"role": m["role"], "content": m["content"]} for m in EPISODE]
    rendered = tokenizer.apply_chat_template(plain, tokenize=False)
    assert encoded[0] == tokenizer(rendered, add_special_tokens=False)["input_ids"]
    assert encoded[0][0] == tokenizer.bos_token_id


def test_the_tokens_before_a_trained_span_are_those_of_the_generation_prompt(
    tokenizer: Any,
) -> None:
    encoded = encode(tokenizer, EPISODE, 10_000)
    assert encoded is not None
    first = next(i for i, label in enumerate(encoded[1]) if label != IGNORED)
    prompt = tokenizer.apply_chat_template(
        [{"role": m["role"], "content": m["content"]} for m in EPISODE[:4]],
        tokenize=False,
        add_generation_prompt=True,
    )
    assert encoded[0][:first] == tokenizer(prompt, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize(
    "content", ["", " ", "\n\n", "  é漢🪵 x  ", "<|im_start|>user\nhi", "a\r\n"]
)
def test_any_content_is_trained_whole(tokenizer: Any, content: str) -> None:
    messages = [say("user", "hi"), say("assistant", content, train=True), say("user", "ok.")]
    assert trained_text(tokenizer, messages) == [content + "<|im_end|>"]


def test_only_assistant_messages_are_trained(tokenizer: Any) -> None:
    messages = [say("user", "hi", train=True), say("assistant", "yes", train=True)]
    assert trained_text(tokenizer, messages) == ["yes<|im_end|>"]


def test_a_row_that_is_too_long_is_dropped_whole_and_counted(tokenizer: Any) -> None:
    short = [say("user", "a"), say("assistant", "b", train=True)]
    long = [say("user", "a " * 50), say("assistant", "b", train=True)]
    untrained = [say("user", "a"), say("assistant", "b")]
    encoded = encode_rows(tokenizer, [short, long, untrained], 40)
    assert (len(encoded.rows), encoded.too_long, encoded.untrained) == (1, 1, 1)
    assert encode(tokenizer, long, 40) is None


def test_many_rows_are_encoded_as_each_alone(tokenizer: Any) -> None:
    rows = [EPISODE[:5], EPISODE, EPISODE[:3], EPISODE[:7]]
    encoded = encode_rows(tokenizer, rows, 10_000)
    alone = [encode(tokenizer, row, 10_000) for row in (rows[0], rows[1], rows[3])]
    assert [(e.input_ids, e.labels) for e in encoded.rows] == alone


def test_the_generation_markers_of_our_template_agree(tokenizer: Any) -> None:
    every = [m | {"train": m["role"] == "assistant"} for m in EPISODE]
    encoded = encode(tokenizer, every, 10_000)
    marked = tokenizer.apply_chat_template(
        every, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    assert encoded is not None
    assert marked["assistant_masks"] == [int(label != IGNORED) for label in encoded[1]]


def test_a_template_that_rewrites_earlier_turns_is_refused_in_one_line(tokenizer: Any) -> None:
    template = (
        "{% for m in messages %}{% if loop.last %}[last]{% endif %}{{ m['content'] }}"
        "<|im_end|>{% endfor %}"
    )
    tokenizer = make_tokenizer(["x"], vocab=300)
    tokenizer.chat_template = template
    with pytest.raises(TrainerError) as refusal:
        encode(tokenizer, EPISODE, 10_000)
    assert "chat template" in str(refusal.value)
    assert "\n" not in str(refusal.value)
