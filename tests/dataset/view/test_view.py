"""The page of `agent-r view` in a real browser: what a person sees, reads and presses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import Browser

from agent_r.algorithm.critique import Critique, Verdict
from agent_r.algorithm.trajectory import StopReason
from agent_r.collection.tree_revisions import TreeRevisions
from agent_r.dataset.view.page import write_page
from agent_r.dataset.view.path import collection
from tests.support.made import Made
from tests.support.view_page import clean, opened, tasks
from tests.support.view_trees import EVIL, TASK, evil_page, plant, small_harvest, small_tree


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    return evil_page(tmp_path)


async def test_a_text_that_is_typed_leaves_the_trees_that_hold_it(
    browser: Browser, evil: Path
) -> None:
    page = await opened(browser, evil)
    assert len(await tasks(page)) == 2
    await page.keyboard.press("/")
    await page.keyboard.type("PLAIN")
    assert await tasks(page) == ["plain task"]
    assert await page.inner_text("#count") == "1 of 2"
    await page.fill("#text", "nothing like it")
    assert await tasks(page) == []
    clean(page)


async def test_trees_are_picked_by_world_pairs_and_drop_reason_and_sorted(
    browser: Browser, made: Made, tmp_path: Path
) -> None:
    page = await opened(browser, write_page(collection(made.version), tmp_path / "p.html").path)
    names = [str(row["task"]) for row in made.rows("trees")]
    assert await tasks(page) == names
    await page.select_option("#sort", "task")
    assert await tasks(page) == sorted(names)
    await page.click("#direction")
    assert await tasks(page) == sorted(names, reverse=True)
    revised = {str(row["task"]) for row in made.rows("sft") if row["kind"] == "revision"}
    await page.select_option("#show", "revisions")
    assert set(await tasks(page)) == revised
    await page.select_option("#show", "none")
    assert not revised & set(await tasks(page))
    clean(page)


async def test_trees_are_picked_by_why_a_pair_was_dropped(browser: Browser, tmp_path: Path) -> None:
    for name, tree_revisions in (("kept", TreeRevisions()), ("dropped", None)):
        tree = small_tree(name, "A room.")
        plant(tmp_path / "work", tree, tree_revisions or small_harvest(tree))
    page = await opened(
        browser, write_page(collection(tmp_path / "work"), tmp_path / "p.html").path
    )
    assert len(await tasks(page)) == 2
    await page.select_option("#reason", "duplicate")
    assert await tasks(page) == ["dropped"]
    clean(page)


async def test_keys_go_through_trees_into_one_and_back(browser: Browser, evil: Path) -> None:
    page = await opened(browser, evil)
    assert await page.locator("svg.tree").count() == 0
    await page.keyboard.press("j")
    await page.wait_for_selector("svg.tree")
    first = await page.evaluate("location.hash")
    await page.keyboard.press("j")
    await page.wait_for_function("before => location.hash !== before", arg=first)
    await page.wait_for_selector('.line[aria-selected="true"] >> text=plain task')
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "canvas"
    assert "Step 3" in await page.inner_text("#inspect h3")  # the first error
    for key, step in (("ArrowLeft", "Step 2"), ("ArrowRight", "Step 3"), ("ArrowDown", "Step 3")):
        await page.keyboard.press(key)
        assert step in await page.inner_text("#inspect h3")
    await page.keyboard.press("Escape")
    assert await page.evaluate("document.activeElement.id") == "list"
    await page.keyboard.press("?")
    assert await page.locator("#help").is_visible()
    await page.keyboard.press("Escape")
    assert not await page.locator("#help").is_visible()
    await page.keyboard.press("Escape")
    await page.wait_for_selector(".welcome")
    clean(page)


async def test_a_link_names_a_tree_and_a_step(browser: Browser, evil: Path) -> None:
    page = await opened(browser, evil)
    name = await page.locator(".line", has_text="plain task").get_attribute("href")
    assert name is not None
    page = await opened(browser, evil, name=f"{name[1:]}/5")
    await page.wait_for_selector("svg.tree")
    assert await page.inner_text("h2.task") == "plain task"
    assert "Step 4" in await page.inner_text("#inspect h3")
    assert await page.get_attribute(".node.selected", "data-node") == "5"
    await page.click('[data-node="2"]')
    assert (await page.evaluate("location.hash")).endswith("/2")
    for nowhere in ("tree-of-nowhere", "%", "</script>/-1"):
        page = await opened(browser, evil, name=nowhere)
        assert "no tree of that name" in await page.inner_text("#main")
        clean(page)
    clean(page)


async def test_a_models_text_is_shown_as_it_is_and_never_acts(browser: Browser, evil: Path) -> None:
    page = await opened(browser, evil)
    await page.locator(".line", has_text="<b>task</b>").click()
    await page.wait_for_selector("svg.tree")
    assert await page.inner_text("h2.task") == TASK
    await page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert await page.locator("details.row[open] .message").count() > 20
    text = await page.inner_text("body")
    assert "</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)> &" in text
    assert "&lt;b&gt;" in text  # what was written so is not read as a tag either
    assert "🦊" in text
    assert "U+0000" in text  # what cannot be seen is spelt out
    assert "U+202E" in text
    assert "\u202e" not in text
    assert "\0" not in text
    assert await page.locator("main img, main script, main b b").count() == 0
    assert EVIL.split()[0] in await page.inner_text("#inspect .judge")
    clean(page)


async def test_pairs_errors_falls_splices_and_verdicts_are_told_by_more_than_colour(
    browser: Browser, evil: Path
) -> None:
    page = await opened(browser, evil)
    await page.locator(".line", has_text="plain task").click()
    await page.wait_for_selector("svg.tree")
    picture = await page.locator("svg.tree").text_content()
    assert picture is not None
    for sign in ("✕ error", "▼", "splice", "1 ★ ended", "0 step limit", "open door", "0.50 · 4×"):
        assert sign in picture
    dashes = "e => getComputedStyle(e).strokeDasharray"
    bad = await page.locator(".edge.bad path").first.evaluate(dashes)
    good = await page.locator(".edge.good path").first.evaluate(dashes)
    assert (bad != "none", good) == (True, "none")
    pairs = await page.locator(".pair").all_inner_texts()
    assert [pair.split()[-1] for pair in pairs] == ["revision", "duplicate"]
    await page.locator(".pair").nth(1).click()
    assert "The pair was dropped: duplicate." in await page.inner_text(".compare")
    assert await page.locator("g.splice").count() == 0
    clean(page)


async def test_bad_good_and_revision_stand_side_by_side_with_what_is_trained(
    browser: Browser, evil: Path
) -> None:
    page = await opened(browser, evil)
    await page.locator(".line", has_text="plain task").click()
    heads = await page.locator(".columns .heading b").all_inner_texts()
    assert [head.split(maxsplit=1)[1] for head in heads] == ["Bad path", "Good path", "Revision"]
    trained = await page.locator(".columns .cell.trained").all_inner_texts()
    assert len(trained) == 1
    assert "signal trained" in trained[0].replace("\n", " ")
    row = page.locator("details.row.revision")
    messages = await row.locator(".message .fate").all_text_contents()
    assert messages == ["masked"] * 8 + ["trained"]
    assert "It is lost." in await row.locator(".message.trained .text").inner_text()
    clean(page)


async def test_reasoning_ends_of_the_servers_and_replies_without_a_step_are_told_apart(
    browser: Browser, tmp_path: Path
) -> None:
    tree = small_tree("plain task", "A room.")
    said = tree.nodes[4].step
    assert said is not None
    tree.nodes[4].step = replace(said, reasoning="Is it edible?")
    tree.nodes[5].stop = StopReason.CUT
    tree.replies, tree.samples = {"action": 5, "cut": 2}, {"cut": "Thought: and so"}
    plant(tmp_path / "work", tree, small_harvest(tree, "It is lost."))
    path = write_page(collection(tmp_path / "work"), tmp_path / "page.html").path
    page = await opened(browser, path)
    await page.locator(".line").click()
    await page.wait_for_selector("svg.tree")
    assert "0 ⊗ cut" in (await page.locator("svg.tree").text_content() or "")
    assert "Is it edible?" not in await page.inner_text("#inspect")
    await page.locator("#inspect .reasoning summary").click()
    assert "Is it edible?" in await page.inner_text("#inspect .reasoning")
    assert await page.inner_text(".odd summary") == "Of 7 replies: 2 cut"
    await page.locator(".odd summary").click()
    assert "Thought: and so" in await page.inner_text(".odd")
    clean(page)


async def test_a_person_is_led_to_a_doubtful_judgement_in_two_steps(
    browser: Browser, tmp_path: Path
) -> None:
    tree = small_tree("plain task", "A room.")
    tree.nodes[5].step = tree.nodes[4].step
    tree_revisions = small_harvest(tree, "It is lost.")
    tree_revisions.critiques[5] = Critique(Verdict.GOOD, "", "Well done.")
    plant(tmp_path / "work", tree, tree_revisions)
    path = write_page(collection(tmp_path / "work"), tmp_path / "page.html").path
    page = await opened(browser, path)
    assert "speaks against 1 judgement, in 1 tree" in await page.inner_text(".welcome")
    await page.keyboard.press("n")
    await page.wait_for_selector("#inspect .doubt-note")
    assert "Judged Good, but it does again what was just done" in await page.inner_text("#inspect")
    assert "Well done." in await page.inner_text("#inspect")
    clean(page)


async def test_every_row_of_every_config_is_there(
    browser: Browser, made: Made, tmp_path: Path
) -> None:
    page = await opened(browser, write_page(collection(made.version), tmp_path / "p.html").path)
    tree = next(row["tree"] for row in made.rows("preference"))
    await page.evaluate("name => { location.hash = name; }", tree)
    await page.wait_for_selector(".dataset-rows .row")
    shown = await page.locator(".dataset-rows .row summary code").all_inner_texts()
    configs = ("sft", "prompt_completion", "preference", "critique")
    assert shown == [
        row["id"] for name in configs for row in made.rows(name) if row["tree"] == tree
    ]
    clean(page)
