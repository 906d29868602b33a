"""Tell a model from the one before by what it says: a digest of its replies to a few prompts."""

from __future__ import annotations

from collections.abc import Sequence

from agent_r.actor import Actor, Message, SamplingParams
from agent_r.config import digest
from agent_r.settings import Settings

MAX_TOKENS = 64
GREEDY = SamplingParams(temperature=0.0, max_tokens=MAX_TOKENS, seed=0)


class Replies(Settings):
    """What a model says, in short.

    `steady`: asked twice, it says the same twice. Where it does not (few servers compute a batch as
    they compute a prompt alone), another digest proves no other model.
    """

    model: str
    digest: str
    steady: bool


class Switched(Settings):
    """One model in place of another, by their replies to the same greedy prompts."""

    by: str  # vllm, sglang, command, provider; "" where the server's owner sees to it
    before: Replies
    after: Replies

    @property
    def differs(self) -> bool:
        return self.before.digest != self.after.digest

    def doubts(self) -> list[str]:
        """What a person should know: the new model may not be the one that answers."""
        if not self.differs:
            return [
                f"{self.after.model} says word for word what {self.before.model} said to the same "
                "prompts: either training has changed nothing that shows, or the server still "
                "serves the model of before"
            ]
        if not (self.before.steady and self.after.steady):
            return [
                "the server gives other replies to the same greedy prompt, so nothing proves that "
                f"{self.after.model} is another model than {self.before.model}"
            ]
        return []

    def line(self) -> str:
        """For the report: who acts now, and how that is known.

        >>> a, b = (Replies(model=m, digest=m * 8, steady=True) for m in "ab")
        >>> Switched(by="vllm", before=a, after=b).line()
        'a → b (vllm): replies aaaaaaaa → bbbbbbbb'
        """
        how = f" ({self.by})" if self.by else ""
        names = f"{self.before.model} → {self.after.model}{how}"
        return f"{names}: replies {self.before.digest[:8]} → {self.after.digest[:8]}"


async def replies_of(actor: Actor, prompts: Sequence[Sequence[Message]]) -> Replies:
    """Ask a model each prompt twice, greedily.

    Raises:
        EndpointError: it does not answer.
    """
    once, again = [
        [(await actor.complete(prompt, n=1, params=GREEDY))[0].text for prompt in prompts]
        for _ in range(2)
    ]
    return Replies(model=actor.name, digest=digest(*once), steady=once == again)
