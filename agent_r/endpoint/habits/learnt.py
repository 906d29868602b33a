"""What was found out of one server and model: what it takes, how turns are folded, streaming."""

from __future__ import annotations

from typing import NamedTuple, Self

from agent_r.endpoint.habits.streaming import Streaming
from agent_r.endpoint.habits.template_folds import Folding
from agent_r.endpoint.refusals.acceptance import Acceptance
from agent_r.settings import OpenAIEndpoint


class Learnt(NamedTuple):
    """Actors of one endpoint may share it, one after the other: then nothing is found out twice."""

    acceptance: Acceptance
    folding: Folding
    streaming: Streaming

    @classmethod
    def of(cls, config: OpenAIEndpoint, who: str) -> Self:
        """Nothing yet; `who` is the endpoint as messages name it."""
        return cls(Acceptance(config, who), Folding(config, who), Streaming(config, who))

    @property
    def lines(self) -> list[str]:
        """In words that the server's name begins."""
        return [*self.acceptance.found, *self.folding.found, *self.streaming.found]
