"""The page of `agent-r view` in a real browser: what a person sees, reads and presses."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from browser import chromium
from conftest import Made
from playwright.async_api import Browser, Page
from view_trees import EVIL, TASK, many, plant, small_harvest, small_tree

from agent_r.critique import Critique, Verdict
from agent_r.services.harvest import Harvest
from agent_r.services.view.page import write_page
from agent_r.services.view.path import collection
from agent_r.trajectory import StopReason

WIDE, NARROW = (1600, 1000), (400, 850)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def many_trees(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("many") / "page.html"
    write_page(many(made.version, 3000), out)
    return out


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A page of one tree whose every text is hostile, and of one that is plain."""
    tree, plain = small_tree(), small_tree("plain task", "A room.")
    plant(tmp_path / "work", tree, small_harvest(tree))
    plant(tmp_path / "work", plain, small_harvest(plain, "It is lost."))
    return write_page(collection(tmp_path / "work"), tmp_path / "page.html").path


async def opened(
    browser: Browser,
    path: Path,
    *,
    name: str = "",
    size: tuple[int, int] = WIDE,
    dark: bool = False,
) -> Page:
    """A page, which fails the test at any request, console line or error."""
    page = await browser.new_page(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
    )
    page.set_default_timeout(10_000)
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.on("request", lambda request: wrong.append(request.url))
    page.wrong = wrong  # type: ignore[attr-defined]
    await page.goto(path.as_uri() + (f"#{name}" if name else ""))
    return page


def clean(page: Page) -> None:
    """It asked for itself and for nothing else, and nothing went wrong."""
    wrong = [one for one in page.wrong if not one.startswith(("file:", "data:,"))]  # type: ignore[attr-defined]
    assert wrong == []


async def tasks(page: Page) -> list[str]:
    return await page.locator(".line .task").all_inner_texts()


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
    for name, harvest in (("kept", Harvest()), ("dropped", None)):
        tree = small_tree(name, "A room.")
        plant(tmp_path / "work", tree, harvest or small_harvest(tree))
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
    page = await opened(browser, evil, name="tree-of-nowhere")
    assert "no tree of that name" in await page.inner_text("#main")
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
    harvest = small_harvest(tree, "It is lost.")
    harvest.critiques[5] = Critique(Verdict.GOOD, "", "Well done.")
    plant(tmp_path / "work", tree, harvest)
    path = write_page(collection(tmp_path / "work"), tmp_path / "page.html").path
    page = await opened(browser, path)
    assert "speaks against 1 judgement, in 1 tree" in await page.inner_text(".welcome")
    await page.keyboard.press("n")
    await page.wait_for_selector("#inspect .doubt-note")
    assert "Judged Good, but it does again what was just done" in await page.inner_text("#inspect")
    assert "Well done." in await page.inner_text("#inspect")
    clean(page)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_it_fits_the_screen_and_its_text_is_readable(
    browser: Browser, evil: Path, *, dark: bool, size: tuple[int, int]
) -> None:
    page = await opened(browser, evil, size=size, dark=dark)
    for _ in range(2):  # the list, then a tree
        assert await page.evaluate("document.documentElement.scrollWidth") == size[0]
        assert await page.evaluate("document.body.scrollWidth") == size[0]
        await page.locator(".line", has_text="<b>task</b>").click()
        await page.wait_for_selector("svg.tree")
        if size is NARROW:
            assert not await page.locator("#side").is_visible()
            await page.click("#back")
            await page.wait_for_selector("#side", state="visible")
    assert await page.evaluate(CONTRAST) >= 4.5
    clean(page)


# The lowest contrast between a colour of text and the page's surfaces (WCAG).
CONTRAST = """() => {
  const style = getComputedStyle(document.documentElement);
  const light = (name) => {
    const n = parseInt(style.getPropertyValue(name).trim().slice(1), 16);
    const [r, g, b] = [n >> 16, (n >> 8) & 255, n & 255].map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const pairs = ["--bad", "--good", "--new", "--doubt"].map((kind) => [kind, `${kind}-bg`]);
  for (const text of ["--text", "--quiet", "--bad", "--good", "--new", "--doubt"])
    for (const ground of ["--bg", "--surface", "--raised"]) pairs.push([text, ground]);
  return Math.min(...pairs.map(([a, b]) => ratio(light(a), light(b))));
}"""


async def test_three_thousand_trees_open_filter_and_scroll_at_once(
    browser: Browser, many_trees: Path
) -> None:
    began = time.monotonic()
    page = await opened(browser, many_trees)
    await page.wait_for_selector(".line")
    assert time.monotonic() - began < 8  # 0.5 s where nothing else runs
    assert await page.inner_text("#count") == "3,000 trees"
    assert await page.locator(".line").count() < 60
    await page.evaluate("document.getElementById('list').scrollTop = 1e9")
    await page.wait_for_selector(".line >> text=02999")
    await page.fill("#text", "01234")
    assert len(await tasks(page)) == 1
    await page.locator(".line").click()
    await page.wait_for_selector("svg.tree")
    assert await page.inner_text("h2.task") == (await tasks(page))[0]
    took = await page.evaluate("""() => {
      const began = performance.now();
      for (const text of ["0", "01", ""]) {
        document.getElementById("text").value = text;
        document.getElementById("text").dispatchEvent(new Event("input", { bubbles: true }));
      }
      return performance.now() - began;
    }""")
    assert took < 1500  # 15 ms each where nothing else runs
    clean(page)


async def test_a_tree_that_the_page_does_not_hold_says_how_to_see_it(
    browser: Browser, made: Made, tmp_path: Path
) -> None:
    written = write_page(many(made.version, 300), tmp_path / "p.html", most_bytes=30_000)
    page = await opened(browser, written.path)
    assert f"the pictures of {written.drawn} trees" in await page.inner_text(".welcome")
    await page.fill("#text", "00299")
    await page.locator(".line").click()
    assert "agent-r view PATH --task" in await page.inner_text("#main")
    clean(page)
