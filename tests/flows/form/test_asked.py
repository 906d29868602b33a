"""What a person typed becomes the settings of a run; what was left empty changes none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent_r.config import load, overrides
from agent_r.errors import AgentRError
from agent_r.settings import Config, EmbeddedEndpoint, OpenAIEndpoint, ShopEnv, TextCraftEnv
from flows.form.asked import asked

ROOT = Path(__file__).parents[3]
FILE = ROOT / "configs/own_endpoint.toml"
# As a form sends it in which nothing was typed.
EMPTY: dict[str, Any] = {
    "world": None, "endpoint": None, "dataset": "", "repo": "", "budget": {},
}  # fmt: skip
BLANK = {"trees": None, "iterations": None, "tokens": None, "minutes": None, "money": None}


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a worker runs, for settings that are called by a file's name."""
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("base", ["default", "paper", "demo", "configs/demo.toml", ""])
async def test_an_empty_form_is_its_settings_and_nothing_else(base: str) -> None:
    preset = base if base in ("default", "paper") else "default"
    path = ROOT / "configs/demo.toml" if "demo" in base else None
    expected = load(path, preset=preset)
    assert await asked(base, (), **EMPTY) == expected
    assert await asked(base, (" ",), **EMPTY | {"budget": BLANK}) == expected


async def test_a_config_in_which_nothing_was_typed_is_the_same_one() -> None:
    config = load(FILE)
    assert await asked(config, (), **EMPTY) is config


async def test_settings_can_be_text_as_toml_or_json_and_a_file_in_a_store(tmp_path: Path) -> None:
    expected = load(FILE)
    stored = (tmp_path / "mine.toml").as_uri()
    Path(tmp_path / "mine.toml").write_bytes(FILE.read_bytes())
    for base in (FILE.read_text(), expected.model_dump_json(), stored, str(FILE)):
        assert await asked(base) == expected


async def test_what_is_typed_lies_on_top_and_an_override_on_top_of_that() -> None:
    lines = ["trees=7", "search.simulations=2", "dataset.out=elsewhere"]
    budget = {"trees": 5, "iterations": 2, "tokens": 0, "minutes": 1.5}
    typed = {"world": {"kind": "shop", "products": 300}, "dataset": "mine", "repo": "me/mine"}
    config = await asked("own_endpoint", lines, **typed, budget=budget)
    assert config == load(FILE, over=overrides([
        "trees=7", "iterations=2", "budget.minutes=1.5", 'env={kind="shop", products=300}',
        "dataset.name=mine", "dataset.out=elsewhere", "hub.repo=me/mine", "search.simulations=2",
    ]))  # fmt: skip


async def test_a_field_of_the_same_kind_keeps_the_others_and_another_kind_none() -> None:
    base = {
        "env": {"kind": "textcraft", "recipes": "mine", "distractors": 1},
        "endpoint": {"kind": "openai", "base_url": "http://x/v1", "model": "m", "attempts": 2},
    }
    text = json.dumps(base)
    same = await asked(text, world={"kind": "textcraft", "recipes": "builtin"})
    assert same.env == TextCraftEnv(recipes="builtin", distractors=1)
    other = await asked(text, world={"kind": "shop"}, endpoint={"kind": "embedded"})
    assert (other.env, other.endpoint) == (ShopEnv(), EmbeddedEndpoint())
    model = {"kind": "openai", "base_url": "http://x/v1", "model": "other", "api_key_block": ""}
    assert (await asked(text, endpoint=model)).endpoint == OpenAIEndpoint(
        base_url="http://x/v1", model="other", attempts=2
    )


async def test_no_repository_publishes_nothing_whatever_the_settings_say() -> None:
    base = 'hub = {repo = "me/mine", private = false}'
    assert (await asked(base)).hub.repo == "me/mine"
    none = (await asked(base, repo="no")).hub
    assert (none.repo, none.private) == ("", False)


MIXTURE = {"kind": "mixture", "worlds": []}
WRONG: dict[str, tuple[str, list[str], dict[str, Any], str]] = {
    "no such settings": ("nightli", [], {}, "no settings are called 'nightli': here are default"),
    "no such file in the store": ("file:///none/x.toml", [], {}, "there is no file file:///none"),
    "no TOML": ("trees = ", [], {}, "settings is not valid TOML"),
    "no JSON": ('{"trees"', [], {}, "neither TOML nor JSON"),
    "a setting that is none": ("tree = 5", [], {}, "the settings of this run: tree: "),
    "an endpoint that is none": ("endpoint = 5\nhub = 5", [], {}, "the settings of this run: "),
    "a world that is none": ("env = 5", [], {"world": {"kind": "shop", "products": 1}}, "products"),
    "no override": ("", ["trees"], {}, "write key=value"),
    "a mixture of nothing": ("", [], {"world": MIXTURE}, "a mixture has no worlds yet"),
    "a member that is none": (
        "",
        [],
        {"world": {"kind": "mixture", "worlds": [{"kind": "shop", "settings": ["product=5"]}]}},
        "env.worlds.0.product: Extra inputs are not permitted",
    ),
    "no action": ("", [], {"world": {"kind": "openenv", "action": "{"}}, "world.action is no JSON"),
    "too many iterations": ("paper", [], {"budget": {"iterations": 2}}, "3 alphas for 2"),
    "no price": ("", [], {"budget": {"money": 5}}, "budget.money needs endpoint.prompt_price"),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
async def test_what_cannot_be_is_one_line(
    case: tuple[str, list[str], dict[str, Any], str],
) -> None:
    base, lines, typed, said = case
    with pytest.raises(AgentRError) as refused:
        await asked(base, lines, **typed)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_the_command_line_asks_for_the_same_settings() -> None:
    lines = ["search.simulations=4", "dataset.name=try-2"]
    assert await asked("demo", lines) == load(ROOT / "configs/demo.toml", over=overrides(lines))


def test_the_default_needs_nothing() -> None:
    assert Config() == load(None)
