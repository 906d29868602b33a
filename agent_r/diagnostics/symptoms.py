"""Map what an actor's replies look like to what a person should change, one line each.

The same lines end a trial of one episode and a run of thousands of trees.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from agent_r.printable import printable_line
from agent_r.reading.reply import Grammar

UNHEALTHY = 0.1  # share of the replies from which a person should know
MANY = 5  # episodes, below which their rewards say nothing of all tasks
_SHOWN = 80  # characters of a sample reply

# How chat templates begin a turn: no model writes that which was trained on its own template. An
# end mark after an answer is no more than a server that leaves it in.
_MARKS = re.compile(
    r"<\|(im_start|start_header_id|user|assistant|system)\|>|<start_of_turn>|\[INST\]|<<SYS>>"
    r"|^\s*(<\|\w+\|>|</?s>|<end_of_turn>)"
)
_TURNS = re.compile(r"^\s*(#+ *)?(user|human|assistant|system)\s*(:|\n|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Symptoms:
    """What was seen of an actor; what nobody has looked at is 0, None or empty."""

    outcomes: Mapping[str, int]  # replies by `Outcome`
    samples: Mapping[str, Sequence[str]] = field(default_factory=dict)  # some of each, verbatim
    finish_reasons: Mapping[str, int] = field(default_factory=dict)
    reasoned_away: int = 0  # of the cut and the empty replies, those that hold reasoning alone
    max_tokens: int = 0  # of a reply: search.max_tokens
    form: str = ""  # of an action, as the world reads it
    judged: int = 0
    verdicts: int = 0  # of the judged
    judged_cut: int = 0  # judgements that the token limit ended before their verdict
    judge_max_tokens: int = 0  # critique.max_tokens
    judge_sample: str = ""  # a judgement without a verdict
    overflows: int = 0  # episodes that ended as their conversation no longer fitted the model
    refusals: int = 0  # episodes that ended as the server refused their conversation
    context: int = 0  # tokens of the server's context, where it says so
    needed: int = 0  # tokens of an episode of `max_depth` steps, about
    reads_at_most: int = 0  # tokens to which the server cuts prompts without a word
    rewards: Sequence[float] = ()  # final ones, one an episode
    alike: bool | None = None  # replies with other seeds are the same reply, at temperature 1

    @property
    def replies(self) -> int:
        return sum(self.outcomes.values())

    def count(self, outcome: str) -> int:
        return self.outcomes.get(outcome, 0)

    def sample(self, outcome: str) -> str:
        """One reply of the kind, as a quotation; "" where none was kept."""
        kept = [text for text in self.samples.get(outcome, ()) if text.strip()]
        return f", such as {quoted(kept[0])}" if kept else ""


def quoted(text: str) -> str:
    """The beginning of a text on one line, as it can be shown anywhere.

    >>> quoted("one\\ntwo")
    '"one two"'
    """
    line = printable_line(text)
    return f'"{line[:_SHOWN]}…"' if len(line) > _SHOWN else f'"{line}"'


def advice(seen: Symptoms) -> list[str]:
    """One line for each thing that is wrong: what it is, and the setting to change; worst first."""
    return [*_of_replies(seen), *_of_judgements(seen), *_of_episodes(seen), *_of_context(seen)]


def _of_replies(seen: Symptoms) -> Iterator[str]:
    astray = [kind for kind in ("no action", "empty", "cut") if _is_astray(seen, kind)]
    if astray:
        yield _base_model(seen, astray)
    for kind, line in _LINES.items():
        if _much(seen, kind) and kind not in astray:
            yield line(seen)
    if seen.alike and seen.count("action"):
        yield (
            "replies with other seeds are all the same, so a search finds one way only: raise "
            "search.temperature, and start the server without greedy decoding or a fixed seed"
        )


def _is_astray(seen: Symptoms, outcome: str) -> bool:
    return _much(seen, outcome) and is_base_model(seen.samples.get(outcome, ()))


def _base_model(seen: Symptoms, outcomes: Sequence[str]) -> str:
    count = sum(map(seen.count, outcomes))
    return (
        f"{count} of {seen.replies} replies {_be(count)} no answer but a chat's marks or turns"
        f"{seen.sample(outcomes[0])}: endpoint.model is a base model, or the server applies "
        "another chat template than its own; serve an instruct or chat model with its own"
    )


def _cut(seen: Symptoms) -> str:
    limit = f"the token limit (search.max_tokens = {seen.max_tokens})"
    if 2 * seen.reasoned_away >= seen.count("cut"):
        return (
            f"{_part(seen, 'cut')} cut by {limit} while the model still reasons: turn thinking "
            "off at the server, or raise search.max_tokens to some thousands"
        )
    return (
        f"{_part(seen, 'cut')} cut by {limit}{seen.sample('cut')}: raise search.max_tokens, or "
        "choose an endpoint.model that comes to an end"
    )


def _empty(seen: Symptoms) -> str:
    part = _part(seen, "empty")
    if seen.finish_reasons.get("tool_calls"):
        return (
            f"{part} empty, for the server makes tool calls of them: start it without its "
            "tool-call parser (vLLM: without --enable-auto-tool-choice)"
        )
    if seen.reasoned_away:
        return (
            f"{part} empty but for reasoning: turn thinking off at the server, or raise "
            f"search.max_tokens ({seen.max_tokens})"
        )
    return (
        f"{part} empty: the model ends its turn at once, mostly for a chat template that is not "
        "its own, or the server keeps hidden reasoning to itself (then raise search.max_tokens)"
    )


def _no_action(seen: Symptoms) -> str:
    count = seen.count("no action")
    form = f" ({seen.form})" if seen.form else ""
    return (
        f"{count} of {seen.replies} replies hold{'s' if count == 1 else ''} no action in the form "
        f"that the world reads{form}{seen.sample('no action')}: choose an endpoint.model that "
        "follows instructions, or, for a world that takes it, set env.grammar to the model's form"
    )


def _filtered(seen: Symptoms) -> str:
    return (
        f"{_part(seen, 'filtered')} stopped by the server's content filter: switch the filter "
        "off where it is yours, or choose another endpoint.model"
    )


def _failed(seen: Symptoms) -> str:
    return (
        f"{_part(seen, 'failed')} broken off by the server itself: its log says why; if it "
        "has too much to do, lower endpoint.concurrency"
    )


_LINES: Mapping[str, Callable[[Symptoms], str]] = {
    "cut": _cut,
    "empty": _empty,
    "no action": _no_action,
    "filtered": _filtered,
    "failed": _failed,
}


def _of_judgements(seen: Symptoms) -> Iterator[str]:
    missing = seen.judged - seen.verdicts
    if missing <= UNHEALTHY * seen.judged or not seen.count("action"):
        return  # who never acts has other troubles
    what = f"{missing} of {seen.judged} judgements gave no verdict"
    if 2 * seen.judged_cut >= missing:
        yield (
            f"{what}, cut by the token limit (critique.max_tokens = {seen.judge_max_tokens}): "
            "raise it, or turn thinking off at the server"
        )
        return
    sample = f", such as {quoted(seen.judge_sample)}" if seen.judge_sample.strip() else ""
    yield (
        f"{what}{sample}: set critique.localiser = 'value', which asks no judge, or choose an "
        "endpoint.model that ends with `Judgement: …` as it is asked to"
    )


def _of_context(seen: Symptoms) -> Iterator[str]:
    """What a server without enough room does: refuse, or cut without a word."""
    if seen.reads_at_most:
        yield (
            f"the server reads {seen.reads_at_most:,} tokens of a prompt at most, and cuts the "
            "rest without a word: serve the model with a longer context (Ollama num_ctx, LM "
            "Studio's context length), or lower search.max_depth"
        )
    elif 0 < seen.context < seen.needed:
        yield (
            f"an episode of search.max_depth steps needs about {seen.needed:,} tokens, and the "
            f"server's context has {seen.context:,}: serve the model with a longer one, or lower "
            "search.max_depth"
        )


def _of_episodes(seen: Symptoms) -> Iterator[str]:
    if seen.overflows:
        yield (
            f"{seen.overflows} of {max(len(seen.rewards), seen.overflows)} episodes ended as their "
            "conversation no longer fits the model's context: serve it with a longer one, or "
            "lower search.max_depth"
        )
    if seen.refusals:
        yield (
            f"{seen.refusals} of {max(len(seen.rewards), seen.refusals)} episodes ended as the "
            "server refused their conversation: its own words say why; where it is a policy, "
            "choose another endpoint.model or other tasks of [env]"
        )
    if len(seen.rewards) < MANY or not seen.count("action"):
        return
    if max(seen.rewards) == 0:
        yield (
            "no episode earned anything: without a good one there is nothing to learn from; take "
            "easier tasks of [env], a larger model, or more search.simulations"
        )
    elif min(seen.rewards) == 1:
        yield (
            "every episode earned all: without a failure there is nothing to correct; take harder "
            "tasks of [env], or raise search.temperature"
        )


def is_base_model(samples: Sequence[str]) -> bool:
    """Whether half of these replies are a chat template's marks, or play all parts of a chat.

    >>> is_base_model(["<|im_start|>user", "Action: look"]), is_base_model(["I cannot help."])
    (True, False)
    """
    odd = sum(bool(_MARKS.search(text) or _TURNS.match(text)) for text in samples)
    return odd > 0 and 2 * odd >= len(samples)


def _much(seen: Symptoms, outcome: str) -> bool:
    return seen.count(outcome) > 0 and seen.count(outcome) >= UNHEALTHY * seen.replies


def _part(seen: Symptoms, outcome: str) -> str:
    return f"{seen.count(outcome)} of {seen.replies} replies {_be(seen.count(outcome))}"


def _be(count: int) -> str:
    return "is" if count == 1 else "are"


def form_of(grammar: Grammar) -> str:
    """How an action is written, for a person; "" where that is not to be said in a word."""
    if grammar.pattern or grammar.whole or not grammar.labels:
        return ""
    return f"`{grammar.labels[0].capitalize()}: …`"
