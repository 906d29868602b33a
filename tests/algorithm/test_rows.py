"""Rows: their schema, their ids, and what they train on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent_r.actor import Message
from agent_r.algorithm.critique import FirstError
from agent_r.algorithm.pairing import TrajectoryPair
from agent_r.algorithm.proof.effects import Effect
from agent_r.algorithm.proof.preference import at_the_fork
from agent_r.algorithm.revision import Part, Revision, Turn
from agent_r.algorithm.rows import (
    Origin,
    Row,
    critique_rows,
    good_row,
    name_row,
    preference_row,
    prompt_completion_rows,
    revision_row,
    to_messages,
    tree_row,
)
from agent_r.algorithm.schema import SCHEMAS, Type
from agent_r.algorithm.trajectory import Step
from agent_r.dataset.fingerprint import Fingerprint, canonical, near_duplicate_key
from agent_r.environment import EnvInfo, TaskSpec
from tests.support.made import Made
from tests.support.planting import judged, leaf, plant

TREE = plant(("a/bad", 0.0), ("a/good", 1.0))
INFO = EnvInfo("corridor", "1", "rules", "Apache-2.0", "here")
TASK = TaskSpec("corridor 1", "train", 1)
ORIGIN = Origin.of(INFO, TASK, TREE, actor="tiny", iteration=2)
CRITIQUES = {2: judged("Bad", "No."), 1: judged(None)}


def turn(action: str, part: Part) -> Turn:
    return Turn(Step(f"Action: {action}", action, f"seen {action}"), part)


PAIR = TrajectoryPair(leaf(TREE, "a/bad"), leaf(TREE, "a/good"), 1)
REVISION = Revision(
    PAIR,
    FirstError(1, "actor", True),
    (turn("a", Part.INITIAL), turn("bad", Part.BAD), turn("wait", Part.SIGNAL),
     turn("good", Part.GOOD)),
    1.0,
    True,
    "critique",
    "wrong count",
    at_the_fork(TREE, PAIR, margin=0.1),
)  # fmt: skip

EFFECTS = {leaf(TREE, "a/bad"): Effect.UNNEEDED}
PYTHON = {"string": str, "int64": int, "float64": float, "bool": bool}


def fits(value: Any, kind: Type) -> bool:
    """Is a value just what the schema says, down to the last key?"""
    if isinstance(kind, list):
        return isinstance(value, list) and all(fits(one, kind[0]) for one in value)
    if isinstance(kind, dict):
        return value.keys() == kind.keys() and all(fits(value[k], kind[k]) for k in kind)
    return value is None or type(value) is PYTHON[kind]


def misfits(row: Row, config: str) -> list[str]:
    columns = SCHEMAS[config]
    assert list(row) == list(columns), config
    return [name for name, (kind, _) in columns.items() if not fits(row[name], kind)]


def test_rows_are_their_schema_key_by_key_and_type_by_type() -> None:
    revision = revision_row(ORIGIN, REVISION, CRITIQUES)
    good = good_row(ORIGIN, TREE.trajectory(leaf(TREE, "a/good")))
    assert misfits(revision, "sft") == misfits(good, "sft") == []
    assert misfits(preference_row(ORIGIN, REVISION), "preference") == []
    assert [misfits(r, "critique") for r in critique_rows(ORIGIN, CRITIQUES, EFFECTS)] == [[]]
    assert misfits(tree_row(ORIGIN, CRITIQUES, EFFECTS), "trees") == []
    replies = list(prompt_completion_rows(revision))
    assert [misfits(row, "prompt_completion") for row in replies] == [[], []]


@pytest.mark.parametrize("config", SCHEMAS)
def test_rows_read_back_from_a_dataset_fit_their_schema(made: Made, config: str) -> None:
    rows = made.rows(config)
    assert rows, config
    assert [misfits(row, config) for row in rows] == [[]] * len(rows)
    assert len({row["id"] for row in rows}) == len(rows)


def test_a_revision_trains_the_signal_and_the_good_tail_alone() -> None:
    row = revision_row(ORIGIN, REVISION, CRITIQUES)
    trained = [m["content"] for m in row["messages"] if m["train"]]
    assert trained == ["Action: wait", "Action: good"]
    assert [m["weight"] for m in row["messages"]] == [0, 0, 0, 0, 0, 0, 1, 0, 1]
    assert row["final_observation"] == "seen good"
    assert row["parts"] == ["initial", "bad", "signal", "good"]


def test_a_revision_row_says_where_it_comes_from() -> None:
    row = revision_row(ORIGIN, REVISION, CRITIQUES)
    assert (row["fork_step"], row["error_step"], row["localiser"]) == (1, 1, "actor")
    assert (row["reward_bad"], row["reward_good"], row["reward"]) == (0.0, 1.0, 1.0)
    assert row["judge_text"] == "No.\nJudgement: Bad"
    assert (row["env"], row["task"], row["iteration"]) == ("corridor", "corridor 1", 2)


def test_a_good_row_trains_every_reply_and_no_other_message() -> None:
    row = good_row(ORIGIN, TREE.trajectory(leaf(TREE, "a/good")))
    assert [(m["role"], m["train"]) for m in row["messages"]] == [
        ("system", False),
        ("user", False),
        ("assistant", True),
        ("user", False),
        ("assistant", True),
    ]


def test_flags_fall_on_assistant_messages_alone() -> None:
    messages = [Message("user", "a"), Message("assistant", "b"), Message("assistant", "c")]
    flagged = to_messages(messages, [False, True])
    assert [(m["train"], m["weight"]) for m in flagged] == [(False, 0), (False, 0), (True, 1)]


def test_there_is_one_prompt_completion_row_per_trained_reply(made: Made) -> None:
    for row in [revision_row(ORIGIN, REVISION, CRITIQUES), *made.rows("sft")]:
        replies = list(prompt_completion_rows(row))
        trained = [i for i, message in enumerate(row["messages"]) if message["train"]]
        assert [len(reply["prompt"]) for reply in replies] == trained
        for reply, at in zip(replies, trained, strict=True):
            [completion] = reply["completion"]
            assert completion == {"role": "assistant", "content": row["messages"][at]["content"]}
            assert reply["prompt"][-1]["role"] == "user"


def test_a_preference_is_one_reply_each_way_at_the_fork() -> None:
    row = preference_row(ORIGIN, REVISION)
    assert [m["content"] for m in row["prompt"]][-1] == "seen a"
    assert row["chosen"] == [{"role": "assistant", "content": "Thought: now.\nAction: good"}]
    assert row["rejected"] == [{"role": "assistant", "content": "Thought: now.\nAction: bad"}]
    assert (row["value_chosen"], row["value_rejected"]) == (1.0, 0.0)
    assert preference_row(ORIGIN, replace(REVISION, preference=None)) is None


def test_a_critique_row_trains_the_judgement_alone_and_a_failed_judge_makes_none() -> None:
    [row] = critique_rows(ORIGIN, CRITIQUES, EFFECTS)
    assert [m["content"] for m in row["messages"] if m["train"]] == ["No.\nJudgement: Bad"]
    assert (row["verdict"], row["step"], row["agrees_with_value"]) == ("Bad", 1, True)
    assert (row["proved"], row["proved_by"]) == ("Bad", "replay")


def test_a_judgement_that_replay_contradicts_is_trained_nowhere() -> None:
    needed = dict.fromkeys(EFFECTS, Effect.PROGRESS)
    assert list(critique_rows(ORIGIN, CRITIQUES, needed)) == []
    [unproved] = critique_rows(ORIGIN, CRITIQUES, {})
    assert (unproved["proved"], unproved["proved_by"]) == (None, None)


def test_a_tree_row_holds_every_node_and_a_failed_judge_is_no_verdict() -> None:
    row = tree_row(ORIGIN, CRITIQUES, EFFECTS)
    assert [node["parent"] for node in row["nodes"]] == [None, 0, 1, 1]
    assert [node["verdict"] for node in row["nodes"]] == [None, None, "Bad", None]
    assert [node["effect"] for node in row["nodes"]] == [None, None, "unneeded", None]
    assert row["nodes"][0]["observation"] == TREE.prompt


def test_ids_are_digests_of_the_content() -> None:
    one = name_row("good", "world", "task", [{"role": "user", "content": "a"}])
    assert one == name_row("good", "world", "task", [{"content": "a", "role": "user"}])
    others = [
        name_row("good", "world", "other", [{"role": "user", "content": "a"}]),
        name_row("good", "earth", "task", [{"role": "user", "content": "a"}]),
        name_row("good", "world", "task", [{"role": "user", "content": "b"}]),
    ]
    assert len({one, *others}) == 4
    assert one.startswith("good-")


def fingerprint(*rows: tuple[str, Row]) -> str:
    total = Fingerprint()
    for config, row in rows:
        total.add(config, canonical(row, config))
    return total.hexdigest()


def test_the_fingerprint_is_of_the_rows_and_not_of_their_order() -> None:
    a, b = {"id": "a"}, {"id": "b"}
    named = fingerprint(("sft", a), ("sft", b))
    assert named == fingerprint(("sft", b), ("sft", a))
    others = [
        fingerprint(("trees", a), ("trees", b)),
        fingerprint(("sft", a), ("trees", b)),
        fingerprint(("sft", a)),
        fingerprint(("sft", a), ("sft", b), ("sft", a)),
        fingerprint(),
    ]
    assert len({named, *others}) == 6


def test_a_row_of_a_model_that_writes_half_characters_has_a_fingerprint() -> None:
    assert fingerprint(("sft", {"text": "half \ud800"})) != fingerprint(("sft", {"text": "half "}))


def test_near_duplicates_say_the_same_on_other_numbers() -> None:
    def key(text: str, *, train: bool = True) -> str:
        return near_duplicate_key({"messages": [{"content": text, "train": train}]})

    assert key("Get 3 Sand!") == key("get  12 sand") != key("get 3 clay")
    assert key("get 3 sand", train=False) == ""


def test_the_rows_of_a_tree_name_it_and_its_prompts() -> None:
    rows = [
        revision_row(ORIGIN, REVISION, CRITIQUES),
        preference_row(ORIGIN, REVISION),
        *critique_rows(ORIGIN, CRITIQUES, EFFECTS),
    ]
    tree = tree_row(ORIGIN, CRITIQUES, EFFECTS)
    assert {row["tree"] for row in rows} == {tree["id"]}
    assert {row["task_digest"] for row in rows} == {tree["task_digest"]}
    other = plant(("a/bad", 0.0), ("a/good", 1.0))
    other.prompt = "another prompt"
    moved = Origin.of(INFO, TASK, other, actor="tiny", iteration=2)
    assert moved.columns["task_digest"] != tree["task_digest"]
