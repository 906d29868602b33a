"""TextWorldExpress (Jansen and Côté 2022, arXiv 2208.01174), in process: seven of its games."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from typing import Any

from agent_r.environment import EnvInfo, Environment, Expert, Split, StepResult, TaskSpec
from agent_r.errors import ConfigError, UnknownTask
from agent_r.settings import TextWorldExpressEnv
from env_adapters.jvm.gold import GoldActions
from env_adapters.jvm.java_world import JavaEpisode, JavaWorld
from env_adapters.jvm.machine import Program, packaged
from env_adapters.jvm.simulators import Simulator, Simulators, sent_text

VERSION = 1  # raised when the same actions could give other observations
INTERFACE = "textworldexpress.runtime.PythonInterface"
GAMES = ("cookingworld", "coin", "twc", "mapreader", "arithmetic", "simonsays", "peckingorder")
MOST_ACTIONS = 60  # that an observation lists

# Our splits, by the package's fold and its first seed; each fold has a thousand.
FOLDS: dict[Split, tuple[str, int]] = {
    "train": ("train", 0),
    "warm_start": ("dev", 10_000),
    "test": ("test", 20_000),
}
SEEDS = 1000
_PARAMETER = re.compile(r"\s*\w+\s*=\s*\d{1,6}\s*")

INSTRUCTION = """\
You play a text game ({game}). Each turn, answer with a thought and one action:
Thought: ...
Action: one of the actions that are listed."""


class TextWorldExpress(JavaEpisode):
    """Implements Environment: one episode at a time, in a simulator that is lent for it."""

    def __init__(self, world: TextWorlds) -> None:
        super().__init__(world)
        self._world, self._spec = world, world.spec

    def tasks(self, split: Split) -> Sequence[TaskSpec]:
        """A game's seeds: `coin/train/17`."""
        fold, first = FOLDS[split]
        return [TaskSpec(f"{self._spec.game}/{fold}/{first + i}", split) for i in range(SEEDS)]

    async def reset(self, task: str) -> str:
        fold, seed = self._parts(task)
        self._done = True  # until it has really begun
        prompt = await self._seat.begin(
            lambda simulator: _prompt(simulator, begin(simulator, self._spec, fold, seed))
        )
        self._world.gold.remember(prompt, (fold, seed))
        self._steps, self._done = 0, False
        return prompt

    def _parts(self, task: str) -> tuple[str, int]:
        game, _, rest = task.partition("/")
        fold, _, number = rest.partition("/")
        first = dict(FOLDS.values()).get(fold)
        seed = int(number) if number.isdecimal() and len(number) < 9 else -1
        seed = seed if number == str(seed) else -1
        if game != self._spec.game or first is None or not first <= seed < first + SEEDS:
            raise UnknownTask(f"TextWorldExpress has no task '{task[:80]}': like coin/train/17")
        return fold, seed

    async def step(self, action: str) -> StepResult:
        """The reward is the score so far; a failure of the game is 0, and ends the episode."""
        if self._done:
            raise ValueError("the episode has ended: reset first")
        self._done = True  # until it is answered
        sent = sent_text(action)
        seen = await self._seat.ask(lambda simulator: json.loads(simulator.server.stepJSON(sent)))
        self._steps += 1
        failed = bool(seen["taskfailure"])
        terminated = failed or bool(seen["tasksuccess"]) or seen["score"] >= 1.0
        truncated = not terminated and self._steps >= self._spec.step_limit
        self._done = terminated or truncated
        reward = 0.0 if failed else min(max(float(seen["score"]), 0.0), 1.0)
        return StepResult(_shown(seen), reward, terminated, truncated)


def begin(
    simulator: Simulator, spec: TextWorldExpressEnv, fold: str, seed: int, *, gold: bool = False
) -> dict[str, Any]:
    """Load the game if another one is there, and begin it; blocks.

    Raises:
        ConfigError: the game does not take those parameters.
    """
    if simulator.notes.get("game") != spec.game:
        refused = str(simulator.server.load(spec.game, spec.parameters) or "")
        if refused:
            raise ConfigError(f"env.parameters of {spec.game}: {refused[:200]}")
        simulator.notes["game"] = spec.game
    seen: dict[str, Any] = json.loads(simulator.server.generateNewGameJSON(seed, fold, gold))
    if str(seen.get("observation", "")).startswith("ERROR:"):
        raise ConfigError(f"env.parameters of {spec.game}: no game can be made of them")
    return seen


def _prompt(simulator: Simulator, seen: dict[str, Any]) -> str:
    return f"{simulator.server.getTaskDescription()}\n\n{_shown(seen)}"


def _shown(seen: dict[str, Any]) -> str:
    """An observation, and what may be done next: seldom so much that it must be cut."""
    actions = sorted(map(str, seen.get("validActions", ())))
    more = f" | … ({len(actions)} in all)" if len(actions) > MOST_ACTIONS else ""
    return f"{seen['observation']}\nActions: {' | '.join(actions[:MOST_ACTIONS])}{more}"


class GoldOfGames(GoldActions[tuple[str, int]]):
    """Implements Expert; a task is a fold and a seed."""

    def __init__(self, simulators: Simulators, spec: TextWorldExpressEnv) -> None:
        super().__init__(simulators)
        self._spec = spec

    async def mistakes(self, prompt: str, actions: Sequence[str]) -> Sequence[str]:
        """Of those that the opening lists, a few; some were right once and are not now."""
        listed = prompt.rpartition("\nActions: ")[2].split(" | ")
        rng = random.Random(repr((prompt, tuple(actions))))
        return rng.sample(listed, min(5, len(listed)))

    def fetch(self, simulator: Simulator, task: tuple[str, int]) -> Sequence[str]:
        begin(simulator, self._spec, *task, gold=True)
        gold = [str(action) for action in simulator.server.getGoldActionSequence()]
        return [action for action in gold if action]


class TextWorlds(JavaWorld):
    """Implements World: one machine, and the games' own gold actions."""

    package = ("TextWorldExpress", "textworld-express")

    def __init__(self, spec: TextWorldExpressEnv) -> None:
        self.spec = spec
        jar, package = packaged(*self.package)
        program = Program("TextWorldExpress", jar, INTERFACE, spec.heap_mb)
        variant = f"{spec.game}({spec.parameters})-{spec.step_limit}"
        info = EnvInfo(
            name=f"textworld-express-{spec.game}",
            version=f"{VERSION}-{package}-{variant}",
            instruction=INSTRUCTION.format(game=spec.game),
            licence="Apache-2.0",
            source="https://pypi.org/project/textworld-express/",
        )
        super().__init__(Simulators(program, limit=spec.simulators), info)
        self.gold = GoldOfGames(self.simulators, spec)

    @property
    def expert(self) -> Expert:
        return self.gold

    def environment(self) -> Environment:
        return TextWorldExpress(self)


def textworld_express(spec: TextWorldExpressEnv) -> TextWorlds:
    """The world of these settings.

    Raises:
        ExtraMissing: the package is not installed.
        ConfigError: there is no such game.
    """
    if spec.game == "sorting":
        raise ConfigError(
            "TextWorldExpress's `sorting` keeps its things once for all episodes in a machine, so "
            "that they disturb one another: choose another env.game"
        )
    if spec.game not in GAMES:
        raise ConfigError(f"TextWorldExpress has no game '{spec.game}': {', '.join(GAMES)}")
    for part in filter(None, spec.parameters.split(",")):
        if not _PARAMETER.fullmatch(part):
            raise ConfigError(
                f"env.parameters '{part[:40]}': write them as numLocations=3,numIngredients=2"
            )
    return TextWorlds(spec)
