"""The scheduler's loop: which sequences compute how many tokens in an iteration, and how long."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Callable

from benchmarks.vllm_model.blocks import BLOCK, PRIVATE, BlockPool, contents
from benchmarks.vllm_model.setups import Setup


class Sequence:
    """One reply being written; tokens are four characters."""

    __slots__ = (
        "cached", "computed", "contents", "done", "ends", "generated", "held", "output", "prompt",
        "renews",
    )  # fmt: skip

    def __init__(self, prompt: str, reply: str, done: Callable[[], None]) -> None:
        self.prompt, self.output = max(1, len(prompt) // 4), max(1, len(reply) // 4)
        self.contents = contents(prompt + reply)
        self.done = done  # called when the last token is there
        self.computed = self.generated = self.cached = 0
        self.held: list[int] = []
        self.ends = -1  # the iteration of its last token, while it decodes
        self.renews = 0  # the iteration, modulo 16, in which it needs a new block

    @property
    def known(self) -> int:
        """Tokens of the prompt and of what is written so far."""
        return self.prompt + self.generated


class Engine:
    """Continuous batching with a KV cache: `add` sequences, then `step` as long as `busy`."""

    def __init__(self, setup: Setup) -> None:
        self.setup, self.pool = setup, BlockPool(setup.blocks)
        self.preempted = self.prompt_tokens = self.cached_tokens = self.iterations = 0
        self._waiting: deque[Sequence] = deque()
        self._running: dict[Sequence, None] = {}  # in the order of admission
        self._prefilling: dict[Sequence, None] = {}
        self._decoding = self._kv = 0  # sequences that decode, and the tokens of their caches
        self._renewing: defaultdict[int, dict[Sequence, None]] = defaultdict(dict)
        self._ending: list[tuple[int, int, Sequence]] = []
        self._ties = 0

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._running)

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence behind the others."""
        self._waiting.append(sequence)

    def step(self) -> tuple[float, list[Sequence]]:
        """One iteration: its seconds, and the sequences that end with it."""
        self.iterations += 1
        before = self.preempted
        self._renew()
        decoding, kv = self._decoding, self._kv
        budget = self.setup.max_num_batched_tokens - decoding
        left = self._admit(self._go_on(budget), admits=self.preempted == before)
        seconds = 1e-6 * (
            self.setup.step
            + self.setup.prefill * (budget - left)
            + self.setup.decode * decoding
            + self.setup.kv * kv
        )
        return seconds, self._end(decoding)

    def _renew(self) -> None:
        """A new block for each sequence that has filled its last; the last admitted give way."""
        bucket = self._renewing[self.iterations % BLOCK]
        for sequence in list(bucket):
            if sequence not in bucket:
                continue  # it has just given way itself
            full = len(sequence.held) - 1
            if sequence.held[full] == PRIVATE and full < len(sequence.contents):
                sequence.held[full] = self.pool.fill(sequence.contents[full])
            if self._room(sequence, 1):
                sequence.held.append(PRIVATE)

    def _room(self, sequence: Sequence, new: int) -> bool:
        """Take blocks for a sequence that runs, from others if need be; False: it gave way too."""
        while not self.pool.add(new):
            victim = next(reversed(self._running))
            self._preempt(victim)
            if victim is sequence:
                return False
        return True

    def _preempt(self, victim: Sequence) -> None:
        """Take all blocks from a sequence; it is computed again, before all others that wait."""
        self.preempted += 1
        del self._running[victim]
        if victim in self._prefilling:
            del self._prefilling[victim]
        else:
            self._stop_decoding(victim)
            victim.generated = victim.output - (victim.ends - self.iterations) - 1
        victim.computed = 0
        self.pool.release(victim.held)
        victim.held = []
        self._waiting.appendleft(victim)

    def _go_on(self, budget: int) -> int:
        """Prefills that did not fit into the last iteration's tokens."""
        for sequence in list(self._prefilling):
            if sequence not in self._prefilling or not budget:
                continue
            budget -= self._compute(sequence, budget)
        return budget

    def _compute(self, sequence: Sequence, budget: int) -> int:
        """Tokens of a prefill that are computed now; 0 where it had to give way."""
        tokens = min(sequence.known - sequence.computed, budget)
        new = -(-(sequence.computed + tokens) // BLOCK) - len(sequence.held)
        if not self._room(sequence, new):
            return 0
        self._computed(sequence, tokens, new)
        return tokens

    def _computed(self, sequence: Sequence, tokens: int, new: int) -> None:
        filled = sequence.computed // BLOCK
        sequence.computed += tokens
        sequence.held += [PRIVATE] * new
        for place in range(filled, min(sequence.computed // BLOCK, len(sequence.contents))):
            sequence.held[place] = self.pool.fill(sequence.contents[place])
        if sequence.computed == sequence.known:
            self._prefilling.pop(sequence, None)
            self._decode(sequence)
        else:
            self._prefilling[sequence] = None

    def _admit(self, budget: int, *, admits: bool) -> int:
        """Begin sequences that wait, in order, as long as tokens, places and blocks are left."""
        waiting, most = self._waiting, self.setup.max_num_seqs
        while admits and waiting and budget > 0 and len(self._running) < most:
            sequence = waiting[0]
            # At least the last token is computed, so that there is a next one.
            usable = sequence.contents[: (sequence.known - 1) // BLOCK]
            here = usable[: self.pool.cached(usable)]
            tokens = min(sequence.known - len(here) * BLOCK, budget)
            new = -(-(len(here) * BLOCK + tokens) // BLOCK) - len(here)
            if not self.pool.begin(here, new):
                break
            self._running[waiting.popleft()] = None
            self.prompt_tokens += sequence.known
            self.cached_tokens += len(here) * BLOCK
            sequence.cached = len(here) * BLOCK
            sequence.held, sequence.computed = here, len(here) * BLOCK
            self._computed(sequence, tokens, new)
            budget -= tokens
        return budget

    def _decode(self, sequence: Sequence) -> None:
        """With its prefill a sequence has a next token; one more comes with each iteration."""
        sequence.generated += 1
        sequence.ends = self.iterations + sequence.output - sequence.generated
        sequence.renews = (self.iterations + 1 - sequence.computed) % BLOCK
        self._renewing[sequence.renews][sequence] = None
        self._decoding += 1
        self._kv += sequence.computed
        self._ties += 1
        heapq.heappush(self._ending, (sequence.ends, self._ties, sequence))

    def _stop_decoding(self, sequence: Sequence) -> None:
        del self._renewing[sequence.renews][sequence]
        begun = sequence.ends - sequence.output + sequence.generated
        self._decoding -= 1
        self._kv -= sequence.computed + self.iterations - 1 - begun

    def _end(self, decoded: int) -> list[Sequence]:
        self._kv += decoded
        ended = []
        while self._ending and self._ending[0][0] <= self.iterations:
            ends, _, sequence = heapq.heappop(self._ending)
            if sequence not in self._running or ends != sequence.ends:
                continue  # it was preempted since
            del self._renewing[sequence.renews][sequence]
            begun = sequence.ends - sequence.output + sequence.generated
            self._decoding -= 1
            self._kv -= sequence.computed + self.iterations - begun
            del self._running[sequence]
            self.pool.release(sequence.held)
            ended.append(sequence)
        return ended
