"""Which tokens the training script trains: those of our own trainer, in every style of template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.made import Made

pytest.importorskip("trl")
pytest.importorskip("peft")

import trl
from transformers import AutoTokenizer

from agent_r.local_model.model_folder import PACKAGED
from agent_r.reading.reasoning import with_reasoning
from agent_r.training.encoding import encode_rows
from agent_r.training.script.examples import IGNORED, Masked, encode
from agent_r.training.script.rendering import rendering_for
from agent_r.training.script.script_settings import Refusal
from agent_r.training.script.version_rows import conversations

TEMPLATES = Path(trl.__file__).parent / "chat_templates"
ANY_LENGTH = 10**6

Messages = list[dict[str, Any]]


@pytest.fixture(scope="module")
def rows(made: Made) -> list[Messages]:
    return [row["messages"] for row in made.rows("sft")]


@pytest.fixture(scope="module")
def thoughtful(rows: list[Messages]) -> list[Messages]:
    """The same rows as `dataset.reasoning` makes them of an actor that thinks."""
    return [
        [m | {"content": with_reasoning("A log?", m["content"])} if m["train"] else m for m in row]
        for row in rows
    ]


def tokenizer_with(template: str, change: str = "") -> Any:
    tokenizer = AutoTokenizer.from_pretrained(PACKAGED)
    if template != "packaged":
        source = (TEMPLATES / f"{template}.jinja").read_text(encoding="utf-8")
        tokenizer.chat_template = source + change
    return tokenizer


def masks(tokenizer: Any, rows: list[Messages]) -> list[Masked]:
    rendering = rendering_for(tokenizer, rows)
    return [masked for row in rows for masked in encode(rendering, row)]


def replies(tokenizer: Any, masked: Masked) -> list[str]:
    """The text of each run of trained tokens."""
    runs: list[list[int]] = [[]]
    for label in masked.labels:
        runs.append([]) if label == IGNORED else runs[-1].append(label)
    return [tokenizer.decode(run) for run in runs if run]


@pytest.mark.parametrize(
    "template",
    "packaged qwen2_5 qwen3 qwen3_5_think llama3_2 gemma gemma3 deepseekv3 "
    "deepseek_r1_distill".split(),
)
def test_every_row_is_masked_as_by_our_own_trainer(template: str, rows: list[Messages]) -> None:
    tokenizer = tokenizer_with(template)
    ours = encode_rows(tokenizer, rows, ANY_LENGTH)
    found = [(one.input_ids, one.labels) for one in masks(tokenizer, rows)]
    assert found == [(row.input_ids, row.labels) for row in ours.rows]
    assert len(found) == len(rows) > 10


@pytest.mark.parametrize("template", ["packaged", "qwen3", "deepseek_r1_distill", "llama3"])
def test_rows_with_reasoning_are_masked_alike(template: str, thoughtful: list[Messages]) -> None:
    tokenizer = tokenizer_with(template)
    ours = encode_rows(tokenizer, thoughtful, ANY_LENGTH)
    found = [(one.input_ids, one.labels) for one in masks(tokenizer, thoughtful)]
    assert found == [(row.input_ids, row.labels) for row in ours.rows]


def test_where_earlier_turns_change_each_reply_is_a_row_as_the_model_will_see_it(
    thoughtful: list[Messages],
) -> None:
    """A template that TRL does not know, and that leaves what was thought out of earlier turns."""
    tokenizer, row = tokenizer_with("qwen3", "{# of our own #}"), thoughtful[0]
    found = masks(tokenizer, [row])
    at = [i for i, message in enumerate(row) if message["train"]]
    assert len(found) == len(at) > 1
    for masked, place in zip(found, at, strict=True):
        [reply] = replies(tokenizer, masked)
        assert reply == row[place]["content"] + "<|im_end|>"
        plain = [{"role": m["role"], "content": m["content"]} for m in row[:place]]
        prompt = tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=True)
        assert tokenizer.decode(masked.input_ids[: masked.begin]) == prompt


@pytest.mark.parametrize("thinks", [False, True])
def test_gpt_oss_is_trained_on_its_channels_and_to_return(
    thinks: bool, rows: list[Messages], thoughtful: list[Messages]
) -> None:
    tokenizer = tokenizer_with("gptoss")
    row, plain = (thoughtful if thinks else rows)[0], rows[0]
    said = [m["content"] for m in plain if m["train"]]
    thought = "<|channel|>analysis<|message|>A log?<|end|><|start|>assistant" if thinks else ""
    found = [replies(tokenizer, masked) for masked in masks(tokenizer, [row])]
    assert found == [[f"{thought}<|channel|>final<|message|>{one}<|return|>"] for one in said]


def test_a_reply_that_a_template_would_lose_is_refused(
    rows: list[Messages], thoughtful: list[Messages]
) -> None:
    with pytest.raises(Refusal, match="leaves reasoning out of replies"):
        masks(tokenizer_with("deepseekv3"), thoughtful[:1])
    with pytest.raises(Refusal, match="leaves replies out"):
        masks(tokenizer_with("smolvlm"), [rows[0][-2:]])
    with pytest.raises(Refusal, match="template refuses: No, never"):
        tokenizer = tokenizer_with("packaged")
        tokenizer.chat_template = "{{ raise_exception('No, never') }}"
        masks(tokenizer, thoughtful[:1])


def test_one_reply_at_a_time_is_what_the_version_says_of_it(made: Made) -> None:
    """`prompt_completion` rows, and the same made of whole rows."""
    named: list[dict[str, Any]] = made.rows("prompt_completion")
    cut = [c for row in made.rows("sft") for c in conversations(row, "prompt_completion")]
    separate = [c for row in named for c in conversations(row, "prompt_completion")]
    tokenizer = AutoTokenizer.from_pretrained(PACKAGED)
    assert masks(tokenizer, cut) == masks(tokenizer, separate)
    assert [replies(tokenizer, masked) for masked in masks(tokenizer, separate)] == [
        [row["completion"][0]["content"] + "<|im_end|>"] for row in named
    ]
