"""Turn conversations into token ids and labels: trained is exactly what a model must emit.

The trained span of an assistant message is found by rendering: what the chat template adds to the
generation prompt when the message is there, up to and with its end-of-turn token. Whatever the
template puts before (the header) or after (a line break) is context. The whole conversation is
tokenised once, in one piece, and the span is carried over by character offsets.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from agent_r.errors import TrainerError
from agent_r.training.chat_templates import REFUSED, Template, template_for

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # the label of a token that carries no loss

_POOL = 32  # batches shuffled together before their rows are put by length
_CHUNK = 512  # conversations rendered and tokenised in one call

Messages = Sequence[dict[str, Any]]
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Encoded:
    """One conversation: token ids, and the same ids where they are trained on, else IGNORED."""

    input_ids: list[int]
    labels: list[int]

    @property
    def trained(self) -> int:
        return len(self.labels) - self.labels.count(IGNORED)

    @property
    def longest_reply(self) -> int:
        """Tokens of the longest reply that is trained; between two there is context.

        >>> Encoded([5, 6, 7, 8], [IGNORED, 6, 7, IGNORED]).longest_reply
        2
        """
        runs = groupby(self.labels, key=lambda label: label != IGNORED)
        return max((sum(1 for _ in run) for trained, run in runs if trained), default=0)


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """What can be trained on, and how many rows cannot."""

    rows: list[Encoded]
    too_long: int  # a conversation longer than the limit is dropped whole
    untrained: int  # no token of it is trained on


def encode(
    tokenizer: PreTrainedTokenizerBase, messages: Messages, max_length: int
) -> tuple[list[int], list[int]] | None:
    """Token ids and labels of one conversation, or None where it is longer than `max_length`.

    Raises:
        TrainerError: the tokenizer cannot tell where a message begins and ends.
    """
    encoded = next(_encode(tokenizer, [messages]))
    if len(encoded.input_ids) > max_length:
        return None
    return encoded.input_ids, encoded.labels


def encode_rows(
    tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Messages], max_length: int
) -> EncodedRows:
    """Encode many conversations; those that cannot be trained on are dropped and counted.

    Raises:
        TrainerError: the tokenizer cannot tell where a message begins and ends.
    """
    kept: list[Encoded] = []
    too_long = untrained = 0
    for encoded in _encode(tokenizer, conversations):
        if len(encoded.input_ids) > max_length:
            too_long += 1
        elif not encoded.trained:
            untrained += 1
        else:
            kept.append(encoded)
    return EncodedRows(kept, too_long, untrained)


def _encode(
    tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Messages]
) -> Iterator[Encoded]:
    if not tokenizer.is_fast:
        raise TrainerError("the model's tokenizer has no character offsets (not a fast tokenizer)")
    reasoning = any(_is_trained(m) and "</think>" in m["content"] for c in conversations for m in c)
    template = template_for(tokenizer, reasoning=reasoning)
    remaining = iter(conversations)
    while chunk := list(islice(remaining, _CHUNK)):
        texts, spans = _render(template, chunk)
        batch = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
        for ids, offsets, trained in zip(
            batch["input_ids"], batch["offset_mapping"], spans, strict=True
        ):
            yield Encoded(ids, _labels(ids, offsets, trained))


def _render(template: Template, chunk: list[Messages]) -> tuple[list[str], list[list[Span]]]:
    """The text of each conversation, and where its trained spans lie."""
    ends = [[i for i, message in enumerate(c) if _is_trained(message)] for c in chunk]
    plain = [[{"role": m["role"], "content": m["content"]} for m in c] for c in chunk]
    trained = [(c, i) for c, at in zip(plain, ends, strict=True) for i in at]
    texts = template.texts(plain)
    before = iter(template.prompts([c[:i] for c, i in trained]))
    after = iter(template.texts([c[: i + 1] for c, i in trained]))
    special = tuple(template.tokenizer.get_added_vocab())
    spans = [
        [_span(text, next(before), next(after), special) for _ in at]
        for text, at in zip(texts, ends, strict=True)
    ]
    return texts, spans


def _is_trained(message: dict[str, Any]) -> bool:
    return message["role"] == "assistant" and bool(message.get("train"))


def _span(text: str, before: str, after: str, special: tuple[str, ...]) -> Span:
    """Where a message's own text lies; blank space after its end-of-turn token is not its own."""
    if not (after.startswith(before) and text.startswith(after)):
        raise TrainerError(REFUSED)
    stripped = after.rstrip()
    end = len(stripped) if stripped.endswith(special) else len(after)
    return len(before), end


def _labels(ids: list[int], offsets: list[Span], spans: list[Span]) -> list[int]:
    """The ids that lie wholly inside a span; a token that crosses a span's edge is context."""
    labels = [IGNORED] * len(ids)
    at = 0
    for begin, end in spans:
        while at < len(ids) and (offsets[at][0] < begin or offsets[at][1] <= begin):
            at += 1
        while at < len(ids) and offsets[at][0] < end and offsets[at][1] <= end:
            labels[at] = ids[at]
            at += 1
    return labels


def plan_batches(lengths: Sequence[int], *, tokens: int, epochs: int, seed: int) -> list[list[int]]:
    """The rows of every batch of every epoch: at most `tokens` each, padding included.

    Rows of like length share a batch; which rows they are, and the batches' order, is drawn anew
    each epoch. A row longer than the budget is a batch of its own.
    """
    plan: list[list[int]] = []
    mean = sum(lengths) / len(lengths)
    size = max(1, int(_POOL * tokens / mean))
    for epoch in range(epochs):
        rng, rows, batches = random.Random(f"{seed}:{epoch}"), list(range(len(lengths))), []
        rng.shuffle(rows)
        for start in range(0, len(rows), size):
            batch: list[int] = []
            for row in sorted(rows[start : start + size], key=lambda row: lengths[row]):
                if batch and lengths[row] * (len(batch) + 1) > tokens:
                    batches.append(batch)
                    batch = []
                batch.append(row)
            batches.append(batch)
        rng.shuffle(batches)
        plan += batches
    return plan
