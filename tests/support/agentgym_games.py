"""What the loopback servers play: TextCraft, a tiny shop, and the toy corridor."""

from __future__ import annotations

import re
from typing import Protocol

from agent_r.settings import TextCraftEnv
from agent_r.testing import Corridor
from env_adapters.textcraft.environment import TextCraft


class Game(Protocol):
    """One environment: `reset` and `step` say what is seen; `score` is what has been earned."""

    score: float
    done: bool

    async def reset(self, index: int) -> str: ...

    async def step(self, action: str) -> str: ...

    def legal(self) -> list[str]: ...


class CorridorGame:
    """Three ways to go: one that ends well, one that ends in the pit, and one that never ends."""

    def __init__(self) -> None:
        self._corridor, self.score, self.done = Corridor(), 0.0, False

    async def reset(self, index: int) -> str:
        self.score, self.done = 0.0, False
        return await self._corridor.reset(f"corridor {index % 6}")

    async def step(self, action: str) -> str:
        result = await self._corridor.step(action)
        self.score = -1.0 if action == "jump" else result.reward
        self.done = result.terminated
        return result.observation

    def legal(self) -> list[str]:
        return ["take key", "east", "west", "push"]


class CraftGame:
    """The real TextCraft, by index; as upstream, it steps on after its end."""

    def __init__(self) -> None:
        self._world, self.score, self.done = TextCraft(TextCraftEnv(distractors=0)), 0.0, False
        self._goal = ""

    async def reset(self, index: int) -> str:
        goals = sorted(task.id for task in self._world.tasks("train"))
        self.score, self.done = 0.0, False
        self._goal = goals[index % len(goals)]
        return await self._world.reset(self._goal)

    async def step(self, action: str) -> str:
        result = await self._world.step(action)
        self.score, self.done = result.reward, result.terminated
        if self.done:
            await self._world.reset(self._goal)
        return result.observation

    def legal(self) -> list[str]:
        return []


PRODUCTS = {"b01": ("red shoes", 30), "b02": ("red boots", 90), "b03": ("blue shoes", 20)}
COLOURS = ("bright", "dark")


class ShopGame:
    """Three products with an option; a goal asks for a product, an option and a price."""

    def __init__(self) -> None:
        self.score, self.done = 0.0, False
        self._page, self._product, self._colour = "start", "", ""
        self._wanted = ("b01", "dark", 40)

    async def reset(self, index: int) -> str:
        self.__init__()  # type: ignore[misc]
        product = sorted(PRODUCTS)[index % 3]
        self._wanted = (product, COLOURS[index % 2], PRODUCTS[product][1] + 10)
        return self._seen()

    async def step(self, action: str) -> str:
        match = re.fullmatch(r"(search|click)\[(.+)\]", action)
        name, said = (match[1], match[2].lower()) if match else ("", "")
        if name == "search":
            self._page = "results"
        elif name == "click" and said in self.legal():
            self._click(said)
        return self._seen()

    def legal(self) -> list[str]:
        return {
            "start": ["search"],
            "results": ["back to search", *PRODUCTS],
            "item": ["back to search", "< prev", *COLOURS, "buy now"],
        }.get(self._page, [])

    def _click(self, said: str) -> None:
        if said in PRODUCTS:
            self._page, self._product, self._colour = "item", said, ""
        elif said in COLOURS:
            self._colour = said
        elif said == "buy now":
            product, colour, price = self._wanted
            right = (
                self._product == product,
                self._colour == colour,
                PRODUCTS[self._product][1] <= price,
            )
            self._page, self.score, self.done = "done", sum(right) / 3, True
        else:
            self._page = "start" if said == "back to search" else "results"

    def _seen(self) -> str:
        product, colour, price = self._wanted
        goal = f"Find me {PRODUCTS[product][0]}, {colour}, price lower than {price}.00 dollars"
        what = f"{self._page} {self._product} {self._colour}".strip()
        return f"WebShop [SEP] Instruction: [SEP] {goal} [SEP] {what}"
