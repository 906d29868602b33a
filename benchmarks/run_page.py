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
SIZE = {"width": 1280, "height": 860}
DRAWN_MS = 4000  # the timeline is drawn step by step


def left(server: Server, key: str) -> dict[str, Any] | None:
    """The newest artifact of a key."""
    found = server.post("/artifacts/filter", {"artifacts": {"key": {"any_": [key]}}})
    return dict(found[0]) if found else None


def explores(server: Server) -> bool:
    """Whether half of the trees are there, and the page says so."""
    progress = left(server, "progress-demo")
    return (
        progress is not None and "collect demo" in progress["data"] and "▓▓▓▓▓▓" in progress["data"]
    )


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
        asyncio.run(look(server, {"prefect-run.png": (f"/runs/flow-run/{run}", "Artifacts")}, out))
        server.wait(run, "Completed")
        pages = {
            f"prefect-{kind}.png": (f"/artifacts/artifact/{artifact['id']}", "")
            for kind in ("progress", "account", "dataset", "report")
            if (artifact := left(server, f"{kind}-demo"))
        }
        asyncio.run(look(server, pages, out))


if __name__ == "__main__":
    main()
