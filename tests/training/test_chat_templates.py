"""Rows in the chat templates of Qwen3, DeepSeek and gpt-oss: no block empty, doubled or open."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.made import Made

pytest.importorskip("transformers")
pytest.importorskip("trl")

import trl
from transformers.utils.chat_template_utils import render_jinja_template

from agent_r.algorithm.rows import prompt_completion_rows
from agent_r.errors import TrainerError
from agent_r.reading.reasoning import with_reasoning
from agent_r.training.encoding import IGNORED, encode
from agent_r.training.warm_start import make_tokenizer

TEMPLATES = Path(trl.__file__).parent / "chat_templates"
DOCS = Path(__file__).parents[2] / "docs" / "replies.md"
QWEN, DEEPSEEK, OSS = "qwen3", "deepseek_r1_distill_training", "gptoss_training"


def render(template: str, messages: list[dict[str, Any]]) -> str:
    source = (TEMPLATES / f"{template}.jinja").read_text(encoding="utf-8")
    texts, _ = render_jinja_template([messages], chat_template=source, bos_token="", eos_token="")
    return str(texts[0])


def plain(messages: Any) -> list[dict[str, Any]]:
    return [{"role": m["role"], "content": m["content"]} for m in messages]


def thoughtful(row: dict[str, Any]) -> dict[str, Any]:
    """The same row as `dataset.reasoning` makes it of an actor that thinks."""
    messages = [
        m | {"content": with_reasoning("A log?", m["content"])} if m["train"] else m
        for m in row["messages"]
    ]
    return row | {"messages": messages}


@pytest.fixture(scope="module")
def row(made: Made) -> dict[str, Any]:
    rows: list[dict[str, Any]] = made.rows("sft")  # type: ignore[assignment]
    return next(row for row in rows if row["kind"] == "revision")


@pytest.mark.parametrize("template", ["deepseekv3_training", "deepseekv3", DEEPSEEK, OSS, "gptoss"])
def test_a_row_without_reasoning_has_no_block_at_all(row: dict[str, Any], template: str) -> None:
    text = render(template, plain(row["messages"]))
    assert "think>" not in text
    assert "<|channel|>analysis" not in text


@pytest.mark.parametrize("template", [QWEN, "qwen3_training", DEEPSEEK])
def test_a_reply_with_reasoning_has_one_closed_block(row: dict[str, Any], template: str) -> None:
    for one in prompt_completion_rows(thoughtful(row)):
        before, whole = (plain([*one["prompt"], *more]) for more in ([], one["completion"]))
        reply = render(template, whole).rpartition("ssistant")[2]
        assert reply.count("<think>") == reply.count("</think>") == reply.count("A log?") == 1
        assert "A log?" not in render(template, before)


def test_a_whole_row_with_reasoning_has_a_block_for_each_trained_reply(row: dict[str, Any]) -> None:
    text = render(DEEPSEEK, plain(thoughtful(row)["messages"]))
    trained = sum(message["train"] for message in row["messages"])
    assert text.count("<think>\nA log?\n</think>") == text.count("think>") / 2 == trained


@pytest.mark.parametrize("template", [OSS, "gptoss"])
def test_gpt_oss_reads_reasoning_from_a_field_as_the_docs_say(
    row: dict[str, Any], template: str
) -> None:
    [code] = re.findall(r"```python\n(def in_a_field.*?)```", DOCS.read_text(), re.DOTALL)
    scope: dict[str, Any] = {}
    exec(code, scope)
    one = scope["in_a_field"](next(prompt_completion_rows(thoughtful(row))))
    text = render(template, plain(one["prompt"]) + one["completion"])
    reply = text.rpartition("<|start|>assistant<|channel|>analysis")[2]
    assert reply.startswith("<|message|>A log?<|end|><|start|>assistant<|channel|>final<|message|>")
    assert "think>" not in text


def trained_text(template: str, messages: Any) -> list[str]:
    tokenizer = make_tokenizer([m["content"] for m in messages] * 5, vocab=300)
    tokenizer.chat_template = (TEMPLATES / f"{template}.jinja").read_text(encoding="utf-8")
    encoded = encode(tokenizer, messages, 100_000)
    assert encoded is not None
    runs: list[list[int]] = [[]]
    for label in encoded[1]:
        runs.append([]) if label == IGNORED else runs[-1].append(label)
    return [tokenizer.decode(run) for run in runs if run]


@pytest.mark.parametrize("template", [QWEN, "qwen3_training", "deepseek_r1_distill", "deepseekv3"])
def test_our_trainer_trains_the_reply_and_no_empty_block(
    row: dict[str, Any], template: str
) -> None:
    found = trained_text(template, row["messages"])
    said = [m["content"] for m in row["messages"] if m["train"]]
    assert len(found) == len(said)
    for text, reply in zip(found, said, strict=True):
        assert text.startswith(reply)
        assert "think" not in text


@pytest.mark.parametrize("template", [QWEN, "qwen3_training", "deepseek_r1_distill"])
def test_our_trainer_trains_reasoning_where_the_row_has_it(
    row: dict[str, Any], template: str
) -> None:
    messages = thoughtful(row)["messages"]
    found = trained_text(template, messages)
    assert len(found) == sum(m["train"] for m in messages)
    assert all(text.startswith("<think>\nA log?\n</think>\n\nThought") for text in found)


def test_a_template_that_leaves_reasoning_out_is_refused_in_one_line(row: dict[str, Any]) -> None:
    with pytest.raises(TrainerError, match=r"dataset\.reasoning = false") as refusal:
        trained_text("deepseekv3", thoughtful(row)["messages"])
    assert "\n" not in str(refusal.value)
