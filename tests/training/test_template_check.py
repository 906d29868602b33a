"""How rows come out with the templates that models come with, before anybody trains on them."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.made import Made

pytest.importorskip("transformers")
pytest.importorskip("trl")

import trl

from agent_r.dataset.formats.conversion import export_format
from agent_r.training.template_check import TemplateReport, check_template
from agent_r.training.warm_start import make_tokenizer
from flows.cli.main import main

TEMPLATES = Path(trl.__file__).parent / "chat_templates"
# mistralai/Mistral-7B-Instruct-v0.1, v0.3: no system role; before the last user turn.
MISTRAL_1 = (
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != "
    "(loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate "
    "user/assistant/user/assistant/...') }}{% endif %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}"
    "{{ message['content'] + eos_token }}{% endif %}{% endfor %}"
)
MISTRAL_3 = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}"
    "{% set turns = messages[1:] %}{% else %}{% set turns = messages %}{% endif %}{{ bos_token }}"
    "{% for m in turns %}{% if m['role'] == 'user' %}{% if loop.last and system is defined %}"
    "{{ '[INST] ' + system + '\n\n' + m['content'] + '[/INST]' }}{% else %}"
    "{{ '[INST] ' + m['content'] + '[/INST]' }}{% endif %}{% else %}"
    "{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
SILENT = (
    "{% for m in messages if m.role != 'system' %}<|{{ m.role }}|>{{ m.content }}</s>{% endfor %}"
)
SILENT += "{% if add_generation_prompt %}<|assistant|>{% endif %}"


@functools.cache
def tokenizer_of(text: str) -> Any:
    return make_tokenizer([text] * 5, vocab=300)


def source(name: str) -> str:
    return (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rows(made: Made) -> list[Any]:
    return [row["messages"] for row in made.rows("sft")][:4]


def checked(template: str, rows: list[Any]) -> TemplateReport:
    tokenizer = tokenizer_of(rows[0][0]["content"])
    tokenizer.chat_template = template
    return check_template(tokenizer, rows)


FOLDED = {
    "Gemma 2": source("gemma"),
    "Mistral 7B": MISTRAL_1,
    "Mistral v0.3": MISTRAL_3,
    "one that leaves it out": SILENT,
}
TAKEN = ("qwen2_5", "qwen3", "llama3", "llama3_1", "gemma3", "cohere2", "deepseekv3", "lfm2")


def replies_of(row: Any) -> list[str]:
    return [m["content"] for m in row if m["train"]]


@pytest.mark.parametrize("template", FOLDED.values(), ids=FOLDED)
def test_where_no_system_message_is_taken_the_instruction_is_folded_and_replies_stay(
    template: str, rows: list[Any]
) -> None:
    report = checked(template, rows)
    assert report.usable
    marks = {finding.name: finding.mark for finding in report.findings}
    assert (marks["system message"], marks["folded"]) == ("warned", "warned")
    context = "".join(text for text, trained in report.shown if not trained)
    assert rows[0][0]["role"] == "system" and rows[0][0]["content"] in context
    shown = [text for text, trained in report.shown if trained]
    for text, reply in zip(shown, replies_of(rows[0]), strict=True):
        assert text.strip().startswith(reply)


@pytest.mark.parametrize("name", TAKEN)
def test_other_templates_take_rows_as_they_are(name: str, rows: list[Any]) -> None:
    report = checked(source(name), rows)
    assert report.usable
    assert "folded" not in [finding.name for finding in report.findings]
    shown = [text for text, trained in report.shown if trained]
    for text, reply in zip(shown, replies_of(rows[0]), strict=True):
        assert text.startswith(reply)


@pytest.mark.parametrize("name", ["phi3", "llava_next"])
def test_a_template_that_cannot_be_trained_on_is_said_to_be_one(name: str, rows: list[Any]) -> None:
    report = checked(source(name), rows)
    assert not report.usable and report.shown == []
    assert all("\n" not in finding.text for finding in report.findings)


def test_the_command_shows_a_versions_first_row_and_what_is_trained(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    from agent_r.local_model.model_folder import PACKAGED

    assert main(["check-template", str(PACKAGED), str(made.version), "--rows", "3"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "✓ rows 3 rendered" in said and "tokens are trained" in said
    assert "its trained tokens in ⟦ ⟧" in said and "⟦Thought:" in said
    assert main(["check-template", str(PACKAGED)]) == 0


@pytest.mark.parametrize("model", ["no-such-folder", "."])
def test_a_model_without_a_template_is_one_line(
    model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # it is read at import
    monkeypatch.chdir(tmp_path)
    assert main(["check-template", model]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").strip().split("\n")


@pytest.mark.parametrize("name", ["openai", "llamafactory", "ms-swift"])
def test_an_export_can_have_the_instruction_in_the_first_user_turn(
    name: Any, made: Made, tmp_path: Path
) -> None:
    export_format(made.version, name, tmp_path / "plain")
    export_format(made.version, name, tmp_path / "merged", folds=["system"])
    for path in (tmp_path / "plain").glob("*.jsonl"):
        plain, merged = (
            [json.loads(line)["messages"] for line in lines_of(tmp_path / way / path.name)]
            for way in ("plain", "merged")
        )
        for one, other in zip(plain, merged, strict=True):
            assert one[0]["role"] == "system" and other[0]["role"] == "user"
            assert other[0]["content"] == f"{one[0]['content']}\n\n{one[1]['content']}"
            assert other[1:] == one[2:]
