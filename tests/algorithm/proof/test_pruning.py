"""Facts about leaving out of a good way what it does not need."""

from __future__ import annotations

from agent_r.algorithm.proof.pruning import prune
from agent_r.algorithm.proof.rehearsal import Rehearsal
from agent_r.algorithm.replay import replay
from agent_r.environment import Environment
from agent_r.settings import TextCraftEnv
from env_adapters.textcraft.environment import TextCraft

WAY = [
    "Action: get 1 ash log",
    "Action: get 1 ash boards",  # refused: it must be crafted
    "Action: craft 4 ash boards using 1 ash log",
    "Action: inventory",
    "Action: get 1 elm log",  # of no use
    "Action: craft 4 ash handle using 1 ash boards",
]
NEEDED = [WAY[0], WAY[2], WAY[5]]


def world() -> Environment:
    return TextCraft(TextCraftEnv())


def tries() -> Rehearsal:
    return Rehearsal(world(), "ash handle")


async def test_only_what_the_goal_needs_is_left() -> None:
    steps, reward = await replay(world(), "ash handle", WAY)
    assert reward == 1.0
    kept = await prune(tries(), steps, keep=0, target=1.0)
    assert [step.response for step in kept] == NEEDED


async def test_what_is_left_is_what_the_world_answers() -> None:
    steps, _ = await replay(world(), "ash handle", WAY)
    kept = await prune(tries(), steps, keep=0, target=1.0)
    assert (kept, 1.0) == await replay(world(), "ash handle", [s.response for s in kept])


async def test_the_beginning_is_kept_as_it_is() -> None:
    steps, _ = await replay(world(), "ash handle", WAY)
    kept = await prune(tries(), steps, keep=3, target=1.0)
    assert [step.response for step in kept] == [*WAY[:3], WAY[5]]


async def test_a_way_that_needs_all_of_it_stays() -> None:
    steps, _ = await replay(world(), "ash handle", NEEDED)
    assert await prune(tries(), steps, keep=0, target=1.0) == steps


async def test_a_replay_ends_where_the_episode_does() -> None:
    steps, reward = await replay(world(), "ash handle", [*NEEDED, "Action: inventory"])
    assert (len(steps), reward) == (3, 1.0)
