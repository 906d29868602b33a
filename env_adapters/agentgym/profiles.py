"""The profiles of AgentGym's servers: how each one speaks, as data for one client.

The facts are those of AgentGym's own sources (github.com/WooooDyy/AgentGym). A task is called by
the server's name and its index there, which is all the name that it has. AgentGym's lists of tasks
are kept where they are ranges, or short; elsewhere the splits are ours, taken across the indices,
for these are sorted by kind of task or by depth.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from agent_r.grammar import DEFAULT, Grammar
from agent_r.printable import printable_line

LONGEST_ACTION = 1000  # characters; more digits than Python reads as a number would be an error
_FORMAT = "Each turn, answer with a thought and one action:\nThought: ...\nAction: "
_HOME = "https://github.com/WooooDyy/AgentGym/tree/main/agentenv-"

# Errors: the environment is not there, or ended without our knowing (a bare number is what Python
# says of a missing key); then Java's own words.
_GONE = (
    r"The id .* is not valid|has been deleted|has finished|^'?\d+'?$"
    r"|Answer from Java side is empty|connect to the Java server|Py4JNetwork"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One server; whether an answer is a number, a text or has fields is known from its JSON."""

    server: str
    hello: str  # what it answers at `/`
    instruction: str
    licence: str
    total: int  # tasks 0 up to this one can be begun
    warm_start: Sequence[int]
    train: Sequence[int]
    test: Sequence[int]
    version: int = 1  # raised when the same actions could give other observations
    id_key: str = "id"  # in every request, and in create's answer if that has fields
    create: Mapping[str, object] = field(default_factory=dict)  # body
    task_key: str = "data_idx"  # where reset's body has the index
    reset: Mapping[str, object] = field(default_factory=dict)  # what else it has
    opening: tuple[str, ...] = ("observation",)  # fields of reset's answer, or a path to ask at
    observation: str = "observation"  # fields of step's answer
    reward: str = "reward"
    ended: str = "done"
    truncated: str = ""
    choices: str = ""  # a field of legal actions, or the path where they are asked for
    full: float = 1.0  # the reward that counts as 1
    cumulative: bool = False  # it is the reward so far; elsewhere the best step's stands
    close: str | None = "/close"  # asked for, and missed by nobody: older servers answer 404
    at_most: int | None = None  # environments that the server keeps apart
    sent: str = "{}"  # how it wants an action
    renamed: Mapping[str, str] = field(default_factory=dict)  # as its own client does
    reads: Grammar = DEFAULT  # where its own client finds the action in a reply
    ignored: str = ""  # characters that its own client leaves out of an action
    grammar: str = ""  # what an action must look like to be sent at all
    usage: str = ""  # our answer to another one
    gone: str = _GONE  # an error that says so: the environment is lost
    gone_seen: str = ""  # an observation that says so
    repeats: Literal["text", "score"] = "text"

    @property
    def source(self) -> str:
        return _HOME + self.server

    def index(self, task: str) -> int | None:
        """The server's own index of a task; None where there is no such task.

        >>> WEBSHOP.index("webshop/17"), WEBSHOP.index("webshop/017"), WEBSHOP.index("17")
        (17, None, None)
        """
        match = re.fullmatch(rf"{self.server}/(0|[1-9][0-9]{{0,6}})", task)
        return int(match[1]) if match and int(match[1]) < self.total else None

    def sent_line(self, action: str) -> str:
        """An action as one printable line, not endless, under the name that the server knows."""
        start = re.sub(self.ignored, "", action) if self.ignored else action
        line = printable_line(start[:LONGEST_ACTION])
        return self.renamed.get(line, line)

    def refusal(self, sent_line: str) -> str:
        """Why an action is not sent; "" where it is.

        >>> WEBSHOP.refusal("click[buy now]"), WEBSHOP.refusal("buy it")[:17]
        ('', 'Nothing was done:')
        """
        if not sent_line:
            return "Nothing was done: the action is empty."
        well_formed = not self.grammar or re.fullmatch(self.grammar, sent_line)
        return "" if well_formed else self.usage


def _across(indices: range, every: int, *, of: Sequence[int]) -> tuple[int, ...]:
    return tuple(i for i in indices if i % every in of)


# AgentGym-RL's two lists: the second is these ranges, without the first and without four more.
_WEBARENA_TEST = (
    *(4, 6, 22, 23, 24, 27, 28, 29, 36, 60, 65, 67, 74, 95, 108, 110, 115, 122, 123, 128, 158),
    *(165, 168, 203, 214, 215, 222, 228, 238, 239, 247, 251, 255, 264, 278, 280, 300, 318, 328),
    *(365, 378, 381, 386, 387, 526, 535, 537, 598, 680, 763),
)
_WEBARENA_TRAIN = tuple(
    i
    for first, last in ((0, 388), (424, 430), (676, 679), (737, 741), (757, 767), (784, 788))
    for i in range(first, last + 1)
    if i not in {*_WEBARENA_TEST, 8, 57, 346, 429}
)

# Its prompts (which recipes are shown besides) repeat while the server runs, and after a restart
# only under the same PYTHONHASHSEED.
TEXTCRAFT = Profile(
    server="textcraft",
    hello="This is environment TextCraft.",
    instruction="You craft items, by the commands that are given.\n" + _FORMAT + "get [count] "
    "[item] | craft [count] [item] using [count] [item], ... | inventory\n"
    "Only items without a crafting command can be got. Where a command asks for a kind of item "
    "(planks), any item of that kind will do (oak planks).",
    licence="MIT; recipe data (c) Mojang, not redistributed",
    total=544,
    version=2,
    ignored=r"[^A-Za-z0-9, ]+",
    renamed={"look": "inventory"},
    warm_start=range(0, 544, 5),
    train=_across(range(544), 5, of=(1, 2, 3)),
    test=range(4, 544, 5),
)
SCIWORLD = Profile(
    server="sciworld",
    hello="This is environment ScienceWorld.",
    instruction="You do experiments in a small house, to finish the task that is given.\n"
    + _FORMAT
    + "open|close|activate|deactivate|read|eat|flush|mix|pick up|put down|disconnect [thing] | "
    "look around | look at|in [thing] | move|pour|dunk [thing] to|into|into [thing] | "
    "use [thing] on [thing] | connect [thing] to [thing] | go to [place] | focus on [thing] | "
    "wait1 | wait | inventory | task\n"
    "To focus on a wrong thing ends all. A numbered question is answered with its number.",
    licence="Apache-2.0",
    total=4639,
    warm_start=range(0, 4639, 10),
    train=_across(range(4639), 10, of=(1, 2, 3, 4, 5, 6)),
    test=_across(range(4639), 10, of=(7, 8, 9)),
    opening=("task_description", "observation"),
    reward="score",
    full=100.0,
    reads=Grammar(whole=True),  # a reply without a label is an action
    cumulative=True,
    repeats="score",  # its texts differ a little from reset to reset
)
# Where a product's price is a range, each environment draws one at its creation: the price limit in
# such a goal may differ between two of them, and a replay in another one is then a fault.
WEBSHOP = Profile(
    server="webshop",
    hello="ok",
    instruction="You shop: find what is asked for, choose its options, and buy it.\n"
    + _FORMAT
    + "search[keywords] | click[value]\n"
    "A value must be one of the available actions. To click `buy now` ends it: the nearer the "
    "product, its options and its price are to what was asked for, the better.",
    licence="MIT; product texts (c) their sellers",
    total=6910,  # of the thousand products that the server loads
    warm_start=range(500, 1500),  # WebShop's own splits; AgentGym's lists are strewn over all
    train=range(1500, 6910),
    test=range(500),
    id_key="env_idx",
    task_key="session_id",
    observation="state",
    choices="/available_actions",
    reads=Grammar(pattern=r"(?im)^[^\w\n]*((?:search|click)\[[^\]\n]*\S[^\]\n]*\])[^\w\n]*$"),
    grammar=r"(search|click)\[.*\S.*\]",
    usage="Nothing was done: an action is search[keywords], or click[value] with a value of the "
    "available actions.",
)
BABYAI = Profile(
    server="babyai",
    hello="This is environment BabyAI.",
    instruction="You walk through rooms, and see a few steps ahead, to reach the goal that is "
    "given.\n" + _FORMAT + "turn left | turn right | move forward | go to [object] [number] | "
    "pick up [object] [number] | drop | toggle | go through [door] [number] | "
    "toggle and go through [door] [number] | check available actions\n"
    "A locked door needs the key of its colour.",
    licence="Apache-2.0",
    reads=Grammar(whole=True),
    total=1000,  # 40 levels, and a seed for each 40
    warm_start=range(200),
    train=range(200, 800),
    test=range(800, 1000),
)
ALFWORLD = Profile(
    server="alfworld",
    hello="This is environment AlfWorld.",
    instruction="You do a household task with your own hands.\n" + _FORMAT + "one of the available "
    "actions, word for word\n`Nothing happens` means that the action could not be done.",
    licence="MIT",
    total=2620,
    warm_start=range(0, 2420, 5),
    train=_across(range(2420), 5, of=(1, 2, 3, 4)),
    test=range(2420, 2620),
    task_key="game",
    reset={"world_type": "Text"},
    choices="available_actions",
)
SEARCHQA = Profile(
    server="searchqa",
    hello="ok",
    instruction="You answer a question, and may search an encyclopedia before.\n"
    + _FORMAT
    + "<search>keywords</search> | <answer>the answer alone, in a few words</answer>\n"
    "After a wrong answer you may try again.",
    licence="unknown; questions of NQ, HotpotQA and others, passages of Wikipedia",
    total=221_328,
    warm_start=range(51_713, 221_328, 10),
    train=_across(range(51_713, 221_328), 10, of=(0, 1, 2, 4, 5, 6, 7, 8, 9)),
    test=range(51_713),
    id_key="env_idx",
    create={"id": 0},
    task_key="id",
    reads=Grammar(
        pattern=r"(?is)(?P<action><(search|answer)>[^<]*\S[^<]*</\2>)",
        ends=(*DEFAULT.ends, "information"),
    ),
    grammar=r".*<(search|answer)>.*\S.*</\1>.*",
    usage="Nothing was done: an action is <search>keywords</search> or <answer>answer</answer>.",
)
SQLGYM = Profile(
    server="sqlgym",
    hello="ok",
    instruction="You answer a question about an SQLite database with one statement, in one line; "
    "its result is the answer, and ends it.\n" + _FORMAT + "SELECT ...",
    licence="CC-BY-SA-4.0",
    total=10_962,
    warm_start=range(0, 9428, 10),  # of BIRD's training set; its development set is the test
    train=_across(range(9428), 10, of=range(1, 10)),
    test=range(9428, 10_962),
    id_key="env_idx",
    task_key="item_id",
    observation="state",
    reads=Grammar(
        pattern=r"(?is)```(?:sqlite|sql)?\s*((?!```)\S.*?)\s*```",
        longest=LONGEST_ACTION,
    ),
    close=None,
    at_most=8,  # then it hands out those again that are in use
)
WEBARENA = Profile(
    server="webarena",
    hello="ok",
    instruction="You work in a web browser, and see the page as a tree of numbered elements.\n"
    + _FORMAT
    + "click [id] | type [id] [text] [1 to press enter, 0 not to] | hover [id] | press [keys] | "
    "scroll [down] | scroll [up] | new_tab | tab_focus [number] | close_tab | goto [url] | "
    "go_back | go_forward | stop [answer]\n"
    "`stop` ends it, with the answer, if one was asked for, or N/A if it cannot be done.",
    licence="Apache-2.0; pages under their own terms",
    total=812,
    warm_start=_WEBARENA_TRAIN[::6],
    train=tuple(i for place, i in enumerate(_WEBARENA_TRAIN) if place % 6),
    test=_WEBARENA_TEST,
    id_key="env_idx",
    task_key="idx",
    reset={"seed": 0},
    opening=("/observation",),  # reset's own answer lacks what is to be done
    ended="terminated",
    truncated="truncated",
    sent="```{}```",
    reads=Grammar(pattern=r"```(?:\w*\n)?\s*([^`\s][^`]*?)\s*```"),
    at_most=1,  # its episodes share one state
    gone_seen=r"'?\d+'?",  # it shows every error as a page
    repeats="score",
)
PROFILES = {
    profile.server: profile
    for profile in (
        *(TEXTCRAFT, SCIWORLD, WEBSHOP, BABYAI),
        *(ALFWORLD, SEARCHQA, SQLGYM, WEBARENA),
    )
}
