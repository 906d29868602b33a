"""Answer many requests at once with one model: continuous batching, in one thread.

A step prefills what arrived (only the tokens behind the longest cached prefix), then decodes one
token for every running sequence. The samples of a request share one prefill and one copy of the
prompt's keys and values. A request with a seed is answered alike whatever runs beside it (`batch`).
"""

from __future__ import annotations

import itertools
import queue
import secrets
import threading
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from agent_r.local_model import llama, token_sampling
from agent_r.local_model.batch import Batch
from agent_r.local_model.generation import (
    Generation,
    GenerationRequest,
    Job,
    OnText,
    Sequence,
    TokenLogprob,
)
from agent_r.local_model.kv_cache import PrefixCache
from agent_r.local_model.llama import UnsupportedModel
from agent_r.local_model.text import ChatTokenizer, Continuation

__all__ = ["Engine", "Generation", "GenerationRequest", "PromptTooLong", "UnsupportedModel"]


class PromptTooLong(ValueError):
    """The prompt leaves no room for a token in the model's context."""


class EngineStopped(RuntimeError):
    """The engine was closed before the request was answered."""


class Engine:
    """Generate text with the model of one folder; `submit` may be called from any thread.

    Args:
        threads: torch's threads for one operation. Small models gain little from a second one.
        max_rows: rows decoded together; requests beyond them wait.
        prefill_tokens: prompt tokens taken in between two decode steps, unless one prompt is
            longer.
        cache_bytes: memory of the prefix cache; 0 turns it off.
        block: tokens of a cache block; a prefix is found again in multiples of it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        threads: int = 1,
        max_rows: int = 64,
        prefill_tokens: int = 4096,
        cache_bytes: int = 256 * 2**20,
        block: int = 16,
    ) -> None:
        self.model = llama.load(folder)
        self.text = ChatTokenizer(folder)
        cache = PrefixCache(self.model.shape, limit_bytes=cache_bytes, block=block)
        self._batch = Batch(self.model, cache)
        self._threads = threads
        self._max_rows = max_rows
        self._prefill_tokens = prefill_tokens
        self._arrivals: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._waiting: list[Job] = []
        # Counted from one random start: a system call a request would give up the interpreter
        # lock, and wait for the engine's thread to hand it back.
        self._seeds = itertools.count(secrets.randbits(63))
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def context(self) -> int:
        """The model's context: tokens that a prompt and its continuation may have together."""
        return self.model.shape.context

    def submit(
        self, request: GenerationRequest, *, on_text: OnText | None = None
    ) -> Future[Generation]:
        """Queue a request; cancelling the future ends its sequences.

        Raises:
            ContextOverflow: the prompt fills the context.
            ValueError: a token that the model does not have.
        """
        length = len(request.prompt)
        if length >= self.context:
            raise PromptTooLong(
                f"the model's context is {self.context} tokens, and the prompt has {length}"
            )
        if not 0 <= min(request.prompt) <= max(request.prompt) < self.model.shape.vocab:
            raise ValueError(f"a prompt token lies outside 0..{self.model.shape.vocab - 1}")
        room = self.context - length
        future: Future[Generation] = Future()
        job = Job(request, future, on_text, min(request.max_tokens or room, room))
        seed = next(self._seeds) if request.seed is None else request.seed
        job.sequences = [
            Sequence(
                job,
                index,
                token_sampling.sample_key(seed, index),
                Continuation(self.text, request.stop),
            )
            for index in range(request.n)
        ]
        self._arrivals.put(job)
        return future

    def close(self) -> None:
        """Stop the thread; what still runs or waits fails with EngineStopped."""
        self._arrivals.put(None)
        self._thread.join()

    @torch.inference_mode()
    def _run(self) -> None:
        torch.set_num_threads(self._threads)
        while self._collect():
            self._prefill(self._admit())
            self._decode()
        running = [row.job for row in self._batch.rows]
        self._abandon(running + self._waiting, EngineStopped("the model's server was stopped"))

    def _collect(self) -> bool:
        """Move arrivals to the waiting list, sleeping if there is nothing to do; False to stop."""
        idle = not self._waiting and not self._batch.rows
        while idle or not self._arrivals.empty():
            job = self._arrivals.get()
            if job is None:
                return False
            self._waiting.append(job)
            idle = False
        return True

    def _admit(self) -> list[Job]:
        """Take from the waiting list the jobs that the next prefill computes."""
        self._waiting = [job for job in self._waiting if not job.future.cancelled()]
        room = self._max_rows - len(self._batch.rows)
        budget = self._prefill_tokens
        taken: list[Job] = []
        for job in self._waiting:
            room -= self._batch.rows_needed(job)
            budget -= len(job.request.prompt)
            # A job larger than the whole batch would wait for ever: alone, it may run.
            alone = not taken and not self._batch.rows
            if not alone and (room < 0 or (budget < 0 and taken)):
                break
            taken.append(job)
        del self._waiting[: len(taken)]
        return taken

    def _prefill(self, jobs: list[Job]) -> None:
        if not jobs:
            return
        try:
            scores = self._batch.prefill([self._batch.plan(job) for job in jobs])
        except Exception as error:  # noqa: BLE001 -- the thread must outlive any one request
            self._abandon(jobs, error if len(jobs) == 1 else None)
            for job in jobs if len(jobs) > 1 else []:
                self._prefill([job])
            return
        source = [number for number, job in enumerate(jobs) for _ in job.sequences]
        self._advance([s for job in jobs for s in job.sequences], scores[source])

    def _decode(self) -> None:
        self._abandon([row.job for row in self._batch.rows if row.job.future.cancelled()], None)
        if not self._batch.rows:
            return
        try:
            sequences, scores = self._batch.decode()
        except Exception as error:  # noqa: BLE001 -- no single request can be blamed
            self._abandon([row.job for row in self._batch.rows], error)
            return
        self._advance(sequences, scores)

    def _advance(self, sequences: list[Sequence], scores: Tensor) -> None:
        """Give every sequence its next token, and take out those that end with it."""
        requests = [sequence.job.request for sequence in sequences]
        keys = np.array([sequence.key for sequence in sequences], dtype=np.uint64)
        written = np.array([len(sequence.tokens) for sequence in sequences], dtype=np.uint64)
        tokens = token_sampling.draw(
            scores,
            np.array([request.temperature for request in requests]),
            np.array([request.top_p for request in requests]),
            token_sampling.uniforms(keys, written),
        )
        self._log(sequences, scores, tokens)
        for sequence, token in zip(sequences, tokens, strict=True):
            if sequence.job.future.done():  # given up earlier in this loop
                continue
            try:
                self._push(sequence, token)
            except Exception as error:  # noqa: BLE001 -- a caller's on_text may fail
                self._abandon([sequence.job], error)

    def _push(self, sequence: Sequence, token: int) -> None:
        job = sequence.job
        sequence.tokens.append(token)
        ended = token in self.text.end_tokens
        watched = job.request.stop or job.on_text
        if not ended and watched and sequence.text.push(token):
            sequence.finish_reason = "stop"
        elif ended or len(sequence.tokens) >= job.budget:
            sequence.finish_reason = "stop" if ended else "length"
            sequence.text.finish(sequence.tokens[: -1 if ended else None])
        if job.on_text and (piece := sequence.text.new_text(final=bool(sequence.finish_reason))):
            job.on_text(sequence.index, piece)
        if sequence.finish_reason:
            self._batch.retire(sequence)
            if job.done and job.future.set_running_or_notify_cancel():
                job.future.set_result(job.result())

    def _log(self, sequences: list[Sequence], scores: Tensor, tokens: list[int]) -> None:
        """Record log-probabilities for requests that ask for them, but not of an end token."""
        asked = [
            number
            for number, sequence in enumerate(sequences)
            if sequence.job.request.top_logprobs is not None
            and tokens[number] not in self.text.end_tokens
        ]
        if not asked:
            return
        chosen = [tokens[number] for number in asked]
        for number, entry in zip(
            asked, token_sampling.logprobs(scores[asked], chosen), strict=True
        ):
            count = sequences[number].job.request.top_logprobs or 0
            logprob, best = entry
            sequences[number].logprobs.append(TokenLogprob(tokens[number], logprob, best[:count]))

    def _abandon(self, jobs: list[Job], error: BaseException | None) -> None:
        """Free the rows of `jobs`; their callers get the error, if there is one."""
        for row in [row for row in self._batch.rows if row.job in jobs]:
            self._batch.drop(row)
        for job in jobs:
            if error is not None and not job.future.done():
                _fail(job, error)


def _fail(job: Job, error: BaseException) -> None:
    if job.future.set_running_or_notify_cancel():
        job.future.set_exception(error)
