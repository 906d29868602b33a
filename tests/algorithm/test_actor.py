"""Usage, the scripted actor, and the toy worlds."""

from __future__ import annotations

import pytest

from agent_r.actor import Message, SamplingParams, Usage
from agent_r.algorithm.trajectory import StopReason
from agent_r.environment import Environment, Forkable
from agent_r.errors import ContextOverflow, UnknownTask
from agent_r.testing import Corridor, ForkableCorridor, ScriptedActor


def test_usage_adds_up() -> None:
    usage = Usage(requests=1, retries=1, prompt_tokens=10, cached_tokens=4, completion_tokens=5)
    usage.add(usage)
    assert usage == Usage(2, 2, 20, 8, 10)
    assert usage.tokens == 30


def test_why_an_episode_ended_reads_as_text() -> None:
    assert f"{StopReason.STEP_LIMIT}" == "step_limit"


async def test_a_scripted_actor_uses_its_list_up_and_records_what_it_was_asked() -> None:
    actor = ScriptedActor(["one", "two", "three"])
    asked = [Message("user", "Hello")]
    first = await actor.complete(asked, n=2, params=SamplingParams())
    second = await actor.complete(asked, n=2, params=SamplingParams(seed=3))
    assert [c.text for c in (*first, *second)] == ["one", "two", "three"]
    assert (actor.calls, actor.usage.requests) == (2, 2)
    assert actor.conversations == [asked, asked]
    assert actor.params[1].seed == 3


async def test_a_scripted_error_is_raised() -> None:
    actor = ScriptedActor([ContextOverflow("too long", status=400)])
    with pytest.raises(ContextOverflow):
        await actor.complete([], n=1, params=SamplingParams())


async def test_a_corridor_is_graded_and_its_door_needs_two_pushes() -> None:
    env: Environment = Corridor()
    await env.reset("corridor 1")
    rewards = [(await env.step(a)).reward for a in ("east", "west", "take key", "east", "push")]
    last = await env.step("push")
    assert rewards == [0.0, 0.0, 0.3, 0.3, 0.3]
    assert (last.reward, last.terminated) == (1.0, True)
    with pytest.raises(ValueError, match="ended"):
        await env.step("east")


async def test_a_lost_key_takes_its_reward_with_it_and_unknown_corridors_are_refused() -> None:
    env = Corridor()
    await env.reset("corridor 0")
    await env.step("take key")
    assert (await env.step("drop key")).reward == 0.0
    assert (await env.step("take key")).observation == "Nothing happens."
    for task in ("", "corridor", "corridor 9", "corridor 01", "door 1"):
        with pytest.raises(UnknownTask):
            await env.reset(task)


async def test_only_the_forkable_corridor_can_be_forked_and_a_fork_is_exact() -> None:
    env = ForkableCorridor()
    await env.reset("corridor 0")
    await env.step("take key")
    await env.step("push")
    kept = env.snapshot()
    await env.step("drop key")
    env.restore(kept)
    assert (await env.step("push")).observation == "The door is open."
    assert isinstance(env, Forkable)
    assert not isinstance(Corridor(), Forkable)
    with pytest.raises(ValueError, match="not a snapshot"):
        env.restore("east")
