"""Reasoning in a dataset: a column of its own, trained only where that is asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from agent_r.algorithm.rows import (
    Origin,
    good_row,
    preference_row,
    prompt_completion_rows,
    revision_row,
    tree_row,
)
from agent_r.algorithm.schema import SCHEMAS
from agent_r.algorithm.tree import SearchTree
from agent_r.dataset.diff import diff
from agent_r.dataset.fingerprint import canonical
from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.merge import merge
from agent_r.dataset.shards import read_rows
from agent_r.dataset.writer import export
from agent_r.errors import DatasetError
from agent_r.files import sha256
from agent_r.reading.reasoning import split_reasoning, with_reasoning
from tests.algorithm.test_rows import CRITIQUES, EFFECTS, INFO, ORIGIN, REVISION, TASK, TREE
from tests.support.made import Made

THOUGHT = {"a": "first?", "bad": "a mistake", "wait": "", "good": "now right"}
THOUGHTFUL = replace(
    REVISION,
    turns=tuple(
        replace(t, step=replace(t.step, reasoning=THOUGHT[t.step.action])) for t in REVISION.turns
    ),
)
TRAINED = Origin.of(INFO, TASK, TREE, actor="tiny", iteration=2, reasons=True)


def test_reasoning_is_a_column_beside_the_parts_and_no_text_of_a_row() -> None:
    row = revision_row(ORIGIN, THOUGHTFUL, CRITIQUES)
    assert row["reasoning"] == ["first?", "a mistake", "", "now right"]
    assert len(row["reasoning"]) == len(row["parts"])
    plain = revision_row(ORIGIN, REVISION, CRITIQUES)
    assert row["messages"] == plain["messages"]
    assert plain["reasoning"] == ["", "", "", ""]


def test_a_trees_nodes_keep_their_reasoning() -> None:
    tree = SearchTree(TREE.task, TREE.prompt, TREE.seed, list(TREE.nodes))
    tree.nodes[1] = replace(tree.nodes[1], step=replace(tree.nodes[1].step, reasoning="hm"))
    nodes = tree_row(replace(ORIGIN, tree=tree), {}, {})["nodes"]
    assert [node["reasoning"] for node in nodes[:3]] == ["", "hm", ""]


def test_with_the_setting_trained_replies_alone_begin_with_their_reasoning() -> None:
    row = revision_row(TRAINED, THOUGHTFUL, CRITIQUES)
    said = [m["content"] for m in row["messages"] if m["role"] == "assistant"]
    assert said == [
        "Action: a",
        "Action: bad",
        "Action: wait",  # it has no reasoning: no empty block
        "<think>\nnow right\n</think>\n\nAction: good",
    ]
    good = replace(TREE.trajectory(1), steps=tuple(t.step for t in THOUGHTFUL.turns))
    said = [m["content"] for m in good_row(TRAINED, good)["messages"] if m["train"]]
    assert [text.count("<think>") for text in said] == [1, 1, 0, 1]


def test_an_earlier_turn_of_a_prompt_is_without_reasoning() -> None:
    good = replace(TREE.trajectory(1), steps=tuple(t.step for t in THOUGHTFUL.turns))
    replies = list(prompt_completion_rows(good_row(TRAINED, good)))
    assert all("think" not in m["content"] for reply in replies for m in reply["prompt"])
    [last] = replies[-1]["completion"]
    assert last["content"] == "<think>\nnow right\n</think>\n\nAction: good"


def test_a_preference_is_between_answers() -> None:
    assert preference_row(TRAINED, THOUGHTFUL) == preference_row(ORIGIN, REVISION)


@pytest.mark.parametrize("reasoning", ["a", "<think>a</think>", "a</think>", "\n a \n"])
def test_a_block_is_closed_once_and_read_again(reasoning: str) -> None:
    text = with_reasoning(reasoning, "b")
    assert text == "<think>\na\n</think>\n\nb"
    assert split_reasoning(text) == ("a", "b")
    assert with_reasoning(" \n", "b") == "b"


def test_a_row_without_reasoning_is_the_row_that_it_was() -> None:
    for config, row in (
        ("sft", revision_row(ORIGIN, REVISION, CRITIQUES)),
        ("trees", tree_row(ORIGIN, CRITIQUES, EFFECTS)),
    ):
        before = json.loads(json.dumps(row))
        before.pop("reasoning", None)
        for node in before.get("nodes", []):
            node.pop("reasoning")
        assert canonical(row, config) == canonical(before, config)
    thoughtful = revision_row(ORIGIN, THOUGHTFUL, CRITIQUES)
    assert canonical(thoughtful, "sft") != canonical({**thoughtful, "reasoning": None}, "sft")


@pytest.fixture
def older(made: Made, tmp_path: Path) -> Path:
    """The session's version as it was written before there was a column for reasoning."""
    ref = export(
        [(name, row) for name in SCHEMAS for row in made.rows(name)],
        tmp_path / "older",
        provenance=lambda: {"environments": read_manifest(made.version)["environments"]},
    )
    version = Path(ref.path)
    _rewrite(version, "sft", lambda table: table.drop_columns(["reasoning"]))
    _rewrite(version, "trees", _without_node_reasoning)
    return version


def _without_node_reasoning(table: Any) -> Any:
    import pyarrow as pa

    rows = table.to_pylist()
    nodes = table.schema.field("nodes").type
    kept = pa.list_(pa.struct([f for f in nodes.value_type if f.name != "reasoning"]))
    schema = table.schema.set(table.schema.get_field_index("nodes"), pa.field("nodes", kept))
    for row in rows:
        for node in row["nodes"]:
            del node["reasoning"]
    return pa.Table.from_pylist(rows, schema=schema)


def _rewrite(version: Path, config: str, change: Any) -> None:
    manifest = json.loads((version / "manifest.json").read_text())
    for path in sorted((version / "data" / config).glob("*.parquet")):
        pq.write_table(change(pq.read_table(path)), path)
        manifest["files"][path.relative_to(version).as_posix()] = sha256(path)
    (version / "manifest.json").write_text(json.dumps(manifest))


def test_an_older_version_is_read_merged_and_compared_like_any(
    older: Path, made: Made, tmp_path: Path
) -> None:
    assert "reasoning" not in next(read_rows(older, "sft"))
    assert read_manifest(older)["schema_version"] == 1
    both = merge([older, made.version], tmp_path / "both")
    assert both.digest == made.built.dataset.digest
    rows = list(read_rows(Path(both.path), "sft"))
    assert all(row["reasoning"] is None for row in rows)
    same = {c.config: c.same for c in diff(older, made.version).configs}
    assert same == {name: len(made.rows(name)) for name in SCHEMAS}


def test_a_version_that_lacks_another_column_is_none_of_ours(older: Path) -> None:
    _rewrite(older, "sft", lambda table: table.drop_columns(["parts"]))
    with pytest.raises(DatasetError, match="other columns"):
        read_manifest(older)
