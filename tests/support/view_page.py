"""The page of `agent-r view`, opened so that whatever goes wrong in it is seen."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import Browser, Page

WIDE, NARROW = (1600, 1000), (400, 850)


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
