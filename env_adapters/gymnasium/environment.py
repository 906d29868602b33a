"""Gymnasium-style environments whose observations are text, and whose actions are text or numbers.

Nothing of the gymnasium package is needed: an object with its `reset` and `step` will do. A task is
a seed of `reset`. A `copy.deepcopy` of such an object looks like a fork and often is none: what it
holds of files, processes or C libraries stays shared. So only one with methods `snapshot` and
`restore` of its own is forked; a wrapper hides those of what it wraps, and rightly: they know
nothing of the wrapper's own state (a step counter).
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from agent_r.digests import sha256_of
from agent_r.environment import EnvInfo, Environment, Expert, Split, StepResult, TaskSpec
from agent_r.errors import ConfigError, EnvironmentFault, UnknownTask
from agent_r.grammar import DEFAULT
from agent_r.loading import call, one_line, require
from agent_r.settings import GymnasiumEnv
from env_adapters.gymnasium.player import GamePlayer, Job
from env_adapters.gymnasium.texts import ActionRefused, Actions, number, text
from env_adapters.pool import Pool

VERSION = 1  # raised when the same actions could give other observations
_SHARES: tuple[tuple[Split, int], ...] = (("warm_start", 20), ("train", 75), ("test", 100))
_SEED = re.compile(r"seed/(0|[1-9][0-9]{0,8})")
_PATIENCE_S = 2.0  # for threads to end


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot: the environment's own, and what is known of the episode besides."""

    state: Any
    earned: float | None
    running: bool


class GymText:
    """Implements Environment: one episode at a time, in an environment that is lent for it."""

    def __init__(self, world: GymWorld) -> None:
        self._world, self._spec = world, world.spec
        self._player: GamePlayer | None = None
        self._earned: float | None = None
        self._running = False

    @property
    def info(self) -> EnvInfo:
        return self._world.info

    def tasks(self, split: Split) -> Sequence[TaskSpec]:
        """Seeds, split by a hash of their number: the same however many there are."""
        seeds = range(self._spec.seeds)
        return [TaskSpec(f"seed/{seed}", split) for seed in seeds if split_of(seed) == split]

    async def reset(self, task: str) -> str:
        known = _SEED.fullmatch(task)
        if known is None or int(known[1]) >= self._spec.seeds:
            raise UnknownTask(f"no task {task[:80]!r}: they are seed/0 to {self._spec.seeds - 1}")
        self._running, seed = False, int(known[1])  # until it has really begun
        if self._player is None:
            self._player = await self._world.players.take()
        opening: str = await self._ask("reset()", lambda env: _opening(env.reset(seed=seed)))
        self._earned, self._running = None, True
        return opening

    async def step(self, action: str) -> StepResult:
        if not self._running:
            raise ValueError("no episode is under way: reset first")
        try:
            taken = self._world.actions.read(action)
        except ActionRefused as refusal:
            return StepResult(str(refusal), self._reward(), terminated=False)
        answer = await self._ask("step()", lambda env: _answer(env.step(taken)))
        seen, reward, terminated, truncated = answer
        self._earned = self._spec.earned(self._earned, reward)
        self._running = not (terminated or truncated)
        return StepResult(seen, self._reward(), terminated, truncated)

    async def close(self) -> None:
        self._running = False
        player, self._player = self._player, None
        if player is not None:
            self._world.players.give_back(player)

    async def _ask(self, what: str, job: Job) -> Any:
        """Call the environment; one that failed, or that nobody waited for, is used no more."""
        player = self._player
        if player is None:
            raise ValueError("no environment is held")
        try:
            return await player.ask(what, job)
        except BaseException:
            self._player, self._running = None, False
            await self._world.players.drop(player)
            raise

    def _reward(self) -> float:
        return self._spec.fraction(self._earned)


class ForkableGymText(GymText):
    """A GymText whose environment keeps and restores its own state."""

    def snapshot(self) -> object:
        state = self._ask_now("snapshot()", lambda env: env.snapshot())
        return Kept(state, self._earned, self._running)

    def restore(self, snapshot: object) -> None:
        if not isinstance(snapshot, Kept):
            raise ValueError(f"not a snapshot of this world: {type(snapshot).__name__}")
        state = snapshot.state
        self._ask_now("restore()", lambda env: env.restore(state))
        self._earned, self._running = snapshot.earned, snapshot.running

    def _ask_now(self, what: str, job: Job) -> Any:
        """The same as `_ask`, for what must not be awaited; the player's end is."""
        player = self._player
        if player is None:
            raise ValueError("no episode is under way: reset first")
        try:
            return player.ask_now(what, job)
        except BaseException:
            self._player, self._running = None, False
            self._world.drop_later(player)
            raise


class GymWorld:
    """Implements World: some environments, each in a thread of its own, so none blocks another."""

    expert: Expert | None = None

    def __init__(self, spec: GymnasiumEnv, actions: Actions, *, forks: bool) -> None:
        self.spec, self.actions, self._forks = spec, actions, forks
        self.players: Pool[GamePlayer] = Pool(self._begin, self._end, limit=spec.environments)
        self._ending: list[Future[None]] = []
        self._dropping: set[asyncio.Future[None]] = set()
        settings = spec.model_dump(mode="json", include={"arguments", "reward", "reward_range"})
        digest = sha256_of(json.dumps(settings, sort_keys=True), 8)
        self.info = EnvInfo(
            name=f"gymnasium-{spec.factory.replace(':', '.')}",
            version=f"{VERSION}-{spec.version}-{digest}",
            instruction=spec.instruction,
            licence=spec.licence,
            grammar=spec.grammar.grammar() if spec.grammar else DEFAULT,
            source=spec.factory,
        )

    def environment(self) -> Environment:
        return (ForkableGymText if self._forks else GymText)(self)

    async def check(self) -> None:
        """Do nothing: what could be missing was checked when this was made."""

    async def aclose(self) -> None:
        """Wait for threads that still compute, but not for ever: a thread cannot be stopped."""
        await asyncio.gather(*self._dropping)
        await self.players.aclose()
        if ending := [asyncio.wrap_future(ended) for ended in self._ending if not ended.done()]:
            await asyncio.wait(ending, timeout=_PATIENCE_S)
        self._ending.clear()

    def drop_later(self, player: GamePlayer) -> None:
        """Give up a player where nothing can be awaited; `aclose` ends it."""
        task = asyncio.ensure_future(self.players.drop(player))
        self._dropping.add(task)
        task.add_done_callback(self._dropping.discard)

    async def _begin(self) -> GamePlayer:
        spec = self.spec
        player = GamePlayer(
            lambda: call(spec.factory, spec.arguments), name=spec.factory, timeout_s=spec.timeout_s
        )
        return await player.begin()

    async def _end(self, player: GamePlayer) -> None:
        player.end()
        self._ending = [ended for ended in self._ending if not ended.done()] + [player.ended]


def _opening(answer: Any) -> str:
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise EnvironmentFault(f"reset() gave {_shape(answer)}, not (observation, info)")
    return text(answer[0])


def _answer(answer: Any) -> tuple[str, float | None, bool, bool]:
    """What `step` gave, as plain values."""
    if not isinstance(answer, tuple) or len(answer) != 5:
        wanted = "(observation, reward, terminated, truncated, info)"
        raise EnvironmentFault(f"step() gave {_shape(answer)}, not {wanted}")
    observation, reward, terminated, truncated, _ = answer
    return text(observation), number(reward), bool(terminated), bool(truncated)


def _shape(answer: Any) -> str:
    kind = type(answer).__name__
    return f"a {kind} of {len(answer)}" if isinstance(answer, tuple) else f"a {kind}"


def split_of(seed: int) -> Split:
    """Disjoint, and a seed's own: another number of seeds moves none to another split.

    >>> [split_of(seed) for seed in (0, 1, 2, 11)]
    ['test', 'train', 'test', 'warm_start']
    """
    drawn = int(sha256_of(f"seed/{seed}"), 16) % 100
    return next(split for split, up_to in _SHARES if drawn < up_to)


def gymnasium(spec: GymnasiumEnv) -> GymWorld:
    """The world of these settings; one environment is made, looked at, and closed again.

    Raises:
        ConfigError: the factory fails, or makes something else.
    """
    env = call(spec.factory, spec.arguments)
    require(env, ("reset", "step"), "a gymnasium.Env", spec.factory)
    try:
        late = any(inspect.iscoroutinefunction(ask) for ask in (env.reset, env.step))
        forks = all(hasattr(env, name) for name in ("snapshot", "restore"))
        actions = Actions(env)
        if hasattr(env, "close"):
            env.close()
    except Exception as error:
        raise ConfigError(f"'{spec.factory}' made what fails: {one_line(error)}") from error
    if late:
        raise ConfigError(f"'{spec.factory}' makes a world that is async: its kind is 'python'")
    if actions.unreadable:
        raise ConfigError(
            f"'{spec.factory}' takes actions of {actions.unreadable}: an actor's are text, or one "
            "number (Discrete); wrap it"
        )
    return GymWorld(spec, actions, forks=forks)
