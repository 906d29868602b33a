"""States that actions lead to: what was tried once is not asked of the world."""

from __future__ import annotations

import itertools

import pytest

from agent_r.algorithm.proof import state_graph
from agent_r.algorithm.proof.state_graph import StateGraph
from agent_r.settings import TextCraftEnv
from agent_r.testing import Corridor, ForkableCorridor
from env_adapters.textcraft.environment import TextCraft

ROOM, WAY = "corridor 2", ["take key", "push", "east", "west", "east", "east", "push", "push"]
HANDLE = ["get 1 ash log", "craft 4 ash planks using 1 ash log", "get 1 elm log"]


async def played(world: Corridor, actions: list[str]) -> list[tuple[str, float, bool]]:
    """What the world itself answers from its reset."""
    await world.reset(ROOM)
    seen = []
    for action in actions:
        result = await world.step(action)
        seen.append((result.observation, result.reward, result.terminated))
        if result.terminated:
            break
    return seen


@pytest.mark.parametrize("make", [Corridor, ForkableCorridor])
@pytest.mark.parametrize("kept", [1, 2, 256])
async def test_any_actions_are_answered_as_by_the_world_itself(
    make: type[Corridor], kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_graph, "_KEPT", kept)
    graph = StateGraph(make(), ROOM)
    for actions in itertools.permutations([*WAY[:4], "push", "east", "drop key"], 5):
        start = await graph.reach([])
        observations, there = await graph.walk(start, actions)
        truth = await played(Corridor(), list(actions))
        assert (observations, there.reward, there.ended) == (
            [text for text, _, _ in truth], *truth[-1][1:],
        )  # fmt: skip


async def test_orders_that_lead_to_one_state_are_one_state() -> None:
    graph = StateGraph(TextCraft(TextCraftEnv()), "ash handle")
    there = await graph.reach(HANDLE)
    assert await graph.reach(["get 1 ash log", "inventory", *HANDLE[1:], "get 1 sky"]) is there
    assert await graph.reach(HANDLE[:2]) is not there


@pytest.mark.parametrize("kept", [1, 256])
async def test_a_step_that_changes_nothing_leads_nowhere_else(
    kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_graph, "_KEPT", kept)
    graph = StateGraph(ForkableCorridor(), ROOM)
    here = await graph.reach(["take key"])
    await graph.reach(["take key", "east", "west"])  # others are used in between
    assert (await graph.walk(await graph.reach(["take key"]), ["shout"]))[1] is here


async def test_what_was_tried_costs_no_step_and_no_reset() -> None:
    world = ForkableCorridor()
    graph = StateGraph(world, ROOM)
    there = await graph.reach(WAY)
    before = world.steps, world.resets
    assert await graph.reach(WAY) is there
    assert (world.steps, world.resets) == before


async def test_where_the_world_cannot_fork_new_actions_cost_one_replay() -> None:
    world = Corridor()
    graph = StateGraph(world, ROOM)
    await graph.reach([])
    at_first = world.resets
    state = await graph.reach(WAY[:2])
    await graph.walk(state, WAY[2:4])
    assert (world.resets - at_first, world.steps) == (1, 4)


async def test_a_task_with_too_many_states_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_graph, "_KNOWN", 3)
    graph = StateGraph(ForkableCorridor(), ROOM)
    first = await graph.reach([])
    for length in range(len(WAY)):
        there = await graph.reach(WAY[:length])
        truth = await played(Corridor(), WAY[:length])
        assert there.reward == (truth[-1][1] if truth else 0.0)
    assert await graph.reach([]) is not first
