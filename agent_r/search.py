"""Monte Carlo tree search over an actor's own replies (paper section 3.1).

A simulation walks from the root to a leaf, expanding every node it reaches; only a leaf's final
reward is propagated back. A tree is a list of nodes with indices: it compares, prints and
serialises, and the same seed, world and replies give the same tree.
"""

from __future__ import annotations

import math
import random
from collections.abc import Container, Iterator
from dataclasses import dataclass, field

from agent_r.actor import Actor, SamplingParams, parse_action
from agent_r.environment import Environment, Forkable, Snapshot, StepResult
from agent_r.episode import act
from agent_r.errors import ContextOverflow
from agent_r.prompts import WAIT, conversation
from agent_r.settings import SearchConfig
from agent_r.trajectory import Step, StopReason, Trajectory

ROOT = 0


@dataclass(slots=True)
class Node:
    """A state reached by one response; `parent` and `children` are indices into the tree."""

    parent: int | None = None
    step: Step | None = None  # None at the root alone
    reward: float = 0.0  # the world's reward so far
    stop: StopReason | None = None  # set at a leaf: nothing follows
    children: list[int] = field(default_factory=list)
    visits: int = 0
    total_return: float = 0.0

    @property
    def value(self) -> float:
        """Mean return of the simulations through this node; 0 before the first."""
        return self.total_return / self.visits if self.visits else 0.0


@dataclass(slots=True)
class SearchTree:
    """All that was tried for one task."""

    task: str
    prompt: str
    seed: int
    nodes: list[Node] = field(default_factory=lambda: [Node()])
    calls: int = 0  # completion requests
    env_steps: int = 0  # actions the world answered, replays included
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def path(self, index: int) -> list[int]:
        """Indices from the root's child down to `index`; empty for the root."""
        found: list[int] = []
        while (parent := self.nodes[index].parent) is not None:
            found.append(index)
            index = parent
        return found[::-1]

    def steps(self, index: int) -> list[Step]:
        """The steps that lead to a node."""
        return [step for i in self.path(index) if (step := self.nodes[i].step) is not None]

    def leaves(self) -> Iterator[int]:
        """Nodes where an episode ended, in the order they were found."""
        return (i for i, node in enumerate(self.nodes) if node.stop is not None and i != ROOT)

    def trajectory(self, leaf: int) -> Trajectory:
        """The episode that ended at a leaf."""
        node = self.nodes[leaf]
        stop = node.stop or StopReason.STEP_LIMIT
        return Trajectory(self.task, self.prompt, tuple(self.steps(leaf)), node.reward, stop)


def uct(node: Node, parent_visits: int, *, c: float) -> float:
    """Mean return plus an exploration bonus; an unvisited node comes before all others.

    >>> uct(Node(visits=4, total_return=2.0), parent_visits=4, c=0.0)
    0.5
    """
    if node.visits == 0:
        return math.inf
    bonus = math.sqrt(math.log(max(parent_visits, 1)) / node.visits)
    return node.value + c * bonus


def select(
    tree: SearchTree, index: int, *, c: float, rng: random.Random, closed: Container[int] = ()
) -> int | None:
    """The child to walk into: highest UCT, ties at random; None where nothing is left to try.

    A leaf is walked into once: its reward is then known, and will not change.
    """
    parent = tree.nodes[index]
    open_children = [i for i in parent.children if i not in closed]
    if not open_children:
        return None
    scores = [uct(tree.nodes[i], parent.visits, c=c) for i in open_children]
    best = max(scores)
    return rng.choice([i for i, s in zip(open_children, scores, strict=True) if s == best])


def backpropagate(tree: SearchTree, leaf: int) -> None:
    """Add a leaf's final reward to every node above it, and to itself."""
    reward = tree.nodes[leaf].reward
    for index in (ROOT, *tree.path(leaf)):
        tree.nodes[index].visits += 1
        tree.nodes[index].total_return += reward


async def search(
    env: Environment, actor: Actor, task: str, *, config: SearchConfig, seed: int
) -> SearchTree:
    """Grow one tree; a tree whose every leaf has ended stops before its last simulation.

    Raises:
        UnknownTask, EnvironmentFault, EndpointError: nothing of the tree is worth keeping then.
    """
    tree = SearchTree(task, await env.reset(task), seed)
    walk = _Walk(tree, env, actor, config, random.Random(seed))
    walk.remember(ROOT)
    for _ in range(config.simulations):
        if not await walk.simulate():
            break
    return tree


@dataclass(slots=True)
class _Walk:
    """One tree's search in progress."""

    tree: SearchTree
    env: Environment
    actor: Actor
    config: SearchConfig
    rng: random.Random
    at: int | None = ROOT  # the node whose state the world is in
    kept: dict[int, Snapshot] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)  # leaves visited, and nodes with only such below

    async def simulate(self) -> bool:
        """Walk from the root to a leaf and propagate its reward; False where no leaf is left."""
        index = ROOT
        while self.tree.nodes[index].stop is None:
            if not self.tree.nodes[index].children:
                await self.expand(index)
                continue  # the expansion may have found that the episode ends here
            chosen = select(
                self.tree, index, c=self.config.exploration, rng=self.rng, closed=self.closed
            )
            if chosen is not None:
                index = chosen
            elif index == ROOT:
                return False
            else:  # all below has been seen: this is no simulation, begin it again
                self.closed.add(index)
                index = ROOT
        self.closed.add(index)
        backpropagate(self.tree, index)
        return index != ROOT

    async def expand(self, index: int) -> None:
        """Sample candidates in one request, merge those that act alike, and try each one."""
        for response in await self.propose(index):
            await self.go_to(index)
            step, result = await self.take(response, reward=self.tree.nodes[index].reward)
            child = Node(parent=index, step=step, reward=result.reward)
            depth = len(self.tree.path(index)) + 1
            if result.terminated or result.truncated:
                child.stop = StopReason.TERMINATED
            elif depth >= self.config.max_depth:
                child.stop = StopReason.STEP_LIMIT
            self.tree.nodes.append(child)
            self.at = len(self.tree.nodes) - 1
            self.tree.nodes[index].children.append(self.at)
            if child.stop is None:
                self.remember(self.at)

    async def propose(self, index: int) -> list[str]:
        """Distinct replies at a node; none where the episode cannot go on, and why is noted."""
        steps = self.tree.steps(index)
        messages = conversation(self.env.info.instruction, self.tree.prompt, steps)
        params = SamplingParams(
            temperature=self.config.temperature,
            max_tokens=self.config.max_tokens,
            seed=(self.tree.seed + 7919 * index) % 2**31,
        )
        node = self.tree.nodes[index]
        self.tree.calls += 1
        try:
            replies = await self.actor.complete(messages, n=self.config.candidates, params=params)
        except ContextOverflow:
            node.stop = StopReason.CONTEXT_OVERFLOW
            return []
        if not replies:
            node.stop = StopReason.NO_REPLY
        distinct: dict[str, str] = {}
        for reply in replies:
            distinct.setdefault(" ".join(parse_action(reply.text).split()), reply.text)
        return list(distinct.values())

    async def go_to(self, index: int) -> None:
        """Bring the world to a node: a snapshot where it has them, else reset and replay."""
        if self.at == index:
            return
        if isinstance(self.env, Forkable):
            self.env.restore(self.kept[index])
        else:
            await self.env.reset(self.tree.task)
            for step in self.tree.steps(index):
                await self.take(step.response, reward=0.0)
        self.at = index

    async def take(self, response: str, *, reward: float) -> tuple[Step, StepResult]:
        """Act, and count what the world was really asked."""
        step, result = await act(self.env, response, reward=reward)
        self.tree.env_steps += step.action not in ("", WAIT)
        return step, result

    def remember(self, index: int) -> None:
        if isinstance(self.env, Forkable):
            self.kept[index] = self.env.snapshot()
