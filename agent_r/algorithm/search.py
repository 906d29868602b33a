"""Monte Carlo tree search over an actor's own replies (paper section 3.1).

A simulation walks from the root to a leaf, expanding every node it reaches; only a leaf's final
reward is propagated back. Several walk at once, in rounds: all ask the actor together, and go on
when the last reply is there. So the order in which replies come changes nothing: the same seed,
world and replies give the same tree.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field

from agent_r.actor import Actor, SamplingParams
from agent_r.algorithm.episode import act, begin, broken, silent
from agent_r.algorithm.prompts import conversation
from agent_r.algorithm.sampling import count, distinct, is_misstated, reseeded, sample
from agent_r.algorithm.trajectory import NOT_THE_ACTORS, Step, StopReason
from agent_r.algorithm.tree import ROOT, Node, SearchTree
from agent_r.concurrency import gather_bounded
from agent_r.environment import Environment, Forkable, Snapshot, StepResult
from agent_r.reading.reply import Reading
from agent_r.settings import SearchConfig


def uct(node: Node, parent_visits: int, *, c: float, walking: int = 0) -> float:
    """Mean return plus an exploration bonus; an unvisited node comes before all others.

    Each of the `walking` simulations that are below the node counts as one that returned nothing
    (virtual loss, Chaslot et al. 2008, https://doi.org/10.1007/978-3-540-87608-3_6): the next one
    looks elsewhere.

    >>> uct(Node(visits=4, total_return=2.0), parent_visits=4, c=0.0)
    0.5
    """
    visits = node.visits + walking
    if visits == 0:
        return math.inf
    bonus = math.sqrt(math.log(max(parent_visits, 1)) / visits)
    return node.total_return / visits + c * bonus


def select(
    tree: SearchTree,
    index: int,
    *,
    c: float,
    rng: random.Random,
    closed: Container[int] = (),
    walking: Mapping[int, int] | None = None,
) -> int | None:
    """The child to walk into: highest UCT, ties at random; None where nothing is left to try.

    A leaf is walked into once: its reward is then known, and will not change. `walking` says how
    many simulations are on their way below a node.
    """
    parent, on_their_way = tree.nodes[index], walking or {}
    open_children = [i for i in parent.children if i not in closed]
    if not open_children:
        return None
    visits = parent.visits + on_their_way.get(index, 0)
    scores = [
        uct(tree.nodes[i], visits, c=c, walking=on_their_way.get(i, 0)) for i in open_children
    ]
    best = max(scores)
    return rng.choice([i for i, s in zip(open_children, scores, strict=True) if s == best])


def backpropagate(tree: SearchTree, leaf: int) -> None:
    """Add a leaf's final reward to every node above it, and to itself."""
    reward = tree.nodes[leaf].reward
    for index in (ROOT, *tree.path(leaf)):
        tree.nodes[index].visits += 1
        tree.nodes[index].total_return += reward


async def search(
    env: Environment,
    actor: Actor,
    task: str,
    *,
    config: SearchConfig,
    seed: int,
    enough: Callable[[SearchTree], bool] = lambda tree: False,
) -> SearchTree:
    """Grow one tree; it stops early where every leaf has ended, or where it holds `enough`.

    Raises:
        UnknownTask, EnvironmentFault, EndpointError: nothing of the tree is worth keeping then.
    """
    tree = SearchTree(task, await begin(env, task), seed)
    growth = _Growth(tree, env, actor, config, random.Random(seed), enough)
    growth.remember(ROOT)
    while await growth.round():
        pass
    return tree


@dataclass(slots=True)
class _Growth:
    """One tree's search in progress."""

    tree: SearchTree
    env: Environment
    actor: Actor
    config: SearchConfig
    rng: random.Random
    enough: Callable[[SearchTree], bool]
    at: int | None = ROOT  # the node whose state the world is in
    kept: dict[int, Snapshot] = field(default_factory=dict)  # of nodes that may yet be expanded
    closed: set[int] = field(default_factory=set)  # leaves visited, and nodes with only such below
    begun: int = 0  # simulations
    walks: list[int] = field(default_factory=list)  # the node where each stands: to be expanded
    walking: Counter[int] = field(default_factory=Counter)  # how many walks are at or below a node
    full: bool = False  # enough was found, or nothing is left to try
    waiting: dict[int, list[Reading]] = field(default_factory=dict)  # not yet tried, by node
    forkable: Forkable | None = field(init=False)  # the same world, where it has snapshots
    tries_all: bool = field(init=False)
    misstated: Callable[[str], bool] = field(init=False)  # replies whose words are false

    def __post_init__(self) -> None:
        self.forkable = self.env if isinstance(self.env, Forkable) else None
        forks = self.forkable is not None
        self.misstated = is_misstated(self.env, self.tree.prompt)
        self.tries_all = self.config.expansion == "all" or (
            self.config.expansion == "auto" and forks
        )

    async def round(self) -> bool:
        """Expand every node where a walk stands, all at once, and walk on; False at the end."""
        while (
            len(self.walks) < self.config.parallel_simulations
            and self.begun < self.config.simulations
        ):
            if self.full:
                break
            self.begun += 1
            self.walking[ROOT] += 1
            self.walk_on(ROOT)
        if self.full or not self.walks:
            return False
        frontier = Counter(self.walks)
        unasked = [index for index in frontier if index not in self.waiting]
        self.waiting.update(zip(unasked, await gather_bounded(unasked, self.propose), strict=True))
        for index, walks in frontier.items():
            await self.expand(index, walks)
        standing, self.walks = self.walks, []
        for index in standing:
            self.walk_on(index)
        return True

    def walk_on(self, index: int) -> None:
        """Down from a node to one that must be expanded first, or to a leaf: there it ends."""
        while (chosen := self.step_down(index)) is not None:
            self.walking[chosen] += 1
            index = chosen

    def step_down(self, index: int) -> int | None:
        """Where the walk that stands at a node goes next; None where it ends, or must wait."""
        node = self.tree.nodes[index]
        if node.stop is not None and index not in self.closed:
            self.end(index)
            return None
        if node.stop is None and (not node.children or index in self.waiting):
            self.walks.append(index)
            return None
        chosen = select(
            self.tree,
            index,
            c=self.config.exploration,
            rng=self.rng,
            closed=self.closed,
            walking=self.walking,
        )
        if chosen is not None:
            return chosen
        self.leave(index)
        if index == ROOT:
            self.full = True
            return None
        self.closed.add(index)  # all below has been seen: this is no simulation, begin it again
        return ROOT

    def end(self, leaf: int) -> None:
        """A simulation is over: what it earned is known to all nodes above.

        An end that is not the actor's doing earned nothing that could be known.
        """
        self.leave(leaf)
        self.closed.add(leaf)
        if self.tree.nodes[leaf].stop not in NOT_THE_ACTORS:
            backpropagate(self.tree, leaf)
        self.full = self.full or leaf == ROOT or self.enough(self.tree)

    def leave(self, index: int) -> None:
        """A walk that has come to a node is no longer on its way there."""
        self.walking.subtract((ROOT, *self.tree.path(index)))

    async def expand(self, index: int, walks: int) -> None:
        """Try replies proposed at a node, as long as the world comes back there.

        All of them, or one for each walk that stands there: an unvisited child comes first anyway,
        and where the world cannot fork, the walk goes on from it without a replay.
        """
        waiting = self.waiting.pop(index)
        if not self.tries_all:
            waiting, later = waiting[:walks], waiting[walks:]
            if later:
                self.waiting[index] = later
        for reading in waiting:
            if not await self.go_to(index):
                self.waiting.pop(index, None)
                if not self.tree.nodes[index].children:
                    self.tree.nodes[index].stop = StopReason.FAULT
                break
            reward = self.tree.nodes[index].reward
            step, result = await self.take(reading.text, reading.reasoning, reward=reward)
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
        if index not in self.waiting:
            self.kept.pop(index, None)

    async def propose(self, index: int) -> list[Reading]:
        """Distinct replies at a node, those that act alike merged; one request for all of them.

        None where the episode cannot go on, and why is noted. Every reply is counted.
        """
        steps = self.tree.steps(index)
        messages = conversation(self.env.info.instruction, self.tree.prompt, steps)
        params = SamplingParams(
            temperature=self.config.temperature,
            max_tokens=self.config.max_tokens,
            seed=self.tree.seed,
        )
        sampled = await sample(
            self.actor,
            messages,
            n=self.config.candidates,
            params=reseeded(params, index),
            grammar=self.env.info.grammar,
        )
        self.tree.calls += sampled.calls
        if index == ROOT and sampled.refusal is not None:
            raise sampled.refusal  # nothing can be said of this task: it is the tree's matter
        self.tree.nodes[index].stop = sampled.stop
        count(self.tree, sampled)
        return distinct(sampled.usable, self.misstated)

    async def go_to(self, index: int) -> bool:
        """Bring the world to a node: a snapshot where it has them, else reset and replay.

        False where the episode ended on the way: some worlds do not quite repeat themselves.
        """
        if self.at == index:
            return True
        if self.forkable is not None:
            try:
                self.forkable.restore(self.kept[index])
            except Exception as error:
                raise broken(self.env.info, error) from error
        else:
            self.at = None
            await begin(self.env, self.tree.task)
            for step in self.tree.steps(index):
                _, result = await self.take(step.response, reward=0.0)
                if result.terminated or result.truncated:
                    return False
        self.at = index
        return True

    async def take(
        self, response: str, reasoning: str = "", *, reward: float
    ) -> tuple[Step, StepResult]:
        """Act, and count what the world was really asked."""
        step, result = await act(self.env, response, reward=reward, reasoning=reasoning)
        self.tree.env_steps += not silent(step.action)
        return step, result

    def remember(self, index: int) -> None:
        if self.forkable is None:
            return
        try:
            self.kept[index] = self.forkable.snapshot()
        except Exception as error:
            raise broken(self.env.info, error) from error
