"""How the actors of a world that is not ours write their actions, where it is not the usual way."""

from __future__ import annotations

import re

from pydantic import Field, field_validator, model_validator

from agent_r.grammar import DEFAULT, Grammar
from agent_r.settings.base import Positive, Settings


def check_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse what could not be found in a text.

    Raises:
        ValueError: one is neither a name nor two marks.
    """
    for tag in tags:
        if len(tag.split(" ")) > 2 or not all(tag.split(" ")) or not tag.isprintable():
            raise ValueError(
                f"{tag!r} is neither a tag's name, like 'think', nor two marks with a space "
                "between, like '[THINK] [/THINK]'"
            )
    return tags


class GrammarConfig(Settings):
    """What is read as an action in a reply (docs/replies.md)."""

    labels: tuple[str, ...] = Field(
        DEFAULT.labels, description="words that name an action, in any of the usual spellings"
    )
    ends: tuple[str, ...] = Field(
        DEFAULT.ends, description="labels of what the actor does not say: there its reply ends"
    )
    reasoning: tuple[str, ...] = Field(
        DEFAULT.reasoning,
        description="tags of reasoning: a name, or two marks with a space between",
    )
    pattern: str = Field(
        "",
        description="regular expression that finds an action, tried before the labels: its group "
        "`action`, else its first group, else all of it",
    )
    whole: bool = Field(
        False, description="a reply in which nothing is found is an action as a whole"
    )
    longest: Positive = Field(DEFAULT.longest, description="characters of an action, at most")
    reminder: str = Field(
        "", description="what is answered to a reply without an action; empty: the usual sentence"
    )

    _found = field_validator("reasoning")(check_tags)

    @field_validator("labels", "ends")
    @classmethod
    def _labels_are_words(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        for label in labels:
            if not re.fullmatch(r"\w[\w -]{0,39}", label):
                raise ValueError(f"{label!r} is no label: a word or two, like 'action'")
        return labels

    @field_validator("pattern")
    @classmethod
    def _pattern_can_match(cls, pattern: str) -> str:
        try:
            compiled = re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        if pattern and compiled.match(""):
            raise ValueError(f"{pattern!r} finds an action where there is nothing at all")
        return pattern

    @model_validator(mode="after")
    def _something_is_an_action(self) -> GrammarConfig:
        if not (self.labels or self.pattern or self.whole):
            raise ValueError("without labels, a pattern or `whole` no reply holds an action")
        return self

    def grammar(self) -> Grammar:
        return Grammar(**self.model_dump())
