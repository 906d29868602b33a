"""Tokens, and which of them are trained."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from agent_r.training.script.rendering import Rendering
from agent_r.training.script.script_settings import Refusal
from agent_r.training.script.version_rows import THOUGHT, Messages, is_trained, reply_by_reply

Example = dict[str, list[int]]  # columns of token ids

IGNORED = -100  # the label of a token that carries no loss


@dataclass(frozen=True)
class Masked:
    """Token ids, and the same where they are trained, else IGNORED."""

    input_ids: list[int]
    labels: list[int]

    @property
    def trained(self) -> int:
        return len(self.labels) - self.labels.count(IGNORED)

    @property
    def begin(self) -> int:
        """The first trained token."""
        return next(at for at, label in enumerate(self.labels) if label != IGNORED)

    @property
    def end(self) -> int:
        """One past the last trained token."""
        return 1 + max(at for at, label in enumerate(self.labels) if label != IGNORED)


def encode(rendering: Rendering, messages: Messages) -> list[Masked]:
    """A conversation's tokens; where earlier turns change with later ones, a row for each reply."""
    parts = [messages] if rendering.whole else list(reply_by_reply(messages))
    return [encode_whole(rendering, part) for part in parts]


def encode_whole(rendering: Rendering, messages: Messages) -> Masked:
    """Trained is what a reply adds to its generation prompt, up to and with its end-of-turn token.

    The conversation is tokenised once, in one piece; a token across a span's edge is context.
    """
    special = tuple(rendering.tokenizer.get_added_vocab())
    text, spans = rendering.text(messages), []
    for at in (i for i, message in enumerate(messages) if is_trained(message)):
        before = rendering.text(messages[:at], prompt=True)
        after = rendering.text(messages[: at + 1])
        if not (after.startswith(before) and text.startswith(after)):
            raise Refusal("the chat template renders a prompt differently once its reply is there")
        refuse_what_is_lost(messages[at]["content"], after[len(before) :])
        bare = after.rstrip()
        spans.append((len(before), len(bare) if bare.endswith(special) else len(after)))
    tokens = rendering.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = tokens["input_ids"], tokens["offset_mapping"]
    labels, at = [IGNORED] * len(ids), 0
    for begin, end in spans:
        while at < len(ids) and (offsets[at][0] < begin or offsets[at][1] <= begin):
            at += 1
        while at < len(ids) and offsets[at][0] < end and offsets[at][1] <= end:
            labels[at] = ids[at]
            at += 1
    return Masked(ids, labels)


def refuse_what_is_lost(content: str, rendered: str) -> None:
    """A reply is trained whole, with what was thought before it, or not at all."""
    thought = THOUGHT.match(content)
    if thought and thought[1].strip() not in rendered:
        raise Refusal(
            "the chat template leaves reasoning out of replies, and the rows have some: name "
            "another with --chat-template, or make the dataset without reasoning"
        )
    if content[thought.end() if thought else 0 :].strip() not in rendered:
        raise Refusal("the chat template leaves replies out: name another with --chat-template")


@dataclass
class Counts:
    """What became of the rows."""

    rows: int
    too_long: int = 0  # left out
    untrained: int = 0  # left out
    examples: int = 0  # what is trained on: where each reply is a row of its own, there are more
    tokens: int = 0  # over all epochs
    trained_tokens: int = 0
    longest_reply: int = 0  # tokens


def examples_of(
    rendering: Rendering, rows: Sequence[list[Messages]], settings: argparse.Namespace
) -> tuple[list[Example], Counts]:
    """Columns as TRL's trainers want them; a row is taken whole or left out."""
    counts = Counts(len(rows))
    examples: list[Example] = []
    for row in rows:
        sides = [encode(rendering, conversation) for conversation in row]
        masked = [one for side in sides for one in side]
        if any(len(one.input_ids) > settings.max_length for one in masked):
            counts.too_long += 1
        elif not any(one.trained for one in masked):
            counts.untrained += 1
        elif settings.rows == "preference":
            examples.append(preference(*masked))
        else:
            examples += [asdict(one) for one in masked]
    if not examples:
        raise Refusal(
            f"no row is left: {counts.too_long:,} are longer than {settings.max_length:,} tokens "
            f"(--max-length), {counts.untrained:,} have no trained token"
        )
    counts.examples = len(examples)
    counts.tokens = settings.epochs * sum(map(length, examples))
    counts.trained_tokens = settings.epochs * sum(map(trained_tokens, examples))
    counts.longest_reply = max(map(longest_reply, examples))
    return examples, counts


def preference(chosen: Masked, rejected: Masked) -> Example:
    """Two ways on from one prompt; what follows a reply's end of turn belongs to neither."""
    start = min(chosen.begin, rejected.begin)
    if chosen.input_ids[:start] != rejected.input_ids[:start]:
        raise Refusal("the two replies of a preference have different prompts")
    return {
        "prompt_ids": chosen.input_ids[:start],
        "chosen_ids": chosen.input_ids[start : chosen.end],
        "rejected_ids": rejected.input_ids[start : rejected.end],
    }


def length(example: Example) -> int:
    """Tokens that the model reads."""
    if "input_ids" in example:
        return len(example["input_ids"])
    return 2 * len(example["prompt_ids"]) + trained_tokens(example)


def trained_tokens(example: Example) -> int:
    """Tokens that carry the loss."""
    if "labels" in example:
        return sum(label != IGNORED for label in example["labels"])
    return len(example["chosen_ids"]) + len(example["rejected_ids"])


def longest_reply(example: Example) -> int:
    """Tokens of the longest run that carries the loss."""
    if "labels" not in example:
        return len(example["chosen_ids"])
    longest = run = 0
    for label in example["labels"]:
        run = run + 1 if label != IGNORED else 0
        longest = max(longest, run)
    return longest
