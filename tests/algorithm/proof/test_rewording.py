"""A right step keeps no false words, where its world can tell and its actor has better ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent_r.actor import Completion, SamplingParams
from agent_r.algorithm.episode import act
from agent_r.algorithm.proof.rewording import Rewording
from agent_r.algorithm.revision import Part, Preference, Splice, Turn
from agent_r.algorithm.rows import Origin, good_row
from agent_r.algorithm.sampling import distinct, is_misstated
from agent_r.algorithm.search import search
from agent_r.algorithm.trajectory import Step, StopReason, Trajectory
from agent_r.algorithm.tree import SearchTree
from agent_r.environment import Proofreading, TaskSpec
from agent_r.reading.reply import read
from agent_r.settings import SearchConfig, TextCraftEnv
from agent_r.testing import Corridor, ScriptedActor
from env_adapters.textcraft.environment import TextCraft

TRUE = "Thought: For ash boards I get ash log.\nAction: get 1 ash log"
FALSE = "Thought: For elm door I get ash log.\nAction: get 1 ash log"
OTHER = "Thought: For ash boards I get elm log.\nAction: get 1 elm log"
LAST = "Thought: For ash boards I craft ash boards.\nAction: craft 4 ash boards using 1 ash log"


async def rewording(*replies: str) -> tuple[Rewording, ScriptedActor]:
    """Of a tree whose task is ash boards; the actor has these replies."""
    env, actor = TextCraft(TextCraftEnv()), ScriptedActor(list(replies))
    tree = SearchTree("ash boards", await env.reset("ash boards"), 1)
    heard: list[object] = []
    return Rewording(env, actor, tree, 2, SamplingParams(seed=1), heard.extend), actor


async def steps(*replies: str) -> list[Step]:
    env = TextCraft(TextCraftEnv())
    await env.reset("ash boards")
    return [(await act(env, reply, reward=0.0))[0] for reply in replies]


def test_textcraft_can_tell_and_a_corridor_cannot() -> None:
    assert isinstance(TextCraft(TextCraftEnv()), Proofreading)
    assert not isinstance(Corridor(), Proofreading)
    assert not is_misstated(Corridor(), "Go.")(FALSE)


async def test_of_samples_that_act_alike_the_first_true_one_is_kept() -> None:
    env = TextCraft(TextCraftEnv())
    misstated = is_misstated(env, await env.reset("ash boards"))
    readings = [read(Completion(text)) for text in (FALSE, OTHER, TRUE, FALSE)]
    assert [one.text for one in distinct(readings, misstated)] == [TRUE, OTHER]
    assert [one.text for one in distinct(readings[:1], misstated)] == [FALSE]


async def test_a_search_takes_the_true_words_of_its_samples() -> None:
    env = TextCraft(TextCraftEnv())
    tree = await search(
        env,
        ScriptedActor([FALSE, TRUE, LAST, LAST]),
        "ash boards",
        config=SearchConfig(simulations=1, candidates=2, parallel_simulations=1),
        seed=0,
    )
    assert [node.step.response for node in tree.nodes if node.step] == [TRUE, LAST]


async def test_false_words_are_asked_for_anew_and_once() -> None:
    [false, last] = await steps(FALSE, LAST)
    words, actor = await rewording(FALSE, TRUE)
    assert [s.response for s in await words.after((), [false, last])] == [TRUE, LAST]
    assert [s.response for s in await words.after((), [false])] == [TRUE]
    assert (actor.calls, words.left) == (1, [])


async def test_another_action_takes_no_step_s_place() -> None:
    [false] = await steps(FALSE)
    words, _ = await rewording(OTHER, FALSE)
    assert await words.after((), [false]) == (false,)
    assert words.left == [FALSE]


async def test_errors_keep_the_words_that_they_were_made_with() -> None:
    [false, last] = await steps(FALSE, LAST)
    words, actor = await rewording(TRUE, TRUE)
    turns = [Turn(false, Part.BAD), Turn(last, Part.GOOD)]
    assert await words.of_turns(turns) == tuple(turns)
    assert actor.calls == 0


@pytest.mark.parametrize(("reply", "chosen"), [(TRUE, TRUE), (OTHER, None)])
async def test_a_preference_for_false_words_is_none(reply: str, chosen: str | None) -> None:
    [false], [other] = await steps(FALSE), await steps(OTHER)
    words, _ = await rewording(reply, reply)
    preference = Preference(0, false, other, 1.0, 0.0)
    found = await words.of_preference(preference, Splice((), (other,), (false,)))
    assert (found and found.chosen.response) == chosen


async def test_a_row_trains_no_reply_for_which_no_true_words_were_found() -> None:
    words, _ = await rewording()
    done = await steps(FALSE, LAST)
    way = Trajectory("ash boards", words.tree.prompt, tuple(done), 1.0, StopReason.TERMINATED)
    origin = Origin.of(
        words.env.info,
        TaskSpec("ash boards", "train"),
        words.tree,
        actor="tester",
        iteration=1,
    )
    flags = [
        [m["train"] for m in good_row(one, way)["messages"] if m["role"] == "assistant"]
        for one in (origin, replace(origin, misstated=frozenset([FALSE])))
    ]
    assert flags == [[True, True], [False, True]]
