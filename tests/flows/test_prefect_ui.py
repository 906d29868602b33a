"""Prefect's form, in a real browser: what is typed is what runs, and what cannot be is refused."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, Response, expect

from agent_r.config import parse
from agent_r.dataset.manifest import read_manifest
from agent_r.settings import Config, MixtureEnv, ShopEnv, public_settings
from flows.collect import collect
from flows.form.asked import asked
from tests.support.browser import CHROMIUM, chromium
from tests.support.prefect_server import Server, showing

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

WORLD, ENDPOINT = 0, 1  # which of the form's tabs
ADDRESS = "http://127.0.0.1:9"
LOCAL = {"base_url": f"{ADDRESS}/v1", "model": "tiny"}


@dataclass(frozen=True)
class Filled:
    """A tab, what a person types there by a field's name, and the settings that it means."""

    tab: str
    means: dict[str, Any]
    typed: dict[str, str] = field(default_factory=dict)


WORLDS = [
    Filled("TextCraft", {"kind": "textcraft", "recipes": "minecraft"}, {"recipes": "minecraft"}),
    Filled("Shop", {"kind": "shop", "products": 300}, {"products": "300"}),
    Filled("ScienceWorld", {"kind": "scienceworld", "simplifications": "easy,openDoors"},
           {"simplifications": "easy,openDoors"}),
    Filled("TextWorldExpress", {"kind": "textworld-express", "game": "coin",
                                "parameters": "numLocations=3"},
           {"game": "coin", "parameters": "numLocations=3"}),
    Filled("AgentGym", {"kind": "agentgym", "server": "webshop", "base_url": ADDRESS},
           {"base_url": ADDRESS, "server": "webshop"}),
    Filled("OpenEnv", {"kind": "openenv", "name": "mine", "base_url": ADDRESS,
                       "instruction": "Play.", "action": {"message": "{action}"},
                       "observation": "text"},
           {"base_url": ADDRESS, "name": "mine", "instruction": "Play.",
            "action": '{"message": "{action}"}', "observation": "text"}),
    Filled("Python", {"kind": "python", "factory": "mine:world"}, {"factory": "mine:world"}),
    Filled("Gymnasium", {"kind": "gymnasium", "factory": "mine:world", "instruction": "Play."},
           {"factory": "mine:world", "instruction": "Play."}),
    Filled("Mixture", {"kind": "mixture", "worlds": [{"kind": "textcraft"}, {"kind": "shop"}]}),
]  # fmt: skip
ENDPOINTS = [
    Filled("Embedded", {"kind": "embedded", "checkpoint": "my/model"}, {"checkpoint": "my/model"}),
    Filled("OpenAI-compatible", {"kind": "openai", "api_key_env": "KEY"} | LOCAL,
           {"api_key_env": "KEY"} | LOCAL),
    Filled("Scripted", {"kind": "scripted", "error_rate": 0.5}, {"error_rate": "0.5"}),
]  # fmt: skip


@dataclass
class Form:
    """The form of `collect`, as a person has it in front of them."""

    server: Server
    page: Page

    async def open(self, ui: str = "/v2") -> None:
        deployment = self.server.deployment("collect/form")
        await self.page.goto(f"{self.server.url}{ui}/deployments/deployment/{deployment}/run")
        await self.page.get_by_text("Mixture", exact=True).wait_for()

    def field(self, name: str, within: Page | Locator | None = None) -> Locator:
        label = re.compile(rf"^(Select )?{name}( \(Optional\))?$")
        return (within or self.page).get_by_label(label)

    async def fill(self, name: str, text: str, within: Page | Locator | None = None) -> None:
        here = self.field(name, within)
        if await here.evaluate("element => element.tagName") != "BUTTON":
            return await here.fill(text)
        await here.click()
        await self.page.get_by_role("option", name=text, exact=True).click()

    async def choose(self, which: int, tab: str) -> Locator:
        """Open a tab; its fields."""
        await self.page.get_by_text(tab, exact=True).click()
        return self.page.get_by_role("tabpanel").nth(which)

    async def choose_and_fill(self, which: int, filled: Filled) -> None:
        panel = await self.choose(which, filled.tab)
        for name, text in filled.typed.items():
            await self.fill(name, text, panel)

    async def picture(self, of: Locator, path: Path) -> None:
        """With a margin, and whole, however long it is."""
        x, y, width, height = await of.evaluate(
            "element => { const box = element.getBoundingClientRect();"
            " return [box.x, box.y + window.scrollY, box.width, box.height] }"
        )
        clip: Any = {"x": x - 16, "y": y - 16, "width": width + 32, "height": height + 32}
        await self.page.screenshot(path=path, full_page=True, clip=clip)

    async def press(self) -> Response:
        """Submit; what the server answers."""
        async with self.page.expect_response(lambda answer: "create_flow_run" in answer.url) as one:
            await self.page.get_by_role("button", name="Submit", exact=True).click()
        return await one.value

    async def submit(self) -> dict[str, Any]:
        """The run that was made."""
        answer = await self.press()
        assert answer.ok, await answer.text()
        return dict(await answer.json())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One of its own: on a server that runs flows, a press of the button may wait for minutes."""
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}")
    with showing(tmp_path_factory.mktemp("form"), "flows.collect.collect", "form") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def form(server: Server) -> AsyncIterator[Form]:
    async with chromium() as browser:
        page = await browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(60_000)  # for what takes a second
        yield Form(server, page)


async def meant(run: dict[str, Any]) -> Config:
    """The settings with which the flow begins, of what the form has submitted."""
    given = collect.validate_parameters(run["parameters"])
    fields = {name: given[name] for name in ("world", "endpoint", "dataset", "budget")
              if name in given}  # fmt: skip
    return await asked(given["settings"], given["overrides"], **fields)


@pytest.mark.parametrize("number", range(len(WORLDS)), ids=[world.tab for world in WORLDS])
async def test_every_kind_of_world_and_endpoint_runs_as_it_was_typed(
    form: Form, number: int
) -> None:
    world, endpoint = WORLDS[number], ENDPOINTS[number % len(ENDPOINTS)]
    await form.open()
    await form.choose_and_fill(WORLD, world)
    await form.choose_and_fill(ENDPOINT, endpoint)
    config = await meant(await form.submit())
    assert config == parse({"env": world.means, "endpoint": endpoint.means}, source="typed")


async def test_an_endpoint_that_prefect_keeps_is_chosen_by_its_name(form: Form) -> None:
    await form.open()
    await form.choose_and_fill(ENDPOINT, Filled("Block", {"kind": "block"}, {"name": "mine"}))
    assert (await form.submit())["parameters"]["endpoint"] == {"kind": "block", "name": "mine"}


async def test_a_form_left_as_it_is_runs_the_settings_that_it_names(
    form: Form, pictures: Path
) -> None:
    await form.open()
    await form.picture(form.page.locator("form"), pictures / "prefect-form.png")
    await form.fill("settings", "paper")
    assert await meant(await form.submit()) == await asked("paper")


async def test_a_mixture_that_was_typed_is_what_a_real_run_explores(
    form: Form, pictures: Path
) -> None:
    await form.open()
    panel = await form.choose(WORLD, "Mixture")
    await form.field("weight", panel).nth(0).fill("3")
    await panel.get_by_role("button", name="Add item").nth(1).click()
    await panel.get_by_role("textbox").last.fill("products=200")
    await form.choose_and_fill(ENDPOINT, ENDPOINTS[2])
    await form.fill("dataset", "typed")
    await form.fill("trees", "4")
    await form.picture(panel.locator("xpath=.."), pictures / "prefect-mixture.png")
    run = await form.submit()
    typed = (await meant(run)).env
    assert isinstance(typed, MixtureEnv) and isinstance(typed.worlds[1], ShopEnv)
    assert (typed.worlds[0].weight, typed.worlds[1].products) == (3, 200)
    form.server.do(f"prefect flow-run execute {run['id']}")
    ended = form.server.get(f"/flow_runs/{run['id']}")
    assert ended["state"]["name"] == "Completed", ended["state"]["message"]
    manifest = read_manifest(form.server.folder / "datasets_out/typed/v1.1")
    assert manifest["config"]["env"]["worlds"] == [public_settings(one) for one in typed.worlds]
    assert manifest["counts"]["trees"] == manifest["config"]["trees"] == 4


# What cannot be, by its field; and what the form says there.
WRONG = [
    ("base_url", "localhost:8000", "'localhost:8000' does not match '^https?://[^@ ]+$'"),
    ("dataset", "a/b", "'a/b' does not match '^[A-Za-z0-9._-]*$'"),
    ("model", "", "'' should be non-empty"),
]


async def test_what_cannot_be_is_refused_at_its_field_and_no_run_begins(form: Form) -> None:
    before = len(form.server.runs("collect/form"))
    await form.open()
    endpoint = await form.choose(ENDPOINT, "OpenAI-compatible")
    for name, text, _ in WRONG:
        await form.fill(name, text, endpoint if name != "dataset" else None)
    world = await form.choose(WORLD, "Mixture")
    for _ in range(2):
        # After the menus of the kind and the list, and those of the first world's three fields.
        await world.get_by_role("button", name="Open menu").nth(5).click()
        await form.page.get_by_role("menuitem", name="Delete").click()
    assert (await form.press()).status == 409
    for _, _, said in WRONG:
        await expect(form.page.get_by_text(said, exact=True)).to_be_visible()
    await expect(form.page.get_by_text("[] should be non-empty", exact=True)).to_be_visible()
    assert len(form.server.runs("collect/form")) == before


async def test_the_older_ui_submits_and_refuses_the_same(form: Form) -> None:
    await form.open(ui="")
    await form.page.get_by_text("Mixture", exact=True).click()
    await form.page.get_by_text("Scripted", exact=True).click()
    config = await meant(await form.submit())
    mixture, scripted = WORLDS[-1].means, {"kind": "scripted"}
    assert config == parse({"env": mixture, "endpoint": scripted}, source="typed")
    await form.open(ui="")
    await form.page.get_by_text("OpenAI-compatible", exact=True).click()
    assert (await form.press()).status == 409
    said = form.page.get_by_text("Validation failed for field 'endpoint.model'")
    await expect(said.first).to_contain_text("'' should be non-empty")
