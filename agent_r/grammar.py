"""The grammar of replies: what names an action, what ends a reply, what is reasoning."""

from __future__ import annotations

from dataclasses import dataclass

# `think` is Qwen's, DeepSeek's and most others'; a pair of marks is written with a space between.
REASONING = (
    "think",
    "thinking",
    "reasoning",
    "scratchpad",
    "seed:think",
    "mm:think",
    "<|channel>thought <channel|>",
    "[THINK] [/THINK]",
    "◁think▷ ◁/think▷",
    "<|begin_of_thought|> <|end_of_thought|>",
    "<|START_THINKING|> <|END_THINKING|>",
)


@dataclass(frozen=True, slots=True)
class Grammar:
    """What a world takes for an action in a reply; the first one counts, and the reply ends there.

    Args:
        labels: words that name an action: `Action: …`, `### Action`, `<action>…</action>`, JSON's
            `"action"`; in any case, numbered, bold, and so on (docs/replies.md).
        ends: labels of what the actor does not say: from such a line on a reply is invented.
        reasoning: tags, as `think`, or pairs of marks, as `[THINK] [/THINK]`.
        pattern: a regular expression that finds an action, tried before the labels: its group
            `action`, else its first group, else all of it.
        whole: an answer in which nothing is found is an action as a whole.
        longest: characters of an action; a longer one is a model running on, and is cut.
        reminder: what is answered to a reply that holds no action; empty: the usual sentence.
    """

    labels: tuple[str, ...] = ("action", "act", "动作", "行动")
    ends: tuple[str, ...] = ("observation", "observations", "obs", "user", "human", "观察", "观测")
    reasoning: tuple[str, ...] = REASONING
    pattern: str = ""
    whole: bool = False
    longest: int = 400
    reminder: str = ""


DEFAULT = Grammar()
