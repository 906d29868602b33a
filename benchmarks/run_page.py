"""The pictures of docs/prefect.md: a real run's page, and what it leaves, in a real browser.

python benchmarks/run_page.py --out docs

A server and a worker are started as the docs say; a small `self-train` with the embedded actor is
looked at while it explores, and at its end. Some five minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from playwright.async_api import Page

from tests.support.browser import chromium
from tests.support.prefect_server import Server, patiently, serving

SETTINGS: dict[str, Any] = {
    "iterations": 1,
    "trees": 64,
    "endpoint": {"kind": "embedded", "concurrency": 8},
    "search": {"simulations": 8, "max_depth": 10},
    "measure": {"tasks": 20, "recovery_tasks": 10, "robustness_tasks": 6, "max_steps": 10},
    "train": {"epochs": 1, "general": "demonstrations", "general_rows": 200},
    "revision": {"signal": "proof"},
    "dataset": {"name": "demo"},
}
SIZE = {"width": 1280, "height": 1100}
DRAWN_MS = 4000  # the timeline is drawn step by step


def left(server: Server, kind: str) -> dict[str, Any] | None:
    """The newest artifact of a kind."""
    found = server.artifacts(f"{kind}-demo")
    return found[0] if found else None


def of(server: Server, kind: str) -> str:
    """The address of its page."""
    return f"/artifacts/artifact/{(left(server, kind) or {})['id']}"


def explores(server: Server) -> bool:
    """Whether a third of the trees are there, and the page says so."""
    progress = left(server, "progress")
    return progress is not None and "▓▓▓▓" in progress["data"].partition("collect demo")[2]


async def shoot(page: Page, address: str, out: Path, *, tab: str = "") -> None:
    await page.goto(address)
    await page.wait_for_timeout(DRAWN_MS)
    if tab:
        await page.get_by_text(tab, exact=True).first.click()
        await page.wait_for_timeout(DRAWN_MS)
    await page.screenshot(path=out)


async def look(server: Server, shots: dict[str, tuple[str, str]], out: Path) -> None:
    """Each of these addresses, and the tab to choose there, as a picture of that name."""
    async with chromium() as browser:
        page = await browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
        for name, (path, tab) in shots.items():
            await shoot(page, f"{server.url}{path}", out / name, tab=tab)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out: Path = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), []) as server:
        run = server.run("self-train/self-train", settings=json.dumps(SETTINGS))
        patiently(lambda: explores(server))
        asyncio.run(look(server, {"prefect-progress.png": (of(server, "progress"), "")}, out))
        server.wait(run, "Completed")
        pages = {"prefect-run.png": (f"/runs/flow-run/{run}", "Artifacts")}
        pages |= {f"prefect-{k}.png": (of(server, k), "") for k in ("account", "dataset", "report")}
        asyncio.run(look(server, pages, out))


if __name__ == "__main__":
    main()
