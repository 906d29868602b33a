"""Facts about what replay proves of a step, in worlds with and without snapshots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from agent_r.algorithm.proof.effects import Effect, Prover
from agent_r.algorithm.proof.rehearsal import Rehearsal
from agent_r.algorithm.trajectory import Step
from agent_r.environment import EnvInfo, Environment, StepResult
from agent_r.settings import TextCraftEnv
from agent_r.testing import Corridor, ForkableCorridor
from env_adapters.textcraft.environment import TextCraft

Make = Callable[[], Environment]


def prover(make: Make, task: str, *ways: list[str]) -> Prover:
    steps = [[Step(f"Action: {action}", action, "") for action in way] for way in ways]
    return Prover(Rehearsal(make(), task), steps, 1.0)


async def effects(make: Make, task: str, way: list[str], tried: list[str]) -> list[Effect]:
    return await prover(make, task, way).prove([], tried)


CORRIDORS = pytest.mark.parametrize("make", [Corridor, ForkableCorridor])
OPEN = ["take key", "east", "push", "push"]
ROOM = "corridor 1"


@CORRIDORS
async def test_what_a_known_way_needs_is_progress_and_what_changes_nothing_is_idle(
    make: Make,
) -> None:
    tried = ["push", "take key", "east", "look", "push", "push"]
    assert await effects(make, ROOM, OPEN, tried) == [
        Effect.IDLE,
        Effect.PROGRESS,
        Effect.PROGRESS,
        Effect.IDLE,
        Effect.PROGRESS,
        Effect.PROGRESS,
    ]


@CORRIDORS
async def test_a_step_that_spends_what_every_way_needs_is_a_dead_end(make: Make) -> None:
    found = await effects(make, ROOM, OPEN, ["take key", "drop key", "east"])
    assert found == [Effect.PROGRESS, Effect.DEAD_END]  # nothing is proved beyond it
    assert await effects(make, ROOM, OPEN, ["jump"]) == [Effect.DEAD_END]


@CORRIDORS
async def test_a_step_back_costs_a_step(make: Make) -> None:
    way = ["take key", "east", "west", "east", "push", "push"]
    found = await effects(make, ROOM, way, ["take key", "east", "west", "east"])
    assert found == [Effect.PROGRESS, Effect.PROGRESS, Effect.COSTLY]  # and nothing beyond it


def crafting() -> Environment:
    return TextCraft(TextCraftEnv())


HANDLE = [
    "get 1 ash log",
    "craft 4 ash boards using 1 ash log",
    "craft 4 ash handle using 1 ash boards",
]


async def test_a_silent_waste_is_told_from_a_refusal() -> None:
    refused = ["get 1 ash boards", "inventory", "get 1 ash log", "get 1 ash log"]
    assert await effects(crafting, "ash handle", HANDLE, refused) == [
        Effect.IDLE,
        Effect.IDLE,
        Effect.PROGRESS,
        Effect.UNNEEDED,
    ]
    assert await effects(crafting, "ash handle", HANDLE, ["get 1 elm log"]) == [Effect.UNNEEDED]


async def test_a_step_that_serves_another_known_way_is_progress() -> None:
    at_once = ["get 2 ash log", *HANDLE[1:]]
    both = prover(crafting, "ash handle", HANDLE, at_once)
    assert await both.prove([], ["get 2 ash log"]) == [Effect.PROGRESS]


async def test_where_no_way_works_nothing_is_proved() -> None:
    assert await effects(crafting, "ash handle", ["get 1 ash log"], ["get 1 ash log"]) == []


async def test_nothing_is_proved_beyond_the_first_error() -> None:
    tried = ["get 1 elm log", "get 1 ash log"]
    assert await effects(crafting, "ash handle", HANDLE, tried) == [Effect.UNNEEDED]


@CORRIDORS
async def test_the_step_that_reaches_a_target_within_an_episode_is_progress(make: Make) -> None:
    way = [Step(f"Action: {action}", action, "") for action in ("take key", "east")]
    partly = Prover(Rehearsal(make(), ROOM), [way], 0.3)
    assert await partly.prove([], ["west", "take key"]) == [Effect.IDLE, Effect.PROGRESS]


async def test_ways_are_known_by_their_target_as_well() -> None:
    rehearsal = Rehearsal(ForkableCorridor(), ROOM)
    steps = [[Step(f"Action: {action}", action, "") for action in OPEN]]
    low = Prover(rehearsal, steps, 0.3)
    high = Prover(rehearsal, steps, 1.0, low.found)
    found = [await prover.nearest([]) for prover in (low, high, low)]
    assert [way and len(way) for way in found] == [1, 4, 1]


class Counting(ForkableCorridor):
    """Its snapshots count the steps, so that no two states look alike."""

    def snapshot(self) -> object:
        return *cast(tuple[object, ...], super().snapshot()), self.steps

    def restore(self, snapshot: object) -> None:
        super().restore(cast(tuple[object, ...], snapshot)[:-1])


class Opaque(ForkableCorridor):
    """Its snapshots cannot be compared, as those of arrays cannot."""

    def snapshot(self) -> object:
        return Unlike(super().snapshot())

    def restore(self, snapshot: object) -> None:
        super().restore(cast(Unlike, snapshot).state)


class Unlike:
    def __init__(self, state: object) -> None:
        self.state = state

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth value of an array is ambiguous")


class Wordy(Corridor):
    """Its answers count the steps."""

    async def step(self, action: str) -> StepResult:
        result = await super().step(action)
        return replace(result, observation=f"{result.observation} Moves: {self.steps}")


class Forgetful(Corridor):
    """It promises to repeat its scores alone."""

    @property
    def info(self) -> EnvInfo:
        return replace(super().info, repeats="score")


@pytest.mark.parametrize("make", [Counting, Opaque, Wordy, Forgetful])
async def test_where_nobody_can_tell_a_refusal_is_idle_and_no_proof_of_waste(make: Make) -> None:
    found = await effects(make, ROOM, OPEN, ["push", "take key", "push", "east", "push", "push"])
    assert [effect.value for effect in found] == [
        "idle", "progress", "idle", "progress", "progress", "progress",
    ]  # fmt: skip


async def test_the_way_on_is_what_is_left_to_do() -> None:
    way = await prover(crafting, "ash handle", [*HANDLE[:1], "inventory", *HANDLE[1:]]).nearest(
        ["get 1 ash log"]
    )
    assert way is not None
    assert [step.action for step in way.steps] == HANDLE[1:]
