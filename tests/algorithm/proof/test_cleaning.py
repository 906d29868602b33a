"""A revision trains nothing that is not needed, and is silent about no other error."""

from __future__ import annotations

import pytest

from agent_r.algorithm.proof.cleaning import actions_of, clean, error_kind
from agent_r.algorithm.proof.effects import Effect, Prover
from agent_r.algorithm.proof.rehearsal import Rehearsal
from agent_r.algorithm.revision import Drop, Splice
from agent_r.algorithm.trajectory import Step
from agent_r.environment import Environment
from agent_r.settings import TextCraftEnv
from agent_r.testing import Corridor, ForkableCorridor
from env_adapters.textcraft.environment import TextCraft

HANDLE = [
    "get 1 ash log",
    "craft 4 ash boards using 1 ash log",
    "craft 4 ash handle using 1 ash boards",
]


def steps(*actions: str) -> tuple[Step, ...]:
    return tuple(Step(f"Action: {action}", action, "") for action in actions)


async def cleaned(
    splice: Splice, *, world: Environment | None = None, task: str = "ash handle"
) -> Splice | Drop:
    rehearsal = Rehearsal(world or TextCraft(TextCraftEnv()), task)
    way = splice.initial + splice.tail
    return await clean(Prover(rehearsal, [splice.tail, way], 1.0), splice, alpha=1.0)


def shape(splice: Splice | Drop) -> tuple[list[str], list[str], list[str]]:
    assert isinstance(splice, Splice)
    return actions_of(splice.initial), actions_of(splice.bad), actions_of(splice.tail)


async def test_the_tail_begins_with_a_step_that_is_needed() -> None:
    tail = steps("get 1 ash boards", "inventory", *HANDLE)
    splice = Splice((), steps("get 1 ash handle"), tail)
    assert shape(await cleaned(splice)) == ([], ["get 1 ash handle"], HANDLE)


async def test_what_the_error_already_brought_is_not_trained_again() -> None:
    splice = Splice((), steps("get 1 ash log", "get 1 elm log"), steps(*HANDLE))
    assert shape(await cleaned(splice))[2] == HANDLE[1:]


async def test_earlier_errors_that_the_row_does_not_speak_of_are_left_out() -> None:
    initial = steps("get 1 ash boards", "get 1 ash log", "get 1 elm log")
    splice = Splice(initial, steps("inventory", "get 1 ash handle"), steps(*HANDLE[1:]))
    assert shape(await cleaned(splice)) == (["get 1 ash log"], ["get 1 ash handle"], HANDLE[1:])


async def test_a_step_that_makes_the_error_one_stays() -> None:
    twice = "craft 4 ash handle using 1 ash boards"
    initial = steps(*HANDLE[:2])
    splice = Splice(initial, steps("get 1 elm log"), steps(twice))
    assert shape(await cleaned(splice))[0] == HANDLE[:2]


async def test_a_splice_that_cannot_do_without_an_earlier_error_is_dropped() -> None:
    splice = Splice(steps("get 1 elm log"), steps("inventory"), steps(*HANDLE))
    assert await cleaned(splice) is Drop.EARLIER_ERROR  # it would show an elm log


async def test_where_no_way_on_works_the_splice_is_dropped() -> None:
    splice = Splice(steps("take key"), steps("drop key"), steps("east", "push", "push"))
    assert await cleaned(splice, world=Corridor(), task="corridor 1") is Drop.LOW_REWARD
    ended = Splice(steps("take key"), steps("jump"), steps("east", "push", "push"))
    assert await cleaned(ended, world=Corridor(), task="corridor 1") is Drop.ENDED_EARLY


async def test_what_an_error_undid_is_done_again_by_a_whole_good_way() -> None:
    splice = Splice(steps("take key", "east"), steps("west"), steps("push", "push"))
    found = await cleaned(splice, world=ForkableCorridor(), task="corridor 1")
    assert shape(found) == (["take key", "east"], ["west"], ["east", "push", "push"])


async def test_the_tail_needs_no_step_that_only_an_earlier_error_made_needed() -> None:
    initial, tail = steps("east", "push"), steps("west", "take key", "east", "push", "push")
    splice = Splice(initial, steps("push"), tail)
    found = await cleaned(splice, world=ForkableCorridor(), task="corridor 1")
    assert shape(found)[2][0] == "take key"


@pytest.mark.parametrize(
    ("effect", "error", "tail", "kind"),
    [
        (Effect.IDLE, "get 9 ash boards", "get 1 ash log", "no effect"),
        (Effect.IDLE, "Craft 1 bow", "craft 1 bow", "too early"),
        (Effect.IDLE, "craft 3 bow", "craft 1 bow", "wrong count"),
        (Effect.UNNEEDED, "get 3 ash log", "get 1 ash log", "wrong count"),
        (Effect.UNNEEDED, "get 3 elm log", "get 1 ash log", "silent waste"),
        (Effect.IDLE, "look", "get 1 ash log", "repeated"),
        (Effect.UNNEEDED, "go to desk 2", "go to desk 1", "silent waste"),
        (Effect.UNNEEDED, "click[b07c1]", "click[b11c9]", "silent waste"),
        (Effect.COSTLY, "get 3 elm log", "get 1 ash log", "setback"),
        (Effect.DEAD_END, "get 3 elm log", "get 1 ash log", "dead end"),
        (Effect.PROGRESS, "get 3 elm log", "get 1 ash log", ""),
        (None, "get 3 elm log", "get 1 ash log", ""),
    ],
)
def test_an_error_has_a_kind(effect: Effect | None, error: str, tail: str, kind: str) -> None:
    assert error_kind(effect, Splice(steps("look"), steps(error), steps(tail))) == kind
