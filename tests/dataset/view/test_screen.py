"""The page of `agent-r view` on every screen, and with very many trees."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from agent_r.dataset.view.page import write_page
from tests.support.made import Made
from tests.support.view_page import NARROW, WIDE, clean, opened, tasks
from tests.support.view_trees import evil_page, many


@pytest.fixture(scope="session")
def many_trees(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("many") / "page.html"
    write_page(many(made.version, 3000), out)
    return out


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    return evil_page(tmp_path)


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
    assert time.monotonic() - began < 20  # 0.5 s where nothing else runs
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
    await expect(page.locator("#main")).to_contain_text("agent-r view PATH --task")
    clean(page)
