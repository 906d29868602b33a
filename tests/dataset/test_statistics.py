"""Statistics: the same for the same rows, small for any number of them, and comparable."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from agent_r.algorithm.rows import Row
from agent_r.dataset.statistics import Statistics, drift, total_variation


def message(role: str, content: str, train: bool = False) -> Row:
    return {"role": role, "content": content, "train": train, "weight": int(train)}


def revision(name: str, **columns: Any) -> Row:
    """An `sft` row of a revision: one bad reply, a signal, a good end."""
    row: Row = {
        "id": name,
        "kind": "revision",
        "env": "toy",
        "task": "reach",
        "task_digest": "d1",
        "iteration": 1,
        "actor": "small",
        "messages": [
            message("user", "Reach the end."),
            message("assistant", "left"),
            message("user", "a wall"),
            message("assistant", "that was wrong: right", train=True),
            message("user", "a door"),
            message("assistant", "open", train=True),
        ],
        "final_observation": "done",
        "parts": ["bad", "signal", "good"],
        "reward": 1.0,
        "reward_bad": 0.254,
        "reward_good": 1.0,
        "error_step": 0,
        "fork_step": 0,
        "steps": 3,
        "localiser": "actor",
        "signal_source": "critique",
        "agrees_with_value": None,
        "verified": True,
    }
    return row | columns


def good(name: str, **columns: Any) -> Row:
    nothing = dict.fromkeys(
        "reward_bad reward_good error_step fork_step localiser signal_source".split()
    )
    return revision(name, kind="good", parts=["good"] * 3) | nothing | columns


def rows() -> list[tuple[str, Row]]:
    return [
        ("sft", revision("r1")),
        ("sft", revision("r2", agrees_with_value=True, error_step=2, task_digest="d2")),
        ("sft", revision("r3", agrees_with_value=False, verified=False, iteration=2)),
        ("sft", good("g1", actor="other")),
        ("preference", {"env": "toy"}),
        ("critique", {"verdict": "Bad", "agrees_with_value": True}),
        ("critique", {"verdict": "Good", "agrees_with_value": False}),
        ("trees", {"env": "toy", "task": "other", "depth": 3}),
    ]


def counted(pairs: list[tuple[str, Row]]) -> dict[str, Any]:
    statistics = Statistics()
    for config, row in pairs:
        statistics.add(config, row)
    return statistics.value()


def test_the_order_of_the_rows_does_not_matter() -> None:
    first = json.dumps(counted(rows()))
    for seed in range(5):
        shuffled = rows()
        random.Random(seed).shuffle(shuffled)
        assert json.dumps(counted(shuffled)) == first


def test_every_column_of_interest_is_counted() -> None:
    value = counted(rows())
    assert value["rows"] == {"critique": 2, "preference": 1, "sft": 4, "trees": 1}
    assert value["counts"]["kind"] == {"good": 1, "revision": 3}
    assert value["counts"]["actor"] == {"other": 1, "small": 3}
    assert value["crossed"]["env_kind"] == {"toy": {"good": 1, "revision": 3}}
    assert value["crossed"]["iteration_kind"]["2"] == {"revision": 1}
    assert value["crossed"]["critique_verdict_agrees"]["Bad"] == {"true": 1}
    assert value["counts"]["preference_env"] == {"toy": 1}
    assert value["histograms"]["trees_depth"] == {"3": 1}
    assert value["histograms"]["reward_bad"] == {"0.25": 3}
    assert value["histograms"]["trained_replies"] == {"2": 4}
    assert (value["tasks"], value["tasks_revised"]) == (3, 2)


def test_what_only_revisions_have_is_counted_of_revisions_alone() -> None:
    value = counted(rows())
    assert value["counts"]["agrees_with_value"] == {"false": 1, "true": 1, "unknown": 1}
    assert value["counts"]["verified"] == {"false": 1, "true": 2}
    assert value["counts"]["localiser"] == {"actor": 3}
    errors = [revision("r1", error_kind="dead end", depth=2), revision("r2", depth=2), good("g")]
    assert counted([("sft", row) for row in errors])["crossed"]["error_kind_depth"] == {
        "dead end": {"2": 1},
        "not proved": {"2": 1},
    }
    assert value["histograms"]["error_step"] == {"0": 2, "2": 1}


def test_a_million_rewards_take_the_room_of_a_hundred() -> None:
    many = [("sft", revision(f"r{i}", reward=i / 20_000)) for i in range(20_000)]
    assert len(json.dumps(counted(many))) < 8_000


def test_numbers_are_in_their_own_order() -> None:
    steps = [("sft", revision(f"r{n}", error_step=n)) for n in (10, 9, 100)]
    assert list(counted(steps)["histograms"]["error_step"]) == ["9", "10", "100"]


def test_a_reward_that_is_no_number_is_in_no_bin() -> None:
    value = counted([("sft", revision("r", reward=float("nan"), reward_bad=-0.0))])
    assert "reward" not in value["histograms"]
    assert value["histograms"]["reward_bad"] == {"0.00": 1}


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        ([revision("b"), revision("a")], "a"),
        ([revision("a"), revision("b", agrees_with_value=True)], "b"),
        ([revision("a", verified=False, agrees_with_value=True), revision("b")], "b"),
        ([revision("a", parts=["bad", "bad", "signal"]), revision("b")], "b"),
        ([revision("a", messages=[message("user", "long" * 99)]), revision("b")], "b"),
        ([good("a"), revision("b")], "b"),
    ],
)
def test_the_example_is_executed_confirmed_whole_and_short(rows: list[Row], chosen: str) -> None:
    assert counted([("sft", row) for row in rows])["example"]["id"] == chosen


def test_an_example_is_never_long_and_there_may_be_none() -> None:
    row = revision("r", messages=[message("assistant", "x" * 10**6)], final_observation="y" * 10**6)
    assert len(json.dumps(counted([("sft", row)])["example"])) < 5_000
    assert counted([("sft", good("g"))])["example"] is None


def test_rows_of_an_older_schema_are_counted_as_far_as_they_go() -> None:
    value = counted([("sft", {"id": "r", "kind": "revision"}), ("critique", {}), ("trees", {})])
    assert value["counts"]["kind"] == {"revision": 1}
    assert value["counts"]["agrees_with_value"] == {"unknown": 1}


def test_a_version_has_not_drifted_from_itself() -> None:
    value = counted(rows())
    assert {d.distance for d in drift(value, value)} == {0.0}


def test_drift_is_sorted_by_size_and_tells_the_means() -> None:
    before = counted([("sft", revision("r1")), ("sft", revision("r2"))])
    after = counted([("sft", revision("r1", error_step=4)), ("sft", revision("r2"))])
    found = drift(before, after)
    assert [d.distance for d in found] == sorted((d.distance for d in found), reverse=True)
    assert (found[0].name, found[0].distance) == ("error_step", 0.5)
    assert (found[0].mean_before, found[0].mean_after) == (0.0, 2.0)
    assert all(d.mean_before is None for d in found if d.name == "kind")


def test_drift_leaves_out_what_one_version_does_not_tell() -> None:
    full = counted(rows())
    assert drift(full, {}) == []
    assert drift(full, {"counts": {"kind": {}}}) == []
    assert [d.name for d in drift(full, {"counts": {"kind": {"good": 1}}})] == ["kind"]


def test_distributions_with_nothing_in_common_are_at_distance_one() -> None:
    assert total_variation({"a": 3}, {"b": 7}) == 1.0
