"""From what an actor's replies look like to what a person should change: one line for each thing.

The same lines end a trial of one episode and a run of thousands of trees.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

UNHEALTHY = 0.1  # share of the replies from which a person should know
MANY = 5  # episodes, below which their rewards say nothing of all tasks
_SHOWN = 80  # characters of a sample reply

# What no model writes that was trained to answer, and that no chat template leaves in a reply.
_MARKS = re.compile(
    r"<\|(im_start|im_end|start_header_id|end_header_id|eot_id|begin_of_text|endoftext|user"
    r"|assistant|system|end)\|>|</?(start|end)_of_turn>|\[/?INST\]|<<SYS>>"
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
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return f'"{line[:_SHOWN]}…"' if len(line) > _SHOWN else f'"{line}"'


def advice(seen: Symptoms) -> list[str]:
    """One line for each thing that is wrong: what it is, and the setting to change; worst first."""
    return [*_of_replies(seen), *_of_judgements(seen), *_of_episodes(seen)]


def _of_replies(seen: Symptoms) -> Iterator[str]:
    if _much(seen, "cut"):
        yield _cut(seen)
    if _much(seen, "empty"):
        yield _empty(seen)
    if _much(seen, "no action"):
        yield _no_action(seen)
    if _much(seen, "filtered"):
        yield (
            f"{_part(seen, 'filtered')} stopped by the server's content filter: switch the filter "
            "off where it is yours, or choose another endpoint.model"
        )
    if _much(seen, "failed"):
        yield (
            f"{_part(seen, 'failed')} broken off by the server itself: its log says why; if it "
            "has too much to do, lower endpoint.concurrency"
        )
    if seen.alike:
        yield (
            "replies with other seeds are all the same, so a search finds one way only: raise "
            "search.temperature, and start the server without greedy decoding or a fixed seed"
        )


def _cut(seen: Symptoms) -> str:
    limit = f"the token limit (search.max_tokens = {seen.max_tokens})"
    if 2 * seen.reasoned_away >= seen.count("cut"):
        return (
            f"{_part(seen, 'cut')} cut by {limit} while the model still reasons: turn thinking "
            "off at the server, or raise search.max_tokens to some thousands"
        )
    more = ""
    if is_base_model(seen.samples.get("cut", ())):
        more = (
            "; it runs on into other turns, as a base model does: serve its instruct or chat form"
        )
    return f"{_part(seen, 'cut')} cut by {limit}{seen.sample('cut')}: raise search.max_tokens{more}"


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
    part, samples = f"{seen.count('no action')} of {seen.replies} replies", seen.samples
    if is_base_model(samples.get("no action", ())):
        return (
            f"{part} are no answers but a chat's marks or turns{seen.sample('no action')}: "
            "endpoint.model is a base model, or the server applies no chat template of its own; "
            "serve an instruct or chat model"
        )
    form = f" ({seen.form})" if seen.form else ""
    return (
        f"{part} hold no action in the form that the world reads{form}{seen.sample('no action')}: "
        "choose an endpoint.model that follows instructions, or have the world ask for, or read, "
        "the model's own form"
    )


def _of_judgements(seen: Symptoms) -> Iterator[str]:
    missing = seen.judged - seen.verdicts
    if missing <= UNHEALTHY * seen.judged:
        return
    what = f"{missing} of {seen.judged} judgements {_be(missing)} without a verdict"
    if 2 * seen.judged_cut >= missing:
        yield (
            f"{what}, cut by the token limit: raise critique.max_tokens ({seen.judge_max_tokens})"
        )
        return
    sample = f", such as {quoted(seen.judge_sample)}" if seen.judge_sample.strip() else ""
    yield (
        f"{what}{sample}: set critique.localiser = 'value', which asks no judge, or choose an "
        "endpoint.model that ends with `Judgement: …` as it is asked to"
    )


def _of_episodes(seen: Symptoms) -> Iterator[str]:
    if seen.overflows:
        yield (
            f"{seen.overflows} of {max(len(seen.rewards), seen.overflows)} episodes ended as their "
            "conversation no longer fits the model's context: serve it with a longer one, or "
            "lower search.max_depth"
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
