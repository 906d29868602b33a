"""The data of a generation: the request, its running samples, its result."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from agent_r.local_model.text import Continuation

OnText = Callable[[int, str], None]
"""(sample, new text), called in the engine's thread."""

MAX_SAMPLES = 128


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One prompt and how to continue it; `top_logprobs` None asks for no log-probabilities."""

    prompt: tuple[int, ...]
    n: int = 1
    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    top_logprobs: int | None = None

    def __post_init__(self) -> None:
        if not self.prompt:
            raise ValueError("the prompt is empty")
        if not 1 <= self.n <= MAX_SAMPLES:
            raise ValueError(f"n must be between 1 and {MAX_SAMPLES}, not {self.n}")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, not {self.max_tokens}")
        if not 0.0 <= self.temperature <= 100.0:
            raise ValueError(f"temperature must be between 0 and 100, not {self.temperature}")
        if not 0.0 <= self.top_p <= 1.0:
            raise ValueError(f"top_p must be between 0 and 1, not {self.top_p}")
        if "" in self.stop:
            raise ValueError("a stop string must not be empty")


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A chosen token, its log-probability at temperature 1, and the best alternatives."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One finished continuation."""

    text: str
    tokens: tuple[int, ...]
    finish_reason: str
    logprobs: tuple[TokenLogprob, ...]


@dataclass(frozen=True, slots=True)
class Generation:
    """The answer to a request: its samples in order, and how much of its prompt was cached."""

    samples: tuple[Sample, ...]
    prompt_tokens: int
    cached_tokens: int


@dataclass(slots=True, eq=False)
class Sequence:
    """A sample while it is being generated."""

    job: Job
    index: int
    key: int  # of its random numbers
    text: Continuation
    row: Row | None = None
    place: int = 0  # among the samples of its row
    tokens: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish_reason: str = ""


@dataclass(slots=True, eq=False)
class Job:
    """A request while it is being answered."""

    request: GenerationRequest
    future: Future[Generation]
    on_text: OnText | None
    budget: int  # tokens a sample may have
    sequences: list[Sequence] = field(default_factory=list)
    cached_tokens: int = 0

    @property
    def done(self) -> bool:
        """True once every sample has ended."""
        return all(sequence.finish_reason for sequence in self.sequences)

    def result(self) -> Generation:
        """The generation that the caller gets."""
        samples = tuple(
            Sample(s.text.text, tuple(s.tokens), s.finish_reason, tuple(s.logprobs))
            for s in self.sequences
        )
        return Generation(samples, len(self.request.prompt), self.cached_tokens)


@dataclass(slots=True, eq=False)
class Row:
    """Samples of one request that share a row of the batch.

    Column `len(prompt) + step * width + place` holds what sample `place` wrote at `step`.
    """

    job: Job
    live: list[Sequence]
    width: int
    slot: int = -1

    @property
    def prompt(self) -> tuple[int, ...]:
        """The tokens of the prompt."""
        return self.job.request.prompt

    @property
    def columns(self) -> int:
        """Columns that the row fills at most."""
        return len(self.prompt) + self.width * self.job.budget

    def column(self, place: int, step: int) -> int:
        """Where the token that sample `place` wrote at `step` is kept."""
        return len(self.prompt) + step * self.width + place
