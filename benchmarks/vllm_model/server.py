"""The engine as a server in process: replies come when its iterations are done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from collections.abc import Sequence as Many

from benchmarks.vllm_model.engine import Engine, Sequence
from benchmarks.vllm_model.setups import Setup

Turns = Many[tuple[str, str]]  # role and content


class Down(Exception):
    """The server is not there, or went away while it worked on a request."""


def prompt_of(turns: Turns) -> str:
    """The prompt as a chat template would write it."""
    return "".join(f"{role}\n{content}\n" for role, content in turns) + "assistant\n"


class ModelServer:
    """One engine that is always at work while it has any; use as `async with`."""

    def __init__(self, setup: Setup) -> None:
        self.setup, self.engine = setup, Engine(setup)
        self.up = True
        self.guests: set[asyncio.Task[None]] = set()  # others that it works for
        self.on_answer: Callable[[str, float], None] = lambda prompt, seconds: None
        self._work = asyncio.Event()
        self._pending: set[asyncio.Future[None]] = set()

    async def __aenter__(self) -> ModelServer:
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [self._running, *self.guests]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def complete(self, prompt: str, replies: Many[str]) -> int:
        """Take as long as these replies to one prompt would; the cached tokens of the prompt.

        Raises:
            Down: the server went away.
        """
        if not self.up:
            raise Down
        loop, engine = asyncio.get_running_loop(), self.engine
        began = loop.time()
        size, written = len(prompt) // 4, max(len(reply) for reply in replies) // 4
        await asyncio.sleep(1e-6 * (self.setup.arrival + self.setup.letter * size))
        all_done: asyncio.Future[None] = loop.create_future()
        left = len(replies)

        def done() -> None:
            nonlocal left
            left -= 1
            if left == 0 and not all_done.done():
                all_done.set_result(None)

        sequences = [Sequence(prompt, reply, done) for reply in replies]
        for sequence in sequences:
            engine.add(sequence)
        self._work.set()
        self._pending.add(all_done)
        try:
            await all_done
        finally:
            self._pending.discard(all_done)
        await asyncio.sleep(1e-6 * self.setup.reply * written)
        self.on_answer(prompt, loop.time() - began)
        return sequences[0].cached

    def stop(self) -> None:
        """Go away, with all that is in flight and all that is cached."""
        self.up, self.engine = False, Engine(self.setup)
        for waiting in self._pending:
            if not waiting.done():
                waiting.set_exception(Down())

    def start(self) -> None:
        """Come back, empty."""
        self.up = True

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while True:
            if not self.engine.busy:
                self._work.clear()
                await self._work.wait()
                now = loop.time()
            seconds, ended = self.engine.step()
            now += seconds  # of the last one's end: what waking up costs is not added up
            await asyncio.sleep(max(0.0, now - loop.time()))
            for sequence in ended:
                sequence.done()
