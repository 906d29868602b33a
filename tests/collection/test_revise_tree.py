"""What a tree gives in worlds with graded rewards, where the actor recovers, and on odd trees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from agent_r.actor import Message
from agent_r.algorithm.episode import act
from agent_r.algorithm.prompts import JUDGE, REVISE
from agent_r.algorithm.proof.effects import Effect
from agent_r.algorithm.replay import replay
from agent_r.algorithm.revision import Drop, Part, Revision
from agent_r.algorithm.trajectory import StopReason
from agent_r.algorithm.tree import Node, SearchTree
from agent_r.collection.revise_tree import revise_tree
from agent_r.collection.tree_revisions import TreeRevisions
from agent_r.environment import EnvInfo, Environment, Split, StepResult, TaskSpec
from agent_r.settings import Config
from agent_r.testing import ForkableCorridor, ScriptedActor

Rule = Callable[[Any, str], tuple[Any, float, bool]]


class Ruled:
    """A small world that a function makes: of a state and an action, state, reward and end."""

    def __init__(self, start: Any, rule: Rule) -> None:
        self._start, self._rule = start, rule
        self._state, self._ended = start, True

    @property
    def info(self) -> EnvInfo:
        return EnvInfo("ruled", "1", "Act.", "Apache-2.0", "this project")

    def tasks(self, split: Split) -> Sequence[TaskSpec]:
        return ()

    async def reset(self, task: str) -> str:
        self._state, self._ended = self._start, False
        return "the goal"

    async def step(self, action: str) -> StepResult:
        self._state, reward, self._ended = self._rule(self._state, action)
        return StepResult("ok", reward, self._ended)

    async def close(self) -> None: ...

    def snapshot(self) -> object:
        return self._state, self._ended

    def restore(self, snapshot: object) -> None:
        assert isinstance(snapshot, tuple)
        self._state, self._ended = snapshot


def buying(chosen: frozenset[str], action: str) -> tuple[frozenset[str], float, bool]:
    """Buying earns 0.6, and 0.2 more for each of two options that were chosen before."""
    if action in ("red", "big"):
        return chosen | {action}, 0.0, False
    if action == "buy":
        return chosen, round(0.6 + 0.2 * len(chosen), 1), True
    return chosen, 0.0, action == "burn"


def said(action: str) -> str:
    return f"Thought: t.\nAction: {action}" if action else "I wonder."


async def tree_of(env: Environment, *episodes: str, task: str = "corridor 1") -> SearchTree:
    """The tree of episodes such as "east/push"; an empty action is a reply without one."""
    tree = SearchTree(task, await env.reset(task), 1)
    for episode in episodes:
        await env.reset(task)
        at, reward, actions = 0, 0.0, episode.split("/")
        for number, action in enumerate(actions):
            step, result = await act(env, said(action), reward=reward)
            reward, last = result.reward, number == len(actions) - 1
            at = child(tree, at, Node(at, step, reward), shared=not last)
            if result.terminated or last:
                ends = StopReason.TERMINATED if result.terminated else StopReason.STEP_LIMIT
                tree.nodes[at].stop = ends
                break
    return tree


def child(tree: SearchTree, parent: int, node: Node, *, shared: bool) -> int:
    for index in tree.nodes[parent].children:
        known = tree.nodes[index]
        if shared and known.step == node.step and known.stop is None:
            return index
    tree.nodes.append(node)
    tree.nodes[parent].children.append(len(tree.nodes) - 1)
    return len(tree.nodes) - 1


def judge(bad: str, then: Sequence[str] = ()) -> ScriptedActor:
    """Calls one action Bad; asked to act, it does one thing after another."""
    left = iter(then)

    def script(messages: Sequence[Message], k: int) -> str:
        if messages[-1].content.endswith(JUDGE):
            wrong = messages[-2].content.endswith(f"Action: {bad}")
            return "It was no use.\nJudgement: " + ("Bad" if wrong else "Good")
        return said(next(left))

    return ScriptedActor(script)


async def revised(
    env: Environment, tree: SearchTree, actor: ScriptedActor, localiser: str, **revision: Any
) -> TreeRevisions:
    config = Config.model_validate({"critique": {"localiser": localiser}, "revision": revision})
    return await revise_tree(env, actor, tree, config, config.revision)


def parts(revision: Revision, *wanted: Part) -> list[str]:
    return [turn.step.action for turn in revision.turns if turn.part in wanted]


async def test_a_step_that_only_a_better_end_needs_is_no_error() -> None:
    env = Ruled(frozenset(), buying)
    tree = await tree_of(env, "buy", "red/big/buy", "big/red/look/burn", task="a thing")
    found = await revised(env, tree, judge("look"), "witnesses", alpha=0.5)
    effects = {step.action: e for i, e in found.effects.items() if (step := tree.nodes[i].step)}
    assert (effects["big"], effects["red"]) == (Effect.PROGRESS, Effect.PROGRESS)
    [one] = found.revisions
    assert parts(one, Part.BAD, Part.INITIAL) == ["big", "red", "look"]
    assert one.reward == 1.0


async def test_a_correction_that_is_no_better_than_the_bad_way_is_dropped() -> None:
    def spoiling(state: str, action: str) -> tuple[str, float, bool]:
        state = "spoilt" if action == "spoil" else state
        return state, 0.55 if state == "spoilt" else 1.0, action in ("fin", "stop")

    env = Ruled("", spoiling)
    tree = await tree_of(env, "fin", "spoil/look/stop", task="a thing")
    found = await revised(env, tree, judge("spoil"), "actor", alpha=0.5)
    assert (found.revisions, found.drops) == ([], {Drop.LOW_REWARD.value: 1})


async def test_a_good_row_has_the_reward_of_what_is_left_of_it() -> None:
    def harming(state: str, action: str) -> tuple[str, float, bool]:
        state = "harmed" if action == "harm" else state
        ended = action == "fin"
        return state, (0.6 if state == "harmed" else 1.0) if ended else 0.0, ended

    env = Ruled("", harming)
    found = await revised(
        env, await tree_of(env, "harm/fin", task="a"), judge(""), "actor", alpha=0.5
    )
    [good] = found.good
    _, reward = await replay(env, "a", [step.response for step in good.steps])
    assert ([step.action for step in good.steps], good.reward) == (["fin"], reward)


@pytest.mark.parametrize("over", [{"prune": False}, {"prune": False, "verify": False}, {}])
async def test_a_good_way_on_without_an_action_is_no_correction(over: dict[str, Any]) -> None:
    env = ForkableCorridor()
    tree = await tree_of(env, "take key/", "take key/drop key")
    found = await revised(env, tree, judge("drop key"), "actor", alpha=0.3, **over)
    assert (found.revisions, found.drops) == ([], {Drop.LOW_REWARD.value: 1})


BACK = ["west", "take key", "east", "push", "push", "push"]


@pytest.mark.parametrize("prune", [True, False])
async def test_a_recovery_is_trained_on_from_the_signal_that_it_began_with(prune: bool) -> None:
    env = ForkableCorridor()
    tree = await tree_of(env, "take key/east/push/push", "jump/look", "east/push/look")
    actor = judge("east", BACK)
    over = {"recovery": True, "placement": "inline", "prune": prune, "signal": "template"}
    found = await revised(env, tree, actor, "actor", **over)
    recovered = [one for one in found.revisions if one.signal == "recovery"]
    for one in recovered:
        [signal] = [turn.step for turn in one.turns if turn.part is Part.SIGNAL]
        asked = [m.content for conversation in actor.conversations for m in conversation]
        assert signal.response.count("Thought: ") == 1
        assert prune or signal.response in asked  # word for word
    assert prune or recovered


async def test_a_direct_revision_keeps_its_bad_way_whole_when_the_actor_recovers() -> None:
    env = ForkableCorridor()
    tree = await tree_of(env, "take key/east/push/push", "east/west/look/east")
    found = await revised(env, tree, judge("", BACK), "direct", recovery=True, signal="template")
    assert [parts(one, Part.BAD) for one in found.revisions] == [["east", "west", "look", "east"]]
    assert parts(found.revisions[0], Part.SIGNAL) == [REVISE]


async def test_a_bad_that_replay_contradicts_is_why_there_is_no_revision() -> None:
    env = ForkableCorridor()
    tree = await tree_of(env, "take key/east/push/push", "push/take key/look/jump")
    found = await revised(env, tree, judge("take key"), "actor")
    assert found.drops == {Drop.NOT_AN_ERROR.value: 1}
