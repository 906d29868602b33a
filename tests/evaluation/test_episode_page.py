"""The page of a measurement's episodes in a real browser: found, read, and laid side by side."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from agent_r.errors import DatasetError, UnknownTask
from agent_r.evaluation.evaluate import measure_actor
from agent_r.evaluation.view.episode_page import write_episodes
from agent_r.evaluation.view.kept_episodes import kept_at
from agent_r.run_worlds import Worlds
from agent_r.settings import Config
from agent_r.testing import ForkableCorridor, ScriptedActor
from env_adapters import world_of
from flows.acting.actor_factory import scripted
from flows.cli.main import main
from tests.support.planting import only
from tests.support.view_page import NARROW, WIDE, clean, opened, tasks
from tests.support.view_trees import EVIL


async def measured(folder: Path, error_rate: float) -> Path:
    """Four attempts of twelve tasks in two worlds, by the scripted actor."""
    config = Config.model_validate(
        {
            "endpoint": {"kind": "scripted", "error_rate": error_rate},
            "env": {"kind": "mixture", "worlds": [{"kind": "textcraft"}, {"kind": "shop"}]},
            "measure": {
                "tasks": 12, "attempts": 4, "recovery_tasks": 2, "robustness_tasks": 0,
                "max_steps": 12,
            },
        }
    )  # fmt: skip
    worlds = Worlds.of(config.env, world_of)
    actor = scripted(config.endpoint, worlds)  # type: ignore[arg-type]
    found = await measure_actor(
        actor, worlds, config, openings=None, parallel=4, folder=folder / "episodes-0-a"
    )
    found.episodes = "episodes-0-a"
    (folder / "measure-0-a.json").write_text(found.model_dump_json())
    return folder / "measure-0-a.json"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folders = [tmp_path_factory.mktemp(name) for name in ("weaker", "stronger")]
    return [
        asyncio.run(measured(folder, rate))
        for folder, rate in zip(folders, (0.35, 0.1), strict=True)
    ]


def page_of(paths: list[Path], out: Path, **how: Any) -> Path:
    shown = [kept for path in paths if (kept := kept_at(path)) is not None]
    assert len(shown) == len(paths)
    return write_episodes(shown, out / "page.html", **how).path


async def test_tasks_are_found_by_outcome_attempt_world_and_text(
    browser: Browser, two: list[Path], tmp_path: Path
) -> None:
    scores = json.loads(two[0].read_bytes())["scores"]
    won = {score["task"]: [reward >= 1 for reward in score["rewards"]] for score in scores}
    page = await opened(browser, page_of(two[:1], tmp_path))
    assert await tasks(page) == sorted(won)
    for value, holds in (
        ("lost", lambda w: not all(w)),
        ("won", any),
        ("partly", lambda w: 0 < sum(w) < 4),
        ("never", lambda w: not any(w)),
    ):
        await page.select_option("#show", value)
        assert await tasks(page) == sorted(task for task, w in won.items() if holds(w)), value
    await page.select_option("#show", "lost")
    await page.select_option("#attempt", "2")
    assert await tasks(page) == sorted(task for task, w in won.items() if not w[2])
    await page.select_option("#show", "all")
    await page.select_option("#attempt", "led")
    assert len(await tasks(page)) == 2  # failures that were continued
    await page.select_option("#attempt", "")
    await page.select_option("#world", "shop")
    assert await tasks(page) == sorted(s["task"] for s in scores if s["world"] == "shop")
    await page.select_option("#world", "")
    await page.select_option("#sort", "success")
    assert await tasks(page) == sorted(won, key=lambda task: (sum(won[task]), task.lower()))
    await page.fill("#text", "AZURE")
    assert await tasks(page) and all("azure" in task for task in await tasks(page))
    clean(page)


async def test_an_episode_is_read_step_by_step_as_it_was_played(
    browser: Browser, two: list[Path], tmp_path: Path
) -> None:
    path = next(two[0].parent.glob("episodes-0-a/azure-tent-*-2.json"))
    episode = json.loads(path.read_bytes())
    page = await opened(browser, page_of([path], tmp_path))
    await page.keyboard.press("j")
    await page.wait_for_selector(".columns.one")
    shown = [(step["response"], step["observation"]) for step in episode["steps"]]
    replies = await page.locator(".step .reply").all_inner_texts()
    answers = await page.locator(".step .saw").all_inner_texts()
    assert list(zip(replies, answers, strict=True)) == shown
    assert await page.inner_text(".asked .text >> visible=true") == episode["prompt"]
    assert episode["stop"].replace("_", " ") in await page.inner_text(".step.end")
    clean(page)


async def test_two_actors_attempts_of_a_task_stand_side_by_side(
    browser: Browser, two: list[Path], tmp_path: Path, pictures: Path
) -> None:
    page = await opened(browser, page_of(two, tmp_path), size=(1500, 900))
    await page.select_option("#show", "apart")
    await page.select_option("#sort", "gain")
    assert 0 < len(await tasks(page)) < 12
    await page.keyboard.press("j")
    await page.wait_for_selector(".columns.two")
    heads = await page.locator(".columns .heading").all_inner_texts()
    assert ["scripted-0.35" in heads[0], "scripted-0.1" in heads[1]] == [True, True]
    assert await page.locator('.attempt[aria-pressed="true"]').count() == 2
    await page.screenshot(path=pictures / "episodes.png")
    other = page.locator(".who >> nth=1 >> .attempt >> nth=3")
    await other.click()
    await expect(other).to_have_attribute("aria-pressed", "true")
    await other.click()  # let go again
    await page.wait_for_selector(".columns.one")
    await page.keyboard.press("Escape")
    await page.wait_for_selector(".welcome")
    clean(page)


async def test_a_hostile_text_is_read_as_text_on_any_screen(
    browser: Browser, tmp_path: Path
) -> None:
    config = Config.model_validate(
        {"measure": {"tasks": 2, "attempts": 2, "recovery_tasks": 0, "robustness_tasks": 0}}
    )
    actor = ScriptedActor(lambda messages, k: f"{EVIL}\nAction: {EVIL[:40]}", name=EVIL)
    folder = tmp_path / "episodes-0-evil"
    await measure_actor(
        actor, only(ForkableCorridor), config, openings=None, parallel=1, folder=folder
    )
    for size in (WIDE, NARROW):
        page = await opened(browser, page_of([folder], tmp_path), size=size)
        await page.locator(".line >> nth=0").click()
        await page.wait_for_selector(".step.end")
        assert await page.evaluate("document.documentElement.scrollWidth") == size[0]
        assert "<img src=x" in await page.inner_text(".step .reply >> nth=0")
        clean(page)


def test_a_path_leads_to_a_measurements_episodes_or_says_why_not(
    two: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measurement = two[0]
    folder = measurement.parent / "episodes-0-a"
    printed = tmp_path / "printed.json"
    value = json.loads(measurement.read_bytes()) | {"episodes": str(folder)}
    printed.write_text(json.dumps(value))
    found = [kept_at(path) for path in (measurement, folder, measurement.parent, printed)]
    assert {kept.folder for kept in found if kept} == {folder}
    assert None not in found
    assert kept_at(tmp_path / "none") is None and kept_at(Path(__file__)) is None
    with pytest.raises(UnknownTask, match="no episode of the task 'nothing'"):
        page_of([folder], tmp_path, task="nothing")
    value["episodes"] = "episodes-0-gone"
    printed.write_text(json.dumps(value))
    with pytest.raises(DatasetError, match="episodes-0-gone any more"):
        kept_at(printed)
    out = tmp_path / "page.html"
    assert main(["view", str(folder), str(two[1]), "--out", str(out), "--task", "azure tent"]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 8 episodes, ")
    (tmp_path / "episodes-1").mkdir()
    for wrong in ([folder, tmp_path / "none"], [tmp_path / "episodes-1"]):
        assert main(["view", *map(str, wrong), "--no-open"]) == 2
        assert capsys.readouterr().err.count("\n") == 1


async def test_a_page_of_too_many_episodes_lists_them_all_and_reads_some(
    browser: Browser, two: list[Path], tmp_path: Path
) -> None:
    kept = kept_at(two[0])
    assert kept is not None
    written = write_episodes([kept] * 12, tmp_path / "many.html", most_bytes=20_000)
    assert 0 < written.readable < written.episodes
    page = await opened(browser, written.path)
    assert len(await tasks(page)) > 0
    missing = await page.evaluate(
        "JSON.parse(document.getElementById('episodes').textContent).findIndex((one) => !one.at)"
    )
    await page.evaluate(f"location.hash = '{missing}/'")
    await page.wait_for_selector("text=agent-r view PATH --task")
    clean(page)
