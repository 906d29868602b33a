"""How a reply is read: no text of a model can do harm."""

from __future__ import annotations

import random
import time

import pytest

from agent_r.actor import MAX_ACTION_CHARS, Message, SamplingParams, Usage, parse_action
from agent_r.environment import Environment, Forkable
from agent_r.errors import ContextOverflow, UnknownTask
from agent_r.testing import Corridor, ForkableCorridor, ScriptedActor
from agent_r.trajectory import StopReason


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("", ""),
        ("Action:", ""),
        ("Action: ", ""),
        ("Actions speak louder: than words", ""),
        ("My action: none of this is at the start of a line... or is it", ""),
        ("Thought: go.\nAction: get 1 oak log", "get 1 oak log"),
        ("Action: one\nAction: two", "two"),
        ("Action: one\nThought: no\naction : two\n", "two"),
        ("ACTION:get 1 coal", "get 1 coal"),
        ("**Action:** `get 1 coal`", "get 1 coal"),
        ("> Action: get 1 coal", "get 1 coal"),
        ("### Action: 'get 1 coal'", "get 1 coal"),
        ("Thought: x\r\nAction: get 1 coal\r\n", "get 1 coal"),
        ("Action: get\x001\u2028coal\x7f", "get 1 coal"),
        ("Action: \ud800craft\udfff", "craft"),
        ("Action: Action: nested", "Action: nested"),
        ("Action: naïve 漢字 🪵", "naïve 漢字 🪵"),
        ("Action: " + "x" * 5000, "x" * MAX_ACTION_CHARS),
    ],
)
def test_the_last_action_line_is_the_action(text: str, action: str) -> None:
    assert parse_action(text) == action


def test_no_random_text_makes_parsing_fail_or_gives_what_cannot_be_written() -> None:
    rng = random.Random(0)
    alphabet = "Action: \n\r\t*`_#>\"'\x00\u2028\ud800\udfff漢é🪵a1"
    for _ in range(3000):
        odd = [chr(rng.randrange(0x110000)) for _ in range(5)]
        text = "".join(rng.choices([*alphabet, *odd, "Action: ", "\nAction:"], k=rng.randrange(60)))
        action = parse_action(text)
        assert len(action) <= MAX_ACTION_CHARS
        assert "\n" not in action
        action.encode()  # a lone surrogate could not be written to any file


@pytest.mark.parametrize("unit", ["a", " ", "\n", "*", "Action:", "Action: x\n", "action ", "\t:"])
def test_a_megabyte_is_read_at_once(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    began = time.perf_counter()
    parse_action(text)
    assert time.perf_counter() - began < 0.5


def test_an_action_before_a_long_tail_of_noise_is_not_looked_for() -> None:
    assert parse_action("Action: old\n" + "x" * 30_000) == ""


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
