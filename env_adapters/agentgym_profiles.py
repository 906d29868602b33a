"""What differs from one AgentGym server to the next, as data: a new one is ten lines here.

Wire formats and instructions after AgentGym (Xi et al. 2024, arXiv 2406.04151,
https://github.com/WooooDyy/AgentGym); the instructions are shortened, their reply format is ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

_FORMAT = "Each turn, answer with a thought and one action:\nThought: ...\nAction: "


@dataclass(frozen=True, slots=True)
class Profile:
    """One server's ways; fields of answers are named, `{item}` in a body is the task's number."""

    about: str  # what the actor is told before the reply format
    actions: str  # and after it
    items: int  # tasks that it has
    licence: str = "unknown"
    id_key: str = "id"  # of requests, and of what /create answers unless that is a bare number
    create: Mapping[str, Any] = field(default_factory=dict)
    reset: Mapping[str, Any] = field(default_factory=lambda: {"data_idx": "{item}"})
    opening: tuple[str, ...] = ("observation",)  # fields of the answer to /reset; none: see `look`
    look: str = ""  # path that shows what is seen, where /reset does not
    seen: str = "observation"
    reward: str = "reward"
    scale: float = 1.0  # of that field: what is the reward 1
    ends: tuple[str, ...] = ("done",)
    cut: str = ""  # field of the world's own limit
    listed: str = ""  # where the next actions are: a field, or a path
    grammar: str = ""  # a pattern without which an action is not sent
    close: str = "/close"  # path; none where the server has none
    repeats: Literal["text", "score"] = "text"

    @property
    def instruction(self) -> str:
        """The system prompt."""
        return f"{self.about} {_FORMAT}{self.actions}"

    def allows(self, action: str) -> bool:
        """Is that an action at all?

        >>> shop = PROFILES["webshop"]
        >>> shop.allows("search[red shoes]"), shop.allows("click[buy now]"), shop.allows("buy it")
        (True, True, False)
        """
        return not self.grammar or re.fullmatch(self.grammar, action) is not None


PROFILES: dict[str, Profile] = {
    "textcraft": Profile(
        about="You craft Minecraft items from the recipes that are given.",
        actions="get [count] [item] | craft [count] [item] using [count] [item], ... | inventory",
        items=544,
        licence="MIT; recipe data (c) Mojang, not redistributed",
    ),
    "sciworld": Profile(
        about="You do a science task in a house with many rooms.",
        actions="open/close OBJ | activate/deactivate OBJ | connect OBJ to OBJ | disconnect OBJ | "
        "use OBJ [on OBJ] | look around | look at OBJ | look in OBJ | read OBJ | move OBJ to OBJ | "
        "pick up OBJ | put down OBJ | pour OBJ into OBJ | dunk OBJ into OBJ | mix OBJ | go to LOC "
        "| eat OBJ | flush OBJ | focus on OBJ | wait1 | task | inventory",
        items=4639,
        licence="Apache-2.0",
        opening=("task_description", "observation"),
        reward="score",  # so far; `reward` is what the last step added
        scale=100.0,
        repeats="score",
    ),
    "webshop": Profile(
        about="You shop on the web, following the instruction on the page.",
        actions="search[keywords] | click[value]\nSearch where there is a search bar; click one of "
        "the values that are listed.",
        items=6910,
        id_key="env_idx",
        reset={"session_id": "{item}"},
        opening=(),
        look="/observation",
        seen="state",
        listed="/available_actions",
        grammar=r"(?:search|click)\[[^\]]+\]",
        close="",
    ),
    "babyai": Profile(
        about="You are in a room, and reach the goal that is given.",
        actions="turn right | turn left | move forward | go to <obj> <id> | pick up <obj> <id> | "
        "go through <door> <id> | toggle and go through <door> <id> | toggle",
        items=900,
        licence="BSD-3-Clause",
        reward="score",  # the sum; `reward` is the last step's
    ),
    "alfworld": Profile(
        about="You are in a household, and do a task in it.",
        actions="one of those that are listed. `Nothing happened` means that it was none of them.",
        items=2620,
        licence="MIT",
        reset={"game": "{item}", "world_type": "Text"},
        listed="available_actions",
        close="",
    ),
    "searchqa": Profile(
        about="You answer a question, and may search for what you do not know.",
        actions="<search> query </search> | <answer> answer </answer>",
        items=10_000,
        id_key="env_idx",
        create={"id": 0},
        reset={"id": "{item}"},
        opening=("",),
    ),
    "sqlgym": Profile(
        about="You answer a question on a SQLite database with one SQL statement a turn.",
        actions="a SQL statement, in one line",
        items=3200,
        id_key="env_idx",
        reset={"item_id": "{item}"},
        opening=("",),
        seen="state",
    ),
    "webarena": Profile(
        about="You use a web browser, shown as an accessibility tree, to reach an objective.",
        actions="click [id] | type [id] [content] [press_enter_after=0|1] | hover [id] | "
        "press [key_comb] | scroll [direction=down|up] | new_tab | tab_focus [tab_index] | "
        "close_tab | goto [url] | go_back | go_forward | stop [answer]",
        items=812,
        licence="Apache-2.0",
        id_key="env_idx",
        reset={"seed": 0, "idx": "{item}"},
        ends=("terminated",),
        cut="truncated",
        repeats="score",
    ),
}
