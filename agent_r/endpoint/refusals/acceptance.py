"""What one server takes of a request: found out as requests are refused, once for a run."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from agent_r.actor import Message, SamplingParams
from agent_r.endpoint.payload import body_of
from agent_r.endpoint.refusals.named_settings import CONTENT, least_first
from agent_r.endpoint.refusals.request_refused import RequestRefused
from agent_r.settings import OpenAIEndpoint

LIMIT, NEWER_LIMIT = "max_tokens", "max_completion_tokens"  # one setting's two names
_EACH_TIME_ANOTHER = ("seed",)  # whose value says nothing of whether it is taken
_VARIED = ("temperature", LIMIT, NEWER_LIMIT, "n")  # by one request or another of ours
_AS_A_WHOLE = ("n", "seed", LIMIT, NEWER_LIMIT)  # left out with every value

_REASONING = "reasoning_content"  # of turns, and no setting of the body

_log = logging.getLogger(__name__)
Body = dict[str, Any]


class Acceptance:
    """Shapes requests by what was refused so far.

    A setting that a refusal names is left out, and counts as refused once a request without it is
    answered. Where nothing is named, a harmless conversation is tried without the settings that
    were never answered, and then with one more each time.

    Args:
        who: the endpoint as messages name it.
    """

    def __init__(self, config: OpenAIEndpoint, who: str) -> None:
        self.refused: set[str] = set()  # settings, or one value of a setting
        self.found: list[str] = []  # in words
        self._config, self._who = config, who
        self._reasoning = config.send_reasoning
        self._most = 0  # tokens of a reply that may be asked for; 0: as many as one likes
        self._in_part: set[str] = set()  # settings of which some values may be refused
        self._answered: set[tuple[str, str]] = set()  # settings and values of answered requests
        self._answered_as: set[tuple[object, ...]] = set()  # the same at a glance

    @property
    def several(self) -> bool:
        """Whether a request may ask for several replies."""
        return self._config.n != 1 and "n" not in self.refused

    def body(self, messages: Sequence[Message], params: SamplingParams, n: int) -> Body:
        """A request in the shape that is taken, as far as that is known."""
        body = body_of(self._config, messages, params, reasoning=self._reasoning)
        if n > 1:  # some servers do not know `n` at all
            body["n"] = n
        if self._most:
            body[LIMIT] = min(self._most, body[LIMIT])
        return self._taken_of(body) if self.refused else body

    def _taken_of(self, body: Body) -> Body:
        taken: Body = {}
        for name, value in body.items():
            whole = name in self.refused
            if not whole and not (name in self._in_part and _of_value(name, value) in self.refused):
                taken[name] = value
            elif name == LIMIT and NEWER_LIMIT not in self.refused:
                taken[NEWER_LIMIT] = value
        return taken

    def took(self, body: Body, suspected: Iterable[str]) -> None:
        """The request was answered; so what was left out of it was the reason for its refusal."""
        at_a_glance = (len(body), tuple(body.get("stop", ())), *map(body.get, _VARIED))
        if at_a_glance not in self._answered_as:  # of each call, this is worth a fiftieth
            self._answered_as.add(at_a_glance)
            self._answered.update(self._marks(body))
        for name in suspected:
            if name != _REASONING:
                self._say(name)

    def suspect(self, error: RequestRefused, asked: Body) -> str:
        """Leave out what the refusal names; "" where it names nothing that could be left out."""
        demanded = error.forbids_reasoning if self._reasoning else error.wants_reasoning
        if demanded and self._reasoning == self._config.send_reasoning:
            self._reasoning = not self._reasoning
            wants = "wants" if self._reasoning else "does not take"
            self._tell(f"{wants} the reasoning of earlier turns: from now on "
                       f"`endpoint.send_reasoning = {str(self._reasoning).lower()}`")  # fmt: skip
            return _REASONING
        named = error.settings(asked)
        if {LIMIT, NEWER_LIMIT} & set(self._known(asked)):
            # What was taken before is refused for the length of this conversation.
            named = [name for name in named if name not in (LIMIT, NEWER_LIMIT)]
        if not named:
            return ""
        name = named[0]
        if name in (LIMIT, NEWER_LIMIT) and NEWER_LIMIT not in error.answer:
            self._most = error.number_below(asked[name])
            if self._most:
                return name
        return self._leave_out(name, asked[name])

    def _leave_out(self, name: str, value: object) -> str:
        """A setting that was taken with another value is left out with this value alone."""
        elsewhere = any(name == known for known, _ in self._answered)
        refused = name
        if elsewhere and name not in _AS_A_WHOLE:
            refused = _of_value(name, value)
            self._in_part.add(name)
        self.refused.add(refused)
        return refused

    def restore(self, suspected: Iterable[str]) -> None:
        """They were not the reason."""
        self.refused.difference_update(suspected)
        if {LIMIT, NEWER_LIMIT} & set(suspected):
            self._most = 0

    def doubts(self, asked: Body) -> bool:
        """Whether there is a setting that no answered request has had."""
        return bool(self._doubtful(asked))

    async def try_without(self, asked: Body, answers: Callable[[Body], Awaitable[bool]]) -> bool:
        """Whether a request without some settings is answered; which these are is found out.

        Args:
            asked: is refused, whatever its conversation.
            answers: whether a request with these settings is answered.
        """
        doubtful = self._doubtful(asked)
        bare = {name: value for name, value in asked.items() if name not in doubtful}
        if not doubtful or not await answers(bare):
            return False
        for name in reversed(doubtful):  # first what matters most, should two not go together
            if await answers(bare | {name: asked[name]}):
                bare[name] = asked[name]
                continue
            refused = self._leave_out(name, asked[name])
            if name == LIMIT and await answers(bare | {NEWER_LIMIT: asked[name]}):
                bare[NEWER_LIMIT] = asked[name]
            elif name == LIMIT:
                self.refused.add(NEWER_LIMIT)
            self._say(refused)
        self._answered.update(self._marks(bare))
        return True

    def _doubtful(self, asked: Body) -> list[str]:
        """Settings that no answered request has had, the most dispensable first."""
        known = self._known(asked)
        return least_first([n for n in asked if n not in CONTENT and n not in known])

    def _known(self, asked: Body) -> list[str]:
        """Settings that an answered request has had, with that value."""
        return [name for name, _ in self._answered & self._marks(asked)]

    def _marks(self, body: Body) -> set[tuple[str, str]]:
        return {
            (name, "" if name in _EACH_TIME_ANOTHER else repr(value))
            for name, value in body.items()
            if name not in CONTENT
        }

    def _say(self, name: str) -> None:
        if self._most and name in (LIMIT, NEWER_LIMIT):
            self._tell(f"takes a `{name}` of {self._most} at most: no more is asked for")
        elif name == LIMIT and NEWER_LIMIT not in self.refused:
            self._tell(f"takes `{NEWER_LIMIT}` in place of `{LIMIT}`")
        elif name != "n":  # a request for each reply is as well
            whose = "endpoint.extra_body." if name in self._config.extra_body else ""
            self._tell(f"does not take `{whose}{name}`: it is not sent again")

    def _tell(self, line: str) -> None:
        self.found.append(line)
        _log.warning("%s %s", self._who, line)


def _of_value(name: str, value: object) -> str:
    """What is refused of a setting that is taken with other values.

    >>> _of_value("temperature", 0.0)
    'temperature = 0.0'
    """
    return f"{name} = {value!r}"
