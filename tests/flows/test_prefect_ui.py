"""Prefect's form, in a real browser: each tab submits the world that it shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect
from playwright.async_api import TimeoutError as NoAnswer

from agent_r.config import parse
from tests.support.browser import CHROMIUM
from tests.support.prefect_server import Server, showing

pytestmark = pytest.mark.slow

ADDRESS = "http://127.0.0.1:9"
SLOW_MS = 60_000  # for what takes a second
# What a person must fill in, by its label; the rest has its default.
FILLED: dict[str, tuple[str, dict[str, str]]] = {
    "TextCraftEnv": ("textcraft", {}),
    "ShopEnv": ("shop", {}),
    "ScienceWorldEnv": ("scienceworld", {}),
    "TextWorldExpressEnv": ("textworld-express", {}),
    "AgentGymEnv": ("agentgym", {"Server": "webshop", "Base Url": ADDRESS}),
    "OpenEnvEnv": (
        "openenv",
        {
            "Name": "mine",
            "Base Url": ADDRESS,
            "Instruction": "Play.",
            "Action": '{"message": "{action}"}',
            "Observation": "text",
        },
    ),
    "PythonEnv": ("python", {"Factory": "mine:world"}),
    "GymnasiumEnv": ("gymnasium", {"Factory": "mine:world", "Instruction": "Play."}),
    "MixtureEnv": ("mixture", {"Worlds": '{"kind": "shop", "weight": 2}'}),
}


def field(page: Page, label: str) -> Locator:
    """A field of the form, with its label and input."""
    named = "contains(@class, 'schema-form-property__label') and normalize-space() = "
    around = "ancestor::*[contains(concat(' ', @class, ' '), ' schema-form-property ')][1]"
    return page.locator(f"xpath=//span[{named}'{label}']/{around}")


async def fill(page: Page, label: str, text: str) -> None:
    here = field(page, label)
    if label == "Worlds":
        await here.get_by_text("Add item").click()
    if await here.locator(".p-select").count():
        await here.locator("button.p-select-button__control").press("Space")
        await page.get_by_role("option", name=text, exact=True).click()
    else:
        await here.locator("textarea, input").last.fill(text)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One of its own: on a server that runs flows, a press of the button may wait for minutes."""
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}")
    with showing(tmp_path_factory.mktemp("form"), "flows.collect.collect", "form") as running:
        yield running


async def open_form(page: Page, server: Server, tab: str) -> None:
    page.set_default_timeout(SLOW_MS)
    form = server.deployment("collect/form")
    await page.goto(f"{server.url}/deployments/deployment/{form}/run")
    await page.get_by_text(tab, exact=True).click()


async def submit(page: Page) -> None:
    await page.get_by_role("button", name="Submit", exact=True).click()


async def submitted(page: Page) -> dict[str, Any]:
    """The run that was made; a press that nothing comes of is repeated, as a person would."""
    seen: list[str] = []
    page.on("response", lambda answer: seen.append(f"{answer.status} {answer.url}"))
    for _ in range(3):
        try:
            async with page.expect_response(lambda r: "create_flow_run" in r.url) as answered:
                await submit(page)
        except NoAnswer:
            continue
        answer = await answered.value
        if answer.ok:
            return dict(await answer.json())
    shown = await page.locator("body").inner_text()
    raise AssertionError("\n".join(["no run", *seen, shown]))


@pytest.mark.parametrize("tab", FILLED)
async def test_a_world_s_tab_submits_what_it_shows(server: Server, page: Page, tab: str) -> None:
    kind, filled = FILLED[tab]
    await open_form(page, server, tab)
    shown = page.locator("textarea:disabled").first
    # Until its tab is drawn, the first such field is another one's: the endpoint's.
    await expect(shown).to_have_value(kind, timeout=60_000)
    for label, text in filled.items():
        await fill(page, label, text)
    run = await submitted(page)
    env: dict[str, Any] = run["parameters"]["config"]["env"]
    assert env["kind"] == kind
    parsed = parse({"env": env}, source="form").env.model_dump(mode="json")
    given = {name.lower().replace(" ", "_"): text for name, text in filled.items()}
    for name, text in given.items():
        value = env[name]
        assert (value if isinstance(value, str) else json.dumps(value).strip("[]")) == text
    assert env.keys() <= parsed.keys()


async def test_a_mixture_left_empty_is_refused_and_no_run_begins(
    server: Server, page: Page
) -> None:
    await open_form(page, server, "MixtureEnv")
    before = len(server.runs("collect/form"))
    async with page.expect_response(lambda answer: "schemas/validate" in answer.url) as answered:
        await submit(page)
    assert not (await (await answered.value).json())["valid"]
    await page.get_by_text("is not valid under any of the given schemas").first.wait_for()
    assert len(server.runs("collect/form")) == before
