"""Rows with a planted fault each, in TextCraft: every measure catches its own."""

from __future__ import annotations

from typing import Any

import pytest

from agent_r.algorithm.prompts import JUDGE, PROVED_SIGNALS, SIGNALS
from agent_r.dataset.audit.auditor import Auditor
from agent_r.dataset.audit.coverage import Threshold
from agent_r.dataset.audit.measures import _TRUE_OF, _fixed_thought
from agent_r.dataset.audit.steps import StepKind, Walker
from agent_r.environment import World
from agent_r.settings import TextCraftEnv
from env_adapters import world_of

GOAL = "ash stool"  # 2 boards and 3 handles, all of one log: get, craft, craft, craft
LOG = "get 1 ash log"
BOARDS = "craft 4 ash boards using 1 ash log"
HANDLES = "craft 4 ash handle using 1 ash boards"
STOOL = "craft 1 ash stool using 2 ash boards, 3 ash handle"
REFUSED, IDLE, WASTE = "get 1 ash boards", "inventory", "get 1 elm log"
HARM = "craft 4 ash handle using 1 ash boards"  # once more: two boards are left no longer


@pytest.fixture
def world() -> World:
    return world_of(TextCraftEnv())


def reply(action: str, thought: str = "Go on.") -> str:
    return f"Thought: {thought}\nAction: {action}"


def turns(actions: list[str], trained: set[int], thoughts: dict[int, str]) -> list[dict[str, Any]]:
    """A conversation that ends with a reply; what the world answered is not read by an audit."""
    messages: list[dict[str, Any]] = [
        message("system", "…"),
        message("user", f"Goal: craft {GOAL}."),
    ]
    for at, action in enumerate(actions):
        text = reply(action, thoughts.get(at, "Go on."))
        messages += [message("assistant", text, train=at in trained), message("user", "…")]
    return messages[:-1]


def message(role: str, content: str, *, train: bool = False) -> dict[str, Any]:
    return {"role": role, "content": content, "train": train}


class Audited:
    """An auditor of one world, and rows of it."""

    def __init__(self, world: World) -> None:
        info = world.environment().info
        self.columns = {"env": info.name, "env_version": info.version, "task": GOAL}
        self.columns |= {"iteration": 1, "depth": 3, "tree": "tree-1"}
        self.auditor = Auditor({(info.name, info.version): world}, Threshold.of({}))
        self.rows = 0

    async def add(self, config: str, **columns: Any) -> None:
        self.rows += 1
        await self.auditor.add(config, {"id": f"row-{self.rows}", **self.columns, **columns})

    async def revision(
        self, initial: list[str], bad: list[str], good: list[str], sentence: str = "I need sand."
    ) -> None:
        """A revision with its signal in the first step of the good way."""
        whole, start = [*initial, *bad, *good], len(initial) + len(bad)
        await self.add(
            "sft",
            kind="revision",
            messages=turns(whole, set(range(start, len(whole))), {start: sentence}),
            parts=["initial"] * len(initial) + ["bad"] * len(bad) + ["signal"]
            + ["good"] * (len(good) - 1),
            fork_step=len(initial),
            error_step=start - 1,
            localiser="actor",
        )  # fmt: skip

    async def tree(self, *judged: tuple[list[str], str | None, str | None]) -> None:
        """A tree of one path each; its last node has a verdict, and what was proved of it."""
        nodes: list[dict[str, Any]] = [node(None, "", None, None)]
        for actions, verdict, proved in judged:
            parent = 0
            for at, action in enumerate(actions):
                last = at == len(actions) - 1
                nodes.append(
                    node(parent, reply(action), *((verdict, proved) if last else (None, None)))
                )
                parent = len(nodes) - 1
        await self.add("trees", nodes=nodes)

    def share(self, name: str) -> tuple[int, int, int]:
        found = self.auditor.value()["shares"].get(name, {"count": 0, "of": 0, "unknown": 0})
        return found["count"], found["of"], found["unknown"]


Row = dict[str, Any]
EFFECTS = {"Good": "progress", "Bad": "unneeded", None: None}


def node(parent: int | None, response: str, verdict: str | None, proved: str | None) -> Row:
    return {
        "parent": parent, "response": response, "verdict": verdict, "effect": EFFECTS[proved],
        "stop": None, "reward": 0.0,
    }  # fmt: skip


@pytest.fixture
def audited(world: World) -> Audited:
    return Audited(world)


@pytest.mark.parametrize(
    ("actions", "kind"),
    [
        ([LOG], StepKind.NEEDED),
        ([REFUSED], StepKind.REFUSED),
        (["dance"], StepKind.REFUSED),
        ([IDLE], StepKind.IDLE),
        ([WASTE], StepKind.WASTEFUL),
        ([LOG, LOG], StepKind.WASTEFUL),
        ([LOG, BOARDS, HANDLES, HARM], StepKind.WASTEFUL),  # two boards are left for the stool
        ([LOG, BOARDS, HANDLES, HARM, HARM], StepKind.HARMFUL),  # now one is
        (["revise plan"], StepKind.SIGNAL),
        ([LOG, BOARDS, HANDLES, STOOL], StepKind.NEEDED),
    ],
)
async def test_a_step_is_what_it_did_for_the_goal(
    world: World, actions: list[str], kind: StepKind
) -> None:
    assert world.expert is not None
    walker = Walker(world.environment(), world.expert)
    reached = await walker.walk(GOAL, [reply(action) for action in actions])
    assert reached[-1].kind is kind
    assert await walker.walk(GOAL, [reply(action) for action in actions]) == reached


async def test_a_reply_without_an_action_counts_as_refused(world: World) -> None:
    assert world.expert is not None
    walker = Walker(world.environment(), world.expert)
    [state] = await walker.walk(GOAL, ["I do not know."])
    assert state.kind is StepKind.REFUSED


async def test_a_faultless_revision_is_blamed_for_nothing(audited: Audited) -> None:
    await audited.revision([LOG], [WASTE], [BOARDS, HANDLES, STOOL], "I do not need elm log.")
    for name in (
        "error_is_none", "error_is_not_first", "initial_was_refused", "initial_not_needed",
        "correction_refused", "correction_not_needed", "signal_false", "signal_echo",
    ):  # fmt: skip
        assert audited.share(name) == (0, 1, 0), name
    assert audited.share("trained_not_needed") == (0, 3, 0)
    assert audited.auditor.value()["errors"] == {"wasteful": {"3": 1}}
    assert audited.auditor.value()["steps"]["located by actor"] == {"wasteful": 1}
    assert audited.auditor.faults == []


async def test_a_refused_or_useless_correction_is_found(audited: Audited) -> None:
    await audited.revision([LOG], [WASTE], [REFUSED, BOARDS, HANDLES, STOOL])
    await audited.revision([LOG], [REFUSED], [WASTE, BOARDS, HANDLES, STOOL])
    assert audited.share("correction_refused") == (1, 2, 0)
    assert audited.share("correction_not_needed") == (2, 2, 0)
    assert audited.share("trained_refused") == (1, 8, 0)
    assert audited.share("trained_not_needed") == (2, 8, 0)


async def test_an_error_that_is_none_or_not_the_first_is_found(audited: Audited) -> None:
    await audited.revision([], [LOG], [BOARDS, HANDLES, STOOL])
    await audited.revision([LOG], [WASTE, REFUSED], [BOARDS, HANDLES, STOOL])
    assert audited.share("error_is_none") == (1, 2, 0)
    assert audited.share("error_is_not_first") == (1, 2, 0)


async def test_errors_in_the_initial_part_are_found(audited: Audited) -> None:
    await audited.revision([REFUSED, LOG], [WASTE], [BOARDS, HANDLES, STOOL])
    await audited.revision([IDLE, LOG], [WASTE], [BOARDS, HANDLES, STOOL])
    assert audited.share("initial_was_refused") == (1, 2, 0)
    assert audited.share("initial_not_needed") == (2, 2, 0)


@pytest.mark.parametrize(
    ("sentence", "false"),
    [
        ("I do not need elm log.", False),
        ("I need elm log.", True),
        ("I do not need ash log.", True),
        ("I cannot get elm log, I must craft it.", True),
        ("That is not possible here.", True),
        ("I have elm log.", False),
        ("That is not the recipe for elm log.", True),  # nothing was crafted
        ("It is not the right count of elm log.", True),
        ("It only shows what I have.", True),
        ("I do not have the items for ash stool.", False),
        ("I do not have the items for ash boards.", True),
        ("I do not have the items for ash log.", True),
        ("I do not need elm log. I need elm log.", True),
        ("I have elm log. What a day.", False),
        ("The weather is fine.", None),
    ],
)
async def test_a_sentence_is_true_false_or_unknown(
    audited: Audited, sentence: str, false: bool | None
) -> None:
    """The error got an elm log, which the goal does not need; an ash log is there."""
    await audited.revision([LOG], [WASTE], [BOARDS, HANDLES, STOOL], sentence)
    expected = (0, 0, 1) if false is None else (int(false), 1, 0)
    assert audited.share("signal_false") == expected


@pytest.mark.parametrize(
    ("sentence", "elsewhere"),
    [("I do not need elm log.", (0, 1, 0)), ("I cannot get sand, I must craft it.", (1, 1, 0)),
     ("What a day.", (0, 0, 1))],
)  # fmt: skip
async def test_a_sentence_about_another_thing_is_found(
    audited: Audited, sentence: str, elsewhere: tuple[int, int, int]
) -> None:
    await audited.revision([LOG], [WASTE], [BOARDS, HANDLES, STOOL], sentence)
    assert audited.share("signal_elsewhere") == elsewhere


@pytest.mark.parametrize("sentence", ["It did not bring the goal nearer.", "Action: Bad."])
async def test_a_signal_that_repeats_the_judge_is_found(audited: Audited, sentence: str) -> None:
    await audited.revision([LOG], [WASTE], [BOARDS, HANDLES, STOOL], sentence)
    assert audited.share("signal_echo") == (1, 1, 0)


@pytest.mark.parametrize(
    ("chosen", "rejected", "refused", "not_better"),
    [
        (LOG, WASTE, 0, 0),
        (LOG, LOG, 0, 1),
        (WASTE, REFUSED, 0, 1),
        (REFUSED, WASTE, 1, 1),
    ],
)
async def test_a_choice_that_is_no_better_is_found(
    audited: Audited, chosen: str, rejected: str, refused: int, not_better: int
) -> None:
    ways = {"chosen": chosen, "rejected": rejected}
    content = {way: [{"role": "assistant", "content": reply(a)}] for way, a in ways.items()}
    await audited.add("preference", prompt=turns([IDLE], set(), {})[:2], **content)
    assert audited.share("chosen_refused") == (refused, 1, 0)
    assert audited.share("chosen_not_better") == (not_better, 1, 0)


async def test_wrong_verdicts_and_proofs_are_found(audited: Audited) -> None:
    await audited.tree(
        ([REFUSED], "Bad", None),
        ([WASTE], "Good", "Bad"),
        ([IDLE], "Uncertain", None),
        ([LOG], "Bad", "Bad"),
        ([LOG, BOARDS], "Good", "Good"),
        ([LOG, BOARDS, HANDLES, HARM, HARM], "Good", "Good"),
        ([LOG, BOARDS, HANDLES], None, None),
    )
    assert audited.share("bad_was_refused") == (1, 2, 0)
    assert audited.share("bad_is_wrong") == (1, 2, 0)
    assert audited.share("good_is_wrong") == (2, 3, 0)
    assert audited.share("waste_judged_bad") == (0, 2, 0)
    assert audited.share("waste_labelled_bad") == (1, 2, 0)
    assert audited.share("harm_judged_bad") == (0, 1, 0)
    assert audited.share("proof_is_wrong") == (2, 4, 0)


@pytest.mark.parametrize(
    ("reason", "verdict", "found"),
    [
        ("So it is.", "Good", [(1, 1, 0), (0, 0, 1), (0, 0, 1)]),
        ("I cannot get oak boards, I must craft it.", "Bad", [(0, 1, 0), (0, 1, 0), (1, 1, 0)]),
        ("I need sand.", "Bad", [(0, 1, 0), (1, 1, 0), (1, 1, 0)]),
    ],
)
async def test_a_wrong_verdict_and_a_wrong_reason_that_are_trained_are_found(
    audited: Audited, reason: str, verdict: str, found: list[tuple[int, int, int]]
) -> None:
    judged = message("assistant", f"{reason}\nJudgement: {verdict}")
    asked = [*turns([WASTE], set(), {}), message("user", JUDGE), judged]
    await audited.add("critique", messages=asked, verdict=verdict)
    names = ("trained_verdict_is_wrong", "reason_false", "reason_elsewhere")
    assert [audited.share(name) for name in names] == found


async def test_a_broken_row_is_a_fault_and_ends_nothing(audited: Audited) -> None:
    await audited.add("sft", kind="good", messages=turns([LOG], {0}, {}), task="no such goal")
    await audited.revision([LOG], [WASTE], [BOARDS, HANDLES, STOOL])
    assert len(audited.auditor.faults) == 1
    assert audited.share("error_is_none") == (0, 1, 0)
    assert audited.auditor.value()["faults"] == 1


def test_each_thought_about_a_proved_error_has_what_makes_it_true() -> None:
    assert set(_TRUE_OF) == set(PROVED_SIGNALS)
    [[lost, *_], [waste, *_]] = PROVED_SIGNALS["setback"], PROVED_SIGNALS["silent waste"]
    assert _fixed_thought(f"Thought: {lost} I get sand.", StepKind.HARMFUL) == [True]
    assert _fixed_thought(f"Thought: {waste}", StepKind.HARMFUL) == [False]
    assert _fixed_thought(f"Thought: {SIGNALS[0]}", StepKind.NEEDED) == [False]
    assert _fixed_thought("Thought: I need sand.", StepKind.NEEDED) == []
