"""A shop in WebShop's format (Yao et al. 2022, arXiv 2207.01206) over a generated catalogue.

It is NOT the WebShop benchmark: pages, actions and reward follow the paper, but all products and
goals are ours, so a score here says nothing of a score there. The real one is had over HTTP alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

from agent_r.environment import Embedded, EnvInfo, Split, StepResult, TaskSpec, World
from agent_r.errors import UnknownTask
from agent_r.settings import ShopEnv
from env_adapters.shop.expert import REFUSAL, ShopExpert
from env_adapters.shop.pages import ShopState, Store, after, available, open_store, opening, render

VERSION = 1  # raised when the same actions could give other observations

INSTRUCTION = (
    "You shop on a website for what the instruction asks. Each turn, answer with a thought and "
    "one action:\n"
    "Thought: ...\n"
    "Action: search[keywords] | click[value]\n"
    "Only the available actions can be done. Choose the options that are asked for, then click "
    "buy now: that ends the episode, and the reward is the share of what was asked for."
)

_ECHO = 80  # characters of a refused action that an observation repeats
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


_ENDED = ShopState("", "bought")  # before a reset, too


class Shop:
    """One episode at a time; the state is a few words, so a fork costs nothing."""

    def __init__(self, spec: ShopEnv) -> None:
        self._spec = spec
        self._state = _ENDED

    @cached_property
    def store(self) -> Store:
        """Built when first needed, and shared by all shops of the same settings."""
        return open_store(self._spec.products, self._spec.catalogue)

    @cached_property
    def info(self) -> EnvInfo:
        return EnvInfo(
            name="shop",
            version=f"{VERSION}-{self.store.catalogue.digest}",
            instruction=INSTRUCTION,
            licence="Apache-2.0",
            source="this project: the format of WebShop (arXiv 2207.01206) over a generated "
            "catalogue; not the WebShop benchmark, its products and goals are ours",
        )

    def tasks(self, split: Split) -> Sequence[TaskSpec]:
        """Goals of a split; a task's depth is the number of things that are asked for."""
        return self.store.catalogue.splits[split]

    async def reset(self, task: str) -> str:
        goals = self.store.catalogue.goals
        if task not in goals:
            raise UnknownTask(f"the shop has no goal '{task[:_ECHO]}'")
        self._state = ShopState(task)
        return opening(goals[task])

    async def step(self, action: str) -> StepResult:
        if self._state.page == "bought":
            raise ValueError("the episode has ended: reset first")
        then = after(self.store, self._state, action)
        if then is None:
            echo = _UNPRINTABLE.sub(" ", action[:_ECHO])
            text = f"{REFUSAL}{echo}\n{available(self.store, self._state)}"
            return StepResult(text, reward=0.0, terminated=False)
        self._state = then
        done = then.page == "bought"
        return StepResult(render(self.store, then), reward=then.reward, terminated=done)

    async def close(self) -> None:
        self._state = _ENDED

    def snapshot(self) -> ShopState:
        return self._state

    def restore(self, snapshot: object) -> None:
        if not isinstance(snapshot, ShopState):
            raise ValueError(f"not a snapshot of the shop: {type(snapshot).__name__}")
        self._state = snapshot


def shop(spec: ShopEnv) -> World:
    """The world of these settings."""
    return Embedded(lambda: Shop(spec), ShopExpert(spec))
