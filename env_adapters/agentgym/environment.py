"""Any server of AgentGym (Xi et al. 2024, arXiv 2406.04151), over HTTP.

No server has snapshots, and none forgets what a client left behind: environments are few, lent,
reset for the next episode, and closed at the end. One that is lost in mid-episode is replaced, and
the episode's actions are taken again there; an answer that is another then is a fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeVar

from agent_r.algorithm.replay import normalised
from agent_r.environment import EnvInfo, Environment, Split, StepResult, TaskSpec
from agent_r.errors import UnknownTask
from agent_r.settings import AgentGymEnv
from env_adapters.agentgym.profiles import PROFILES
from env_adapters.agentgym.wire import Answer, Fault, GymClient
from env_adapters.pool import Pool

VERSION = 1  # of this client: raised when the same actions could give other observations
PAUSES = (0.2, 1.0)  # seconds before another environment is tried, each time
DOUBTS = 10  # as often an episode begins again in the same environment, for one action
CLOSING_S = 15.0  # a server that is gone holds a run's end up no longer

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class Place:
    """One environment on the server, and whether its state is what we brought it to.

    It is not when it is new, nor when its number was given out once more: a server that was
    restarted counts from 0 again, and ours may be another environment now.
    """

    number: int
    known: bool = False


class AgentGym:
    """Implements Environment: one episode at a time, in an environment that is lent for it."""

    def __init__(self, world: AgentGymWorld) -> None:
        self._world, self._profile, self._wire = world, world.profile, world.wire
        self._place: Place | None = None
        self._index, self._opening = 0, ""
        self._taken: list[tuple[str, Answer]] = []
        self._complaint = ""
        self._reward, self._over = 0.0, True

    @property
    def info(self) -> EnvInfo:
        return self._world.info

    def tasks(self, split: Split) -> Sequence[TaskSpec]:
        """By the server's own index, which is all the name that a task has there."""
        return _tasks(self._profile.server, split)

    async def reset(self, task: str) -> str:
        index = self._profile.index(task)
        if index is None:
            server = self._profile.server
            raise UnknownTask(f"AgentGym's {server} has no task {task[:80]!r}: like {server}/17")
        self._over, self._index, self._taken = True, index, []
        self._opening = await self._try(self._begin)
        self._reward, self._over = 0.0, False
        return self._opening

    async def step(self, action: str) -> StepResult:
        """Malformed actions are answered here; the server never sees them."""
        if self._over:
            raise ValueError("the episode has ended: reset first")
        sent = self._profile.sent_line(action)
        if refusal := self._profile.refusal(sent):
            return StepResult(refusal, self._reward, terminated=False)
        self._complaint = ""
        answer = await self._try(partial(self._act, sent))
        self._taken.append((sent, answer))
        self._reward = self._worth(answer)
        lost = self._profile.cumulative and answer.value is not None and answer.value < 0
        terminated = answer.terminated or lost
        self._over = terminated or answer.truncated
        return StepResult(answer.observation, self._reward, terminated, answer.truncated)

    async def close(self) -> None:
        self._over = True
        place, self._place = self._place, None
        if place is not None:
            self._world.leases.give_back(place)

    async def _begin(self) -> str:
        place = self._place = self._place or await self._world.leases.take()
        place.known = True  # unless somebody says otherwise from here on
        return await self._wire.begin(place.number, self._index)

    async def _act(self, sent: str) -> Answer:
        """Take an action where the episode stands; again, if that was in doubt meanwhile."""
        for _ in range(DOUBTS):
            if self._place is None or not self._place.known:
                await self._begin_again()
            assert self._place is not None
            answer = await self._wire.act(self._place.number, sent)
            if self._place.known:
                break
        else:
            raise Fault("its environment is given out again and again")
        if answer.value is None and answer.observation != self._complaint:
            # The environment's error or the action's? Another environment says the same, or not.
            self._complaint = answer.observation
            raise Fault(answer.observation)
        return answer

    async def _begin_again(self) -> None:
        """Bring an environment to where the episode is."""
        opening = await self._begin()
        assert self._place is not None
        if self._place.known and self._texts_differ(opening, self._opening):
            raise self._wire.trouble(f"task {self._index} began otherwise when it was replayed")
        for number, (sent, before) in enumerate(self._taken, start=1):
            now = await self._wire.act(self._place.number, sent)
            if self._place.known and self._differs(now, before):
                raise self._wire.trouble(
                    f"task {self._index}, action {number} of {len(self._taken)} was answered "
                    "otherwise when it was replayed"
                )

    async def _try(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Call the server; after a fault, try a few times in another environment."""
        for pause in (*self._world.pauses, None):
            try:
                return await ask()
            except Fault as fault:
                await asyncio.shield(self._drop())
                if pause is None:
                    raise self._wire.trouble(fault) from fault
                await asyncio.sleep(pause)
            except BaseException:  # cancelled, say: the server may still be at it
                self._drop()
                raise
        raise AssertionError("unreachable")

    def _drop(self) -> asyncio.Future[None]:
        """Give an environment up, in a task that outlives this episode."""
        place, self._place = self._place, None
        return self._world.later(self._world.give_up(place))

    def _worth(self, answer: Answer) -> float:
        """The reward so far: a step's own reward does not count those before."""
        if answer.value is None:
            return self._reward
        value = min(max(answer.value / self._profile.full, 0.0), 1.0)
        return value if self._profile.cumulative else max(value, self._reward)

    def _differs(self, now: Answer, before: Answer) -> bool:
        values = [math.inf if a.value is None else a.value for a in (now, before)]
        ends = [(a.terminated, a.truncated) for a in (now, before)]
        return (
            self._texts_differ(now.observation, before.observation)
            or not math.isclose(*values, abs_tol=1e-6)
            or ends[0] != ends[1]
        )

    def _texts_differ(self, now: str, before: str) -> bool:
        return self._profile.repeats == "text" and normalised(now) != normalised(before)


class AgentGymWorld:
    """Implements World: the connections to a server, and the environments held there."""

    expert = None

    def __init__(
        self,
        spec: AgentGymEnv,
        *,
        pauses: Sequence[float] = PAUSES,
        closing_s: float = CLOSING_S,
    ) -> None:
        self.profile = profile = PROFILES[spec.server]
        self.pauses, self._closing_s = tuple(pauses), closing_s
        self.wire = GymClient(profile, spec.base_url, spec.timeout_s)
        limit = min(spec.environments, profile.at_most or spec.environments)
        self.leases: Pool[Place] = Pool(self._make, self._end, limit=limit)
        self._places: dict[int, Place] = {}
        self._working: set[asyncio.Future[Any]] = set()
        self._closed = False
        self.info = EnvInfo(
            name=f"agentgym-{profile.server}",
            version=f"{VERSION}-{profile.server}-{profile.version}",
            instruction=profile.instruction,
            licence=profile.licence,
            source=profile.source,
            repeats=profile.repeats,
            grammar=spec.grammar.grammar() if spec.grammar else profile.reads,
        )

    def environment(self) -> Environment:
        return AgentGym(self)

    async def check(self) -> None:
        await self.wire.check()

    async def aclose(self) -> None:
        """Close every environment on the server, for a while; then the connections."""
        self._closed = True
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._closing_s):
                    await self.leases.aclose()
                    while left := [work for work in self._working if not work.done()]:
                        await asyncio.wait(left)
        finally:
            left = [work for work in self._working if not work.done()]
            for work in left:
                work.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            await self.wire.aclose()

    def later(self, work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        """Run something in the background; `aclose` waits for it."""
        task = asyncio.ensure_future(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        return task

    async def give_up(self, place: Place | None) -> None:
        """Close an environment whose state is unknown."""
        if place is not None:
            await self.leases.drop(place)

    async def _make(self) -> Place:
        creating = self.later(self._create())
        try:
            return await asyncio.shield(creating)
        except asyncio.CancelledError:
            creating.add_done_callback(self._unwanted)  # else it would stay on the server
            raise

    def _unwanted(self, creating: asyncio.Future[Place]) -> None:
        if not creating.cancelled() and creating.exception() is None:
            self.later(self._end(creating.result()))

    async def _create(self) -> Place:
        """An environment whose number nobody of us has.

        A number that is held already is given out by a server that was restarted (then that
        environment is its holder's, who has to begin again in it) or by one that is full.
        """
        for _ in range(len(self._places) + 2):
            number = await self.wire.create()
            if number not in self._places:
                place = self._places[number] = Place(number)
                if self._closed:
                    await self._end(place)
                    break
                return place
            self._places[number].known = False
        raise self.wire.trouble(
            f"it gives out environments that are in use; it has no more than {len(self._places)}"
        )

    async def _end(self, place: Place) -> None:
        """Close an environment on the server; only then may its number be reused."""
        try:
            await self.wire.end(place.number)
        finally:
            if self._places.get(place.number) is place:
                del self._places[place.number]


@cache
def _tasks(server: str, split: Split) -> Sequence[TaskSpec]:
    profile = PROFILES[server]
    indices = {
        "warm_start": profile.warm_start,
        "train": profile.train,
        "test": profile.test,
    }[split]
    return tuple(TaskSpec(f"{server}/{index}", split) for index in indices)


def agentgym(spec: AgentGymEnv) -> AgentGymWorld:
    """The world of these settings; nothing is asked of the server before the first episode."""
    return AgentGymWorld(spec)
