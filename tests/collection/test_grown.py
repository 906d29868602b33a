"""What a run of trees tells a person beside its numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

from agent_r.collection.cost_estimate import Cost
from agent_r.endpoint.limiter import ConcurrencyLimiter
from agent_r.settings import Config
from agent_r.testing import ScriptedActor
from flows.cli.cost_forecast import lines as forecast
from flows.grow import GrowResult, slots_used
from flows.workers.sharing import ALONE

WELL: dict[str, Any] = {
    "actor": "tiny",
    "iteration": 1,
    "trees": 10,
    "finished": 10,
    "failed": {},
    "faults": {},
    "unclosed": {},
    "stopped": "",
    "slots_used": 0.9,
    "spent": {"prompt_tokens": 0.0, "completion_tokens": 0.0, "seconds": 600.0},
    "usage": {},
    "seconds": 600.0,
}


def notes(**other: Any) -> list[str]:
    return GrowResult.model_validate(WELL | other).notes()


def test_a_run_that_went_well_says_nothing() -> None:
    assert notes() == []


def test_what_failed_what_was_tried_again_and_what_stopped_the_run_is_said() -> None:
    said = notes(failed={"EndpointUnavailable": 2}, faults={"HTTP 429": 7}, stopped="budget.x = 1")
    assert len(said) == 3
    for words in ("2 trees failed (2 EndpointUnavailable)", "7 × HTTP 429", "budget.x = 1"):
        assert any(words in note for note in said)


def test_trees_beyond_those_that_were_planned_are_said() -> None:
    assert notes(second_looks=3) == [
        "3 trees more are second looks at tasks without a revision (budget.second_looks)"
    ]


def test_a_forecast_says_where_the_rest_of_a_limit_goes() -> None:
    cost = [Cost(requests=10, prompt_tokens=100, completion_tokens=10, revisions=1)] * 2
    limit: dict[str, int] = {"tokens": 10**6}
    for budget, said in (({}, False), (limit, True), (limit | {"second_looks": 0}, False)):
        lines = forecast(Config.model_validate({"budget": budget}), cost, 20, None)
        assert ("second looks" in lines[-1]) == said


def test_idle_slots_are_said_unless_the_run_was_short() -> None:
    assert "31% of the endpoint's slots" in notes(slots_used=0.31)[0]
    assert notes(slots_used=0.31, spent=WELL["spent"] | {"seconds": 3.0}) == []


def test_slots_are_used_by_requests_in_flight() -> None:
    class Endpoint(ScriptedActor):
        slots = ConcurrencyLimiter(8)
        busy_s = 20.0
        refused: ClassVar[list[str]] = []
        faults: ClassVar[Counter[str]] = Counter()

    assert slots_used(Endpoint(lambda messages, k: ""), 10.0, ALONE) == 0.25
    assert slots_used(ScriptedActor(lambda messages, k: ""), 10.0, ALONE) == 1.0
