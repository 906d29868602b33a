"""A good trajectory takes the actor's own errors in, and comes back from each."""

from __future__ import annotations

import random

import pytest

from agent_r.algorithm.episode import act
from agent_r.algorithm.prompts import REVISE
from agent_r.algorithm.proof.interleaving import MOST, Interleaved, Interleaver
from agent_r.algorithm.proof.rehearsal import Rehearsal
from agent_r.algorithm.proof.tree_proofs import TreeProofs
from agent_r.algorithm.replay import replay
from agent_r.algorithm.revision import Part
from agent_r.algorithm.tree import Node, SearchTree, StopReason
from agent_r.environment import Environment, StepResult
from agent_r.settings import RevisionConfig, TextCraftEnv
from agent_r.testing import Corridor, ForkableCorridor
from env_adapters.textcraft.environment import TextCraft

HANDLE = [
    "get 1 ash log",
    "craft 4 ash boards using 1 ash log",
    "craft 4 ash handle using 1 ash boards",
]
BESIDE = ["get 1 ash boards", "get 2 elm log", "inventory"]  # what else is sampled at each state


class TwoWays(ForkableCorridor):
    """Two ways end well, `a1 a2 a3` and `b1 b2`; `c1 c2` earns a part."""

    async def reset(self, task: str) -> str:
        self._done: frozenset[str] = frozenset()
        return "Go."

    async def step(self, action: str) -> StepResult:
        self._done |= {action}
        ends = any(way <= self._done for way in ({"a1", "a2", "a3"}, {"b1", "b2"}))
        return StepResult("", 1.0 if ends else 0.6 * ({"c1", "c2"} <= self._done), ends)

    def snapshot(self) -> object:
        return self._done & {"a1", "a2", "a3", "b1", "b2", "c1", "c2"}

    def restore(self, snapshot: object) -> None:
        assert isinstance(snapshot, frozenset)
        self._done = snapshot


async def tree_of(
    env: Environment, task: str, good: list[str], beside: list[str]
) -> SearchTree:  # fmt: skip
    """A good trajectory, with the same other replies beside each of its steps."""
    tree = SearchTree(task, await env.reset(task), 1)
    await grow(env, tree, good, beside)
    return tree


async def grow(env: Environment, tree: SearchTree, good: list[str], beside: list[str]) -> None:
    task, parent = tree.task, 0
    for at, action in enumerate(good):
        for other in (*beside, action):
            await replay(env, task, [f"Action: {a}" for a in good[:at]])
            step, result = await act(env, f"Action: {other}", reward=0.0)
            tree.nodes.append(Node(parent, step, result.reward))
            tree.nodes[parent].children.append(len(tree.nodes) - 1)
            if result.terminated:
                tree.nodes[-1].stop = StopReason.TERMINATED
        parent = len(tree.nodes) - 1


async def interleaved(
    *beside: str,
    count: int = 4,
    seed: int = 0,
    world: Environment | None = None,
    task: str = "ash handle",
    good: list[str] = HANDLE,
) -> list[Interleaved]:
    env = world or TextCraft(TextCraftEnv())
    tree = await tree_of(env, task, good, list(beside))
    proofs = TreeProofs(Rehearsal(env, task), tree, RevisionConfig())
    ways = [tree.trajectory(leaf) for leaf in proofs.good]
    maker = Interleaver(tree, proofs.prover(), ways, random.Random(seed))
    return await maker.some(count)


async def test_every_row_reaches_the_goal_with_errors_on_its_way() -> None:
    made = await interleaved(*BESIDE, count=8)
    assert len({one.actions for one in made}) == len(made) > 4
    for one in made:
        right = [turn.step.action for turn in one.turns if turn.part is Part.GOOD]
        wrong = [turn.step.action for turn in one.turns if turn.part is Part.BAD]
        assert right == HANDLE
        assert set(wrong) <= {*BESIDE, *HANDLE}
        assert 1 <= len(wrong) == len(one.errors) <= MOST
        assert one.turns[-1].part is Part.GOOD
        _, reward = await replay(
            TextCraft(TextCraftEnv()), "ash handle", [turn.step.response for turn in one.turns]
        )
        assert reward == one.reward == 1.0
    assert max(len(one.errors) for one in made) > 1


async def test_what_the_world_answers_is_what_it_answers_there() -> None:
    for one in await interleaved("get 2 elm log"):
        answers = [turn.step.observation for turn in one.turns if turn.part is Part.BAD]
        assert set(answers) <= {"Got 2 elm log", "Could not find enough items to craft ash boards",
                                "Could not find enough items to craft ash handle",
                                "Got 1 ash log", "Crafted 4 ash boards"}  # fmt: skip


async def test_a_step_that_is_needed_is_no_error() -> None:
    """A second log is of no use after the first, and would have been right in its place."""
    for one in await interleaved("get 2 ash log", count=8):
        wrong = [at for at, turn in enumerate(one.turns) if turn.part is Part.BAD]
        for at in wrong:
            if one.actions[at] == "get 2 ash log":
                assert "get 1 ash log" in one.actions[:at]


async def test_a_revision_signal_that_the_actor_has_learnt_is_no_error_of_its() -> None:
    made = await interleaved(REVISE, "get 2 elm log", count=8)
    assert made and not any(REVISE in one.actions for one in made)


async def test_the_same_seed_makes_the_same_rows() -> None:
    assert await interleaved(*BESIDE, seed=3) == await interleaved(*BESIDE, seed=3)
    assert await interleaved(*BESIDE, seed=3) != await interleaved(*BESIDE, seed=4)


class TwoWords(Corridor):
    """A key may be grabbed as well as taken."""

    async def step(self, action: str) -> StepResult:
        return await super().step(action.replace("grab", "take"))


CORRIDOR = ["take key", "east", "push", "push"]


@pytest.mark.parametrize("world", [Corridor(), ForkableCorridor()])
async def test_a_world_that_cannot_fork_has_such_rows_as_well(world: Environment) -> None:
    made = await interleaved("dance", "look", good=CORRIDOR, world=world, task="corridor 1")
    assert len(made) == 4
    for one in made:
        assert [t.step.action for t in one.turns if t.part is Part.GOOD] == CORRIDOR
        assert one.reward == 1.0
        assert set(one.errors) <= {"no effect", "repeated"}


async def test_what_does_a_step_s_work_is_no_error_where_the_world_cannot_fork() -> None:
    made = await interleaved(
        "grab key", "dance", good=CORRIDOR, world=TwoWords(), task="corridor 1", count=8
    )
    assert made
    for one in made:
        if "grab key" in one.actions:
            assert one.actions.index("take key") < one.actions.index("grab key")


class Ladder(Corridor):
    """It is won by stopping on the first rung; no step but a needless one can be left out alone."""

    async def reset(self, task: str) -> str:
        self._rung = 0
        return "Go."

    async def step(self, action: str) -> StepResult:
        self._rung += {"up": 1, "down": -1}.get(action, 0)
        won = (action, self._rung) == ("stop", 1)
        return StepResult("", float(won), action == "stop")


async def test_no_way_there_and_back_is_trained_where_the_world_cannot_fork() -> None:
    made = [
        await interleaved("dance", good=good, world=Ladder(), task="ladder", count=8)
        for good in (["up", "up", "down", "stop"], ["up", "stop"])
    ]
    assert not made[0] and made[1]


@pytest.mark.parametrize(
    ("detour", "way", "alpha"),
    [(["a1", "a2", "a3"], ["b1", "b2"], 1.0), (["c1", "c2"], ["a1", "a2", "a3"], 0.5)],
)
async def test_no_step_of_a_way_that_an_error_ends_is_trained(
    detour: list[str], way: list[str], alpha: float
) -> None:
    env = TwoWays()
    tree = await tree_of(env, "go", detour, ["look"])
    tree.nodes[-1].stop = StopReason.TERMINATED
    await grow(env, tree, way, ["look"])
    proofs = TreeProofs(Rehearsal(env, "go"), tree, RevisionConfig(alpha=alpha))
    good = [tree.trajectory(leaf) for leaf in proofs.good]
    assert len(good) == 2
    made = await Interleaver(tree, proofs.prover(), good, random.Random(0)).some(8)
    assert made
    for one in made:
        assert [turn.step.action for turn in one.turns if turn.part is Part.GOOD] == way
