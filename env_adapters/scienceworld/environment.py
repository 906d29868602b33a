"""ScienceWorld (Wang et al. 2022, arXiv 2203.07540), in process: experiments in a small house.

The package's own `env.step` computes every valid action anew at each step; only the raw calls
below it are made here. An ambiguous action is answered with a numbered menu, and the next action
picks from it: a replay of all actions passes through the same menus, for the same actions give the
same texts here, whatever other episodes there are. That needs three things, see `MACHINE` and
`begin`.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent_r.environment import EnvInfo, Environment, Expert, Split, StepResult, TaskSpec
from agent_r.errors import ConfigError, UnknownTask
from agent_r.settings import ScienceWorldEnv
from env_adapters.jvm.java_world import JavaEpisode, JavaWorld
from env_adapters.jvm.machine import Program, packaged
from env_adapters.jvm.simulators import Simulator, Simulators, sent_text
from env_adapters.scienceworld.expert import GoldOfTasks
from env_adapters.scienceworld.tasks import (
    INSTRUCTION,
    SIMPLIFICATIONS,
    all_tasks,
    known,
    variation_of,
)

VERSION = 2  # raised when the same actions could give other observations
INTERFACE = "scienceworld.runtime.pythonapi.PythonInterface"
# Things are listed as sets hold them, in the order of their hashes: with hashes drawn at random,
# `0` picks another cup in every replay. Equal ones leave the order in which things were made.
MACHINE = ("-XX:+IgnoreUnrecognizedVMOptions", "-XX:+UnlockExperimentalVMOptions", "-XX:hashCode=2")
# What all simulators of a machine share: the generator of chance, and the number of the next thing.
SEED = "scala.util.Random$.MODULE$.setSeed"
NUMBER, SET_NUMBER = "util.UniqueIdentifier.count", "util.UniqueIdentifier.count_$eq"


class ScienceWorld(JavaEpisode):
    """Implements Environment: one episode at a time, in a simulator that is lent for it."""

    def __init__(self, world: ScienceWorlds) -> None:
        super().__init__(world)
        self._world, self._spec = world, world.spec

    def tasks(self, split: Split) -> Sequence[TaskSpec]:
        """Variations as the package splits them; its dev split is for warm starts."""
        return all_tasks(split, self._spec.tasks)

    async def reset(self, task: str) -> str:
        if not known(task):
            raise UnknownTask(f"ScienceWorld has no task '{task[:80]}': they are like boil/12")
        self._done = True  # until it has really begun
        prompt = await self._seat.begin(lambda simulator: begin(simulator, task, self._spec))
        self._world.gold.remember(prompt, task)
        self._steps, self._done = 0, False
        return prompt

    async def step(self, action: str) -> StepResult:
        """The reward is the score so far, of 1; a negative one is 0, and ends the episode."""
        if self._done:
            raise ValueError("the episode has ended: reset first")
        self._done = True  # until it is answered
        sent, seed = sent_text(action), self._steps
        observation, score, completed = await self._seat.ask(
            lambda simulator: act(simulator, sent, seed)
        )
        self._steps += 1
        terminated = completed or score < 0
        truncated = not terminated and self._steps >= self._spec.step_limit
        self._done = terminated or truncated
        return StepResult(observation, min(max(score, 0.0), 1.0), terminated, truncated)


def begin(simulator: Simulator, task: str, spec: ScienceWorldEnv) -> str:
    """Load a task, which seeds chance and counts things from 0; blocks."""
    name, variation = variation_of(task)
    server = simulator.server
    server.load(name, variation, spec.simplifications, False)
    opening = f"{server.getTaskDescription()}\n\n{server.step('look around')}"
    simulator.notes[NUMBER] = simulator.machine.member(NUMBER)()
    return opening


def act(simulator: Simulator, action: str, seed: int) -> tuple[str, float, bool]:
    """What is seen, the score so far, and whether it is over; blocks."""
    server, member = simulator.server, simulator.machine.member
    member(SEED)(seed)
    member(SET_NUMBER)(simulator.notes[NUMBER])
    answer = str(server.step(action)), float(server.getScore()), bool(server.getCompleted())
    simulator.notes[NUMBER] = member(NUMBER)()
    return answer


class ScienceWorlds(JavaWorld):
    """Implements World: one Java virtual machine, and what is known of right ways."""

    package = ("ScienceWorld", "scienceworld")

    def __init__(self, spec: ScienceWorldEnv) -> None:
        self.spec = spec
        jar, package = packaged(*self.package)
        program = Program("ScienceWorld", jar, INTERFACE, spec.heap_mb, MACHINE)
        info = EnvInfo(
            name="scienceworld",
            version=f"{VERSION}-{package}-{spec.simplifications or 'none'}-{spec.step_limit}",
            instruction=INSTRUCTION,
            licence="Apache-2.0",
            source="https://pypi.org/project/scienceworld/",
        )
        super().__init__(Simulators(program, limit=spec.simulators), info)
        self.gold = GoldOfTasks(self.simulators, spec.simplifications)

    @property
    def expert(self) -> Expert:
        return self.gold

    def environment(self) -> Environment:
        return ScienceWorld(self)


def scienceworld(spec: ScienceWorldEnv) -> ScienceWorlds:
    """The world of these settings.

    Raises:
        ExtraMissing: the package is not installed.
        ConfigError: a task, or a simplification, of the settings does not exist.
    """
    all_tasks("train", spec.tasks)
    for name in filter(None, spec.simplifications.split(",")):
        if name not in SIMPLIFICATIONS:
            raise ConfigError(
                f"ScienceWorld has no simplification '{name}': {', '.join(SIMPLIFICATIONS)}"
            )
    return ScienceWorlds(spec)
