"""Facts about leaving out of a good way what it does not need."""

from __future__ import annotations

from dataclasses import replace

from agent_r.algorithm.proof.pruning import prune
from agent_r.algorithm.proof.rehearsal import Rehearsal
from agent_r.algorithm.replay import replay
from agent_r.algorithm.trajectory import StopReason, Trajectory
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


async def way(responses: list[str]) -> Trajectory:
    steps, reward = await replay(world(), "ash handle", responses)
    return Trajectory("ash handle", "the prompt", tuple(steps), reward, StopReason.TERMINATED)


async def test_only_what_the_goal_needs_is_left() -> None:
    kept = await prune(tries(), await way(WAY))
    assert ([step.response for step in kept.steps], kept.reward) == (NEEDED, 1.0)


async def test_what_is_left_is_what_the_world_answers() -> None:
    kept = await prune(tries(), await way(WAY))
    responses = [step.response for step in kept.steps]
    assert (list(kept.steps), kept.reward) == await replay(world(), "ash handle", responses)


async def test_a_way_that_needs_all_of_it_stays() -> None:
    needed = await way(NEEDED)
    assert await prune(tries(), needed) == needed


async def test_a_way_that_does_not_earn_its_reward_again_stays() -> None:
    claimed = replace(await way(NEEDED[:2]), reward=1.0)
    assert await prune(tries(), claimed) == claimed


async def test_a_replay_ends_where_the_episode_does() -> None:
    steps, reward = await replay(world(), "ash handle", [*NEEDED, "Action: inventory"])
    assert (len(steps), reward) == (3, 1.0)
