"""Replies that cannot be used become no step; where all are lost, the episode ends as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from agent_r.actor import Completion, Message, SamplingParams, Usage
from agent_r.algorithm.episode import Opening, play
from agent_r.algorithm.pairing import pair_trajectories, why_no_pair
from agent_r.algorithm.sampling import sample
from agent_r.algorithm.search import search
from agent_r.algorithm.trajectory import StopReason
from agent_r.reading.reply import CONTEXT_FULL, DEFAULT, Outcome
from agent_r.settings import RevisionConfig, SearchConfig
from agent_r.testing import Corridor

OPENING = [Message("system", "Play."), Message("user", "A door.")]
GOOD = Completion("Thought: on.\nAction: east")
CUT = Completion("Thought: I go ea", "length")
LOST = {
    StopReason.CUT: CUT,
    StopReason.FILTERED: Completion("", "content_filter"),
    StopReason.FAILED: Completion("Thought: I g", "error"),
    StopReason.NO_REPLY: Completion("  ", "stop"),
}


class Given:
    """Gives these replies, request by request."""

    def __init__(self, *rounds: Sequence[Completion]) -> None:
        self._rounds, self.params = list(rounds), list[SamplingParams]()
        self.usage = Usage()
        self.name = "given"

    async def complete(
        self, messages: Sequence[Message], *, n: int, params: SamplingParams
    ) -> list[Completion]:
        self.params.append(params)
        return list(self._rounds.pop(0) if len(self._rounds) > 1 else self._rounds[0])[:n]


async def test_what_is_usable_is_taken_and_all_is_told() -> None:
    actor = Given([GOOD, CUT, Completion("Hm.")])
    got = await sample(actor, OPENING, n=3, params=SamplingParams(seed=1), grammar=DEFAULT)
    assert [r.outcome for r in got.all] == [Outcome.ACTION, Outcome.CUT, Outcome.NO_ACTION]
    assert [r.text for r in got.usable] == [GOOD.text, "Hm."]
    assert (got.stop, got.calls) == (None, 1)


async def test_where_all_are_cut_they_are_asked_for_once_more_with_another_seed() -> None:
    actor = Given([CUT, CUT], [GOOD, CUT])
    got = await sample(actor, OPENING, n=2, params=SamplingParams(seed=1), grammar=DEFAULT)
    assert [r.text for r in got.usable] == [GOOD.text]
    assert (got.calls, len(got.all), len({p.seed for p in actor.params})) == (2, 4, 2)


async def test_without_chance_a_second_request_would_be_the_first() -> None:
    greedy = SamplingParams(temperature=0.0, seed=1)
    got = await sample(Given([CUT]), OPENING, n=1, params=greedy, grammar=DEFAULT)
    assert (got.calls, got.stop) == (1, StopReason.CUT)


async def test_replies_that_the_context_ended_are_an_overflow_and_are_not_asked_for_again() -> None:
    actor = Given([replace(CUT, finish_reason=CONTEXT_FULL)])
    got = await sample(actor, OPENING, n=2, params=SamplingParams(seed=1), grammar=DEFAULT)
    assert (got.calls, got.stop) == (1, StopReason.CONTEXT_OVERFLOW)
    assert [reading.outcome for reading in got.all] == [Outcome.CUT]


@pytest.mark.parametrize("stop", LOST, ids=lambda stop: stop.value)
async def test_an_episode_whose_replies_are_lost_ends_there_as_data(stop: StopReason) -> None:
    actor = Given([GOOD], [LOST[stop]])
    episode = await play(
        Corridor(), actor, Opening("corridor 1"), max_steps=5, params=SamplingParams(seed=1)
    )
    assert (episode.stop, [s.action for s in episode.steps]) == (stop, ["east"])


@pytest.mark.parametrize("stop", LOST, ids=lambda stop: stop.value)
async def test_what_a_server_ended_is_no_error_of_the_actors(stop: StopReason) -> None:
    """One way opens the door; on the other the server ends the episode: that is not a bad one."""
    ways = {
        2: [Completion("Action: take key"), Completion("Action: west")],
        4: [Completion("Action: push"), Completion("Action: drop key")],
    }

    class Ending(Given):
        async def complete(
            self, messages: Sequence[Message], *, n: int, params: SamplingParams
        ) -> list[Completion]:
            strayed = any("west" in m.content for m in messages if m.role == "assistant")
            if strayed:
                return [LOST[stop]] * n
            return ways.get(len(messages), [Completion("Action: push")])[:n]

    tree = await search(
        Corridor(),
        Ending([]),
        "corridor 0",
        config=SearchConfig(simulations=8, candidates=2, max_depth=4),
        seed=0,
    )
    ended = [i for i in tree.leaves() if tree.nodes[i].stop is stop]
    assert len(ended) == 1 and tree.nodes[ended[0]].visits == 0
    assert tree.replies[LOST_OUTCOMES[stop]] > 0
    pairs = pair_trajectories(tree, RevisionConfig())
    assert pairs and not {pair.bad for pair in pairs} & set(ended)
    alone = replace(tree, nodes=[tree.nodes[0], *(tree.nodes[i] for i in ended)])
    assert why_no_pair(alone, RevisionConfig()) == "no episode came to its end"


LOST_OUTCOMES = {
    StopReason.CUT: "cut",
    StopReason.FILTERED: "filtered",
    StopReason.FAILED: "failed",
    StopReason.NO_REPLY: "empty",
}
