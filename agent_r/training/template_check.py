"""Say how a version's rows come out with a model's chat template, before anybody trains on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from agent_r.errors import TrainerError
from agent_r.reading.folding import FOLDS, Fold
from agent_r.training.chat_templates import Template, template_for
from agent_r.training.encoding import IGNORED, Encoded, Messages, encode_rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LONGEST = 10**9  # tokens: no row is left out for its length here
UNKNOWN = 10**6  # a tokenizer's `model_max_length` above it is none

_SYSTEM = {"role": "system", "content": "An instruction.", "train": False}
_ASK = {"role": "user", "content": "What now?", "train": False}
_REPLY = {"role": "assistant", "content": "Thought: I look.\nAction: look", "train": True}
_EMPTY = _ASK | {"content": ""}
# Conversations that some templates do not take; by the fold that helps.
_PROBES: dict[Fold, list[dict[str, Any]]] = {
    "system": [_SYSTEM, _ASK, _REPLY],
    "alternate": [_ASK, _ASK, _REPLY],
    "empty": [_ASK, _REPLY, _EMPTY, _REPLY],
    "last": [_ASK, _REPLY],
}
EXAMPLE: list[dict[str, Any]] = [_SYSTEM, _ASK, _REPLY, _ASK, _REPLY]

Piece = tuple[str, bool]  # a text, and whether it is trained


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    mark: Literal["ok", "warned", "failed"]
    text: str


@dataclass(frozen=True, slots=True)
class TemplateReport:
    """What was found; `shown` is the first row as it is rendered."""

    findings: list[Finding]
    shown: list[Piece]

    @property
    def usable(self) -> bool:
        return all(finding.mark != "failed" for finding in self.findings)


def check_template(
    tokenizer: PreTrainedTokenizerBase, rows: Iterable[Messages] = ()
) -> TemplateReport:
    """Render rows, or an example where there are none, as the trainer of this package does."""
    conversations = list(rows) or [EXAMPLE]
    findings = list(_turns(Template(tokenizer)))
    reasoning = any("</think>" in m["content"] for c in conversations for m in c if m["train"])
    try:
        template = template_for(tokenizer, reasoning=reasoning)
        encoded = encode_rows(tokenizer, conversations, LONGEST)
    except TrainerError as refusal:
        return TemplateReport([*findings, Finding("rows", "failed", str(refusal))], [])
    whose = "the model's own" if template.source is None else "TRL's for training, of this model"
    findings.insert(0, Finding("template", "ok", whose))
    if template.folds:
        folds = "; ".join(FOLDS[fold] for fold in template.folds)
        findings.append(Finding("folded", "warned", f"{folds}: with another trainer, export the "
                                "version with --merge-system"))  # fmt: skip
    findings += _rows(tokenizer, encoded.rows, encoded.untrained)
    return TemplateReport(findings, _pieces(tokenizer, encoded.rows[0]) if encoded.rows else [])


def _turns(own: Template) -> Iterable[Finding]:
    """Whether the template takes what other templates refuse."""
    for fold, turns in _PROBES.items():
        refusal = own.refuses(turns)
        if refusal or (fold == "system" and str(_SYSTEM["content"]) not in own.texts([turns])[0]):
            words = refusal or "the model's chat template leaves a system message out"
            yield Finding(_NAMES[fold], "warned", words)
        else:
            yield Finding(_NAMES[fold], "ok", "taken")


_NAMES: dict[Fold, str] = {
    "system": "system message",
    "alternate": "two turns of one role",
    "empty": "an empty turn",
    "last": "a last turn of the actor's",
}


def _rows(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[Encoded], untrained: int
) -> Iterable[Finding]:
    if untrained:
        yield Finding("rows", "warned", f"no token of {untrained:,} rows is trained on")
    if not rows:
        return
    lengths = [len(row.input_ids) for row in rows]
    trained = sum(row.trained for row in rows) / sum(lengths)
    yield Finding(
        "rows", "ok", f"{len(rows):,} rendered; {trained:.0%} of their tokens are trained"
    )
    limit = tokenizer.model_max_length
    text = f"{sum(lengths) / len(rows):,.0f} tokens a row, {max(lengths):,} at most"
    too_long = sum(length > limit for length in lengths) if limit < UNKNOWN else 0
    if too_long:
        yield Finding("length", "warned", f"{text}: {too_long:,} rows are longer than the "
                      f"tokenizer's {limit:,}")  # fmt: skip
    else:
        yield Finding("length", "ok", text)


def _pieces(tokenizer: PreTrainedTokenizerBase, row: Encoded) -> list[Piece]:
    """The row's text, in runs of tokens that are trained and that are not."""
    pairs = zip(row.input_ids, row.labels, strict=True)
    runs = groupby(pairs, key=lambda pair: pair[1] != IGNORED)
    return [(str(tokenizer.decode([token for token, _ in run])), trained) for trained, run in runs]
