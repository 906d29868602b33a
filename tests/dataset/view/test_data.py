"""What the page of `agent-r view` is told: trees, pairs, rows, and what speaks against a judge."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent_r.algorithm.critique import Critique, Verdict
from agent_r.algorithm.trajectory import StopReason
from agent_r.dataset.view.doubts import FELL, REPEATED, Doubts, against
from agent_r.dataset.view.exhibit import tried_in
from agent_r.dataset.view.page import write_page
from agent_r.dataset.view.path import collection
from agent_r.dataset.view.record import line, record
from agent_r.dataset.view.work import Work
from tests.support.made import Made
from tests.support.view_trees import EVIL, TASK, embedded, many, plant, small_harvest, small_tree


def chunks(page: str) -> list[list[dict[str, Any]]]:
    packed = re.findall(r'id="chunk-\d+">([^<]*)</script>', page)
    return [json.loads(gzip.decompress(base64.b64decode(text))) for text in packed]


def test_a_work_folder_shows_the_rows_that_its_version_has(made: Made) -> None:
    version = {one.row["id"]: one for one in collection(made.version).exhibits()}
    work = made.version.parent.parent / "work"
    for shown in collection(work).exhibits():
        same = version[shown.row["id"]]
        assert [row["id"] for row in shown.rows["sft"]] == [row["id"] for row in same.rows["sft"]]
        assert shown.rows["critique"] == [
            row | {"depth": 0} for row in same.rows["critique"]
        ]  # how deep a task is, only its world knows
    assert len(version) == len(list(collection(work).exhibits())) == 6


def test_the_rows_of_a_version_are_each_shown_with_their_own_tree(made: Made) -> None:
    shown = list(collection(made.version).exhibits())
    for config in ("sft", "preference", "critique"):
        ids = [row["id"] for one in shown for row in one.rows[config]]
        assert ids == [row["id"] for row in made.rows(config)]
        assert all(row["tree"] == one.row["id"] for one in shown for row in one.rows[config])


def test_a_version_without_its_work_folder_finds_the_pairs_of_its_rows_again(made: Made) -> None:
    work = Work.of(made.tree_store.journals.parent)
    files = [path for paths in work.trees.values() for path in paths]
    seen = 0
    for known in filter(None, map(work.exhibit, files)):
        found = tried_in(known.tree, known.rows["sft"])
        kept = [one for one in known.tried if one.row]
        assert [(one.row, one.error, one.pair.fork) for one in found] == [
            (one.row, one.error, one.pair.fork) for one in kept
        ]
        for a, b in zip(found, kept, strict=True):
            ends = [(known.tree.nodes[p.bad].reward, known.tree.nodes[p.good].reward)
                    for p in (a.pair, b.pair)]  # fmt: skip
            assert ends[0] == ends[1]
        seen += len(found)
    assert seen > 0


def test_dropped_pairs_are_shown_with_leaves_and_reason(tmp_path: Path) -> None:
    tree = small_tree()
    plant(tmp_path, tree, small_harvest(tree))
    [shown] = collection(tmp_path).exhibits()
    told = record(shown)
    assert [(one["bad"], one["good"], one["reason"]) for one in told["tried"]] == [
        (5, 3, ""),
        (5, 3, "duplicate"),
    ]
    assert told["tried"][0] | {"row": ""} == {
        **{"bad": 5, "good": 3, "fork": 2, "error": 4, "fall": 4, "row": "", "reason": ""}
    }
    assert line(shown)["drops"] == {"duplicate": 1}


def test_a_tree_that_is_not_judged_yet_is_shown_while_the_run_goes_on(tmp_path: Path) -> None:
    plant(tmp_path, small_tree(), None)
    journal = tmp_path / "journal-h" / "other-0123456789ab.tree.jsonl"
    journal.parent.mkdir()
    journal.write_text("")
    shown = collection(tmp_path)
    [one] = shown.exhibits()
    assert (line(one)["unjudged"], line(one)["pairs"], shown.growing) == (True, 0, 1)


def test_texts_are_stored_once_and_come_back_as_they_were(tmp_path: Path) -> None:
    tree = small_tree()
    plant(tmp_path, tree, small_harvest(tree))
    [shown] = collection(tmp_path).exhibits()
    told = record(shown)
    assert len(set(told["texts"])) == len(told["texts"])
    [sft] = [row for row in told["rows"] if row.get("kind") == "revision"]
    [row] = [row for row in shown.rows["sft"] if row["kind"] == "revision"]
    assert [
        {"role": role, "content": told["texts"][at], "train": bool(train)}
        for role, at, train in sft["messages"]
    ] == [{key: m[key] for key in ("role", "content", "train")} for m in row["messages"]]


def test_no_text_of_a_model_can_end_a_script_or_begin_a_comment(tmp_path: Path) -> None:
    tree = small_tree()
    plant(tmp_path, tree, small_harvest(tree))
    out = tmp_path / "page.html"
    write_page(collection(tmp_path), out)
    page = out.read_text(encoding="utf-8")
    assert page.count("</script>") == 4  # about, trees, one chunk, the program
    assert "alert(1)" not in page
    assert "<!-- " not in page
    assert embedded(page, "trees")[0]["task"] == TASK
    [[told]] = chunks(page)
    assert any(EVIL in text for text in told["texts"])


def test_the_same_trees_give_the_same_bytes(made: Made, tmp_path: Path) -> None:
    pages = [write_page(collection(made.version), tmp_path / name).path for name in ("a", "b")]
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_a_page_that_is_full_holds_trees_spread_evenly_and_lists_all(
    made: Made, tmp_path: Path
) -> None:
    whole = write_page(many(made.version, 900), tmp_path / "whole.html")
    assert (whole.trees, whole.drawn) == (900, 900)
    part = write_page(many(made.version, 900), tmp_path / "part.html", most_bytes=120_000)
    trees = embedded(part.path.read_text(), "trees")
    drawn = [at for at, tree in enumerate(trees) if "at" in tree]
    assert len(trees) == 900
    assert 0 < len(drawn) == part.drawn < 900
    assert max(drawn) > 450
    told = chunks(part.path.read_text())
    assert all(told[c][i]["id"] == trees[at]["id"] for at in drawn for c, i in [trees[at]["at"]])


def test_a_good_judgement_where_the_value_falls_most_is_doubted(tmp_path: Path) -> None:
    tree = small_tree()
    tree_revisions = small_harvest(tree)
    judged = {4: Critique(Verdict.GOOD, "", "Fine."), 5: Critique(Verdict.BAD, "", "Bad.")}
    plant(tmp_path, tree, replace(tree_revisions, critiques=judged))
    [shown] = collection(tmp_path).exhibits()
    assert against(shown) == {4: FELL.format(verdict="Good")}


def test_a_step_done_again_for_the_same_answer_and_judged_good_is_doubted(tmp_path: Path) -> None:
    tree = small_tree(text="Hm.")
    again = tree.nodes[5]
    again.step = tree.nodes[4].step
    judged = {5: Critique(Verdict.GOOD, "", "Good.")}
    plant(tmp_path, tree, replace(small_harvest(tree), critiques=judged))
    [shown] = collection(tmp_path).exhibits()
    assert against(shown)[5] == REPEATED


def test_a_judge_that_contradicts_itself_on_answers_alike_is_doubted(tmp_path: Path) -> None:
    doubts = Doubts()
    for n in range(10):
        tree = small_tree(f"task {n}")
        tree.nodes[5].stop = StopReason.STEP_LIMIT
        verdict = Verdict.GOOD if n == 9 else Verdict.BAD
        work = tmp_path / str(n)
        plant(work, tree, with_critiques(tree, {5: Critique(verdict, "", "It is so.")}))
        [shown] = collection(work).exhibits()
        doubts.add(shown)
    found = doubts.all()
    assert [list(one) for one in found] == [[]] * 9 + [[5]]
    assert "9 of 10 steps answered “There is …” were judged Bad" in found[9][5]


def with_critiques(tree: Any, critiques: dict[int, Critique]) -> Any:
    return replace(small_harvest(tree), critiques=critiques, revisions=[], dropped=[])


def test_a_version_that_was_carried_away_is_shown_with_the_words_of_its_rows(
    made: Made, tmp_path: Path
) -> None:
    shutil.copytree(made.version, tmp_path / "demo" / "v1.1")
    there = {one.row["id"]: one for one in collection(made.version).exhibits()}
    judged = 0
    for shown in collection(tmp_path / "demo").exhibits():
        known = there[shown.row["id"]].critiques
        words = {n: c.text for n, c in known.items() if c.verdict is not None}
        assert {n: c.text for n, c in shown.critiques.items()} == words
        judged += len(words)
    assert judged > 3
