"""Settings: whatever is wrong with them is one line that names the place."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from agent_r.config import PRESETS, digest, load, merge, overrides, parse, read_key
from agent_r.errors import ConfigError
from agent_r.settings import Config, EmbeddedEndpoint, OpenAIEndpoint, TextCraftEnv

OPENAI = {"kind": "openai", "base_url": "http://localhost:1/v1", "model": "tiny"}
COMMAND = {"backend": "command", "command": "train {dataset}"}


def refusal(values: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(values, source="my.toml")
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("my.toml: ")
    assert len(text) < 300
    return text


MIXTURE = {"kind": "mixture", "worlds": [{"kind": "textcraft"}]}
AGENTGYM = {"kind": "agentgym", "server": "webshop", "base_url": "http://localhost:1"}
OPENENV = {
    "kind": "openenv",
    "name": "a",
    "base_url": "http://localhost:1",
    "instruction": "?",
    "action": {"message": "{action}"},
    "observation": "text",
}


def mixed(**world: Any) -> dict[str, Any]:
    return {"kind": "mixture", "worlds": [{"kind": "textcraft"}, world]}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"treees": 3}, "treees: Extra inputs"),
        ({"search": {"simulation": 3}}, "search.simulation: Extra inputs"),
        ({"search": {"simulations": 0}}, "search.simulations: "),
        ({"search": {"exploration": float("nan")}}, "search.exploration: "),
        ({"search": 3}, "search: "),
        ({"iterations": "many"}, "iterations: "),
        ({"revision": {"alpha": 1.5}}, "revision.alpha: "),
        ({"revision": {"alpha": -0.1}}, "revision.alpha: "),
        ({"revision": {"beta": 1.0}}, "leaves no pair"),
        ({"revision": {"alpha": 0.3, "beta": 0.5, "beta_is": "threshold"}}, "good and bad at once"),
        ({"revision": {"beta_is": "ratio"}}, "revision.beta_is: "),
        ({"alphas": [0.5, 0.7]}, "2 alphas for 3 iterations"),
        (
            {"alphas": [0.5, 0.1, 1.0], "revision": {"beta": 0.2, "beta_is": "threshold"}},
            "iteration 2: beta 0.2 is above alpha 0.1",
        ),
        ({"alphas": [0.5, 2.0, 1.0]}, "alphas.1: "),
        ({"train": {"eta": 0.0}}, "train.eta: "),
        ({"train": {"command": "x"}}, "goes with backend = 'command'"),
        ({"train": {"backend": "command"}}, "goes with backend = 'command'"),
        ({"endpoint": OPENAI | {"model": 3}, "train": COMMAND}, "endpoint.model: "),
        ({"endpoint": {"kind": "openai", "model": "x"}}, "endpoint.base_url: "),
        ({"endpoint": OPENAI | {"timeout": 3}}, "endpoint.timeout: "),
        ({"endpoint": {"kind": "scripted", "rate": 1}}, "endpoint.rate: "),
        ({"endpoint": {"kind": "opnai"}}, "choose one of 'embedded', 'openai', 'scripted'"),
        ({"env": {"kind": "chess"}}, "env.kind: choose one of 'mixture', 'textcraft', 'shop', "),
        ({"env": {"kind": "mixture"}}, "env: a mixture has no worlds yet: give it one or more"),
        ({"env": MIXTURE | {"worlds": []}}, "env: a mixture has no worlds yet: give it one or"),
        ({"env": {"kind": "python", "factry": "a:b"}}, "env.factry: Extra inputs"),
        ({"env": MIXTURE | {"size": 3}}, "env.size: Extra inputs"),
        ({"env": mixed(kind="chess")}, "env.worlds.1.kind: choose one of 'textcraft', 'shop', "),
        ({"env": mixed(kind="shop", product=3)}, "env.worlds.1.product: Extra inputs"),
        ({"env": mixed(kind="shop", weight=0)}, "env.worlds.1.weight: Input should be greater"),
        ({"env": mixed(factory="a:b")}, "env.worlds: world 2 of 2 does not say its kind"),
        ({"env": AGENTGYM | {"base_url": "http://localhost:99999"}}, "env.base_url: that is no"),
        ({"env": AGENTGYM | {"base_url": "http://[bad"}}, "env.base_url: that is no address"),
        ({"env": AGENTGYM | {"server": "webshp"}}, "env.server: Input should be"),
        ({"env": OPENENV | {"train": [{"seed": date(2026, 1, 1)}]}}, "env.train: it is sent as"),
        ({"env": OPENENV | {"name": "A"}}, "env.name: "),
        ({"dataset": {"name": "../up"}}, "dataset.name: "),
        ({"x\ny" * 100: 1}, "x y"),
    ],
)
def test_a_setting_that_cannot_be_is_named_in_one_line(values: dict[str, Any], said: str) -> None:
    assert said in refusal(values)


def test_several_mistakes_are_counted() -> None:
    assert "(and 1 more)" in refusal({"a": 1, "b": 2})


@pytest.mark.parametrize("text", ["[", "a = ", "a = 1\na = 2", "\x00", "x = {", "=" * 5000])
def test_a_file_that_is_not_toml_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "my.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"my\.toml is not valid TOML") as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"name = '\xe9'")
    for path in (tmp_path / "none.toml", tmp_path, tmp_path / "latin"):
        with pytest.raises(ConfigError, match="cannot read the config") as caught:
            load(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid(preset: str) -> None:
    assert isinstance(load(None, preset=preset), Config)


def test_an_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="choose one of default, paper"):
        load(None, preset="papper")


def test_the_papers_settings_are_the_papers() -> None:
    config = load(None, preset="paper")
    assert [config.revision_at(i).alpha for i in (1, 2, 3)] == [0.5, 0.7, 1.0]
    assert (config.revision.beta, config.revision.beta_is) == (0.2, "gap")
    assert (config.search.simulations, config.search.candidates) == (8, 4)
    assert (config.search.max_depth, config.search.exploration) == (20, 0.25)
    assert (config.train.eta, config.train.learning_rate, config.train.warmup) == (0.2, 2e-5, 0.03)


def test_the_file_goes_over_the_preset_and_the_command_line_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("seed = 1\n[train]\neta = 0.4\n[dataset]\nname = 'mine'\n", encoding="utf-8")
    config = load(path, preset="paper", over={"seed": 2})
    assert (config.seed, config.train.eta, config.dataset.name) == (2, 0.4, "mine")
    assert config.train.max_length == 8192  # the preset's table is merged, not replaced


def test_merging_changes_neither_side() -> None:
    base, over = {"a": {"b": 1}, "c": 1}, {"a": {"d": 2}, "c": {"e": 3}}
    assert merge(base, over) == {"a": {"b": 1, "d": 2}, "c": {"e": 3}}
    assert base == {"a": {"b": 1}, "c": 1}


def test_an_iteration_beyond_the_schedule_has_its_last_alpha() -> None:
    config = load(None, preset="paper").model_copy(update={"alphas": (0.5, 0.7, 0.9)})
    assert config.revision_at(4).alpha == 0.9
    assert Config().revision_at(99) == Config().revision


def test_an_endpoint_is_told_by_its_kind_and_settings_are_frozen() -> None:
    assert isinstance(Config().endpoint, EmbeddedEndpoint)
    config = Config.model_validate({"endpoint": OPENAI, "train": COMMAND})
    assert isinstance(config.endpoint, OpenAIEndpoint)
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3  # type: ignore[misc]


def test_a_key_is_never_in_a_dump_a_repr_or_a_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config.model_validate({"endpoint": OPENAI, "train": COMMAND})
    without = digest(config)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-123")
    assert isinstance(config.endpoint, OpenAIEndpoint)
    assert read_key(config.endpoint) == "sk-secret-123"
    assert "sk-secret-123" not in config.model_dump_json() + repr(config)
    assert digest(config) == without


def test_no_setting_takes_a_key() -> None:
    assert "api_key" in refusal({"endpoint": OPENAI | {"api_key": "sk-1"}, "train": COMMAND})
    assert "sk-1" not in refusal({"endpoint": OPENAI | {"api_key": "sk-1"}, "train": COMMAND})


def test_equal_settings_have_equal_digests_and_others_do_not() -> None:
    assert digest(Config(), "x", 1) == digest(Config.model_validate({}), "x", 1)
    names = {digest(Config(seed=s), "x") for s in range(3)} | {digest(Config(), "y")}
    assert len(names) == 4


def test_every_kind_of_world_and_endpoint_is_filled_in_where_a_form_is_made() -> None:
    """Prefect's form shows a constant, and does not let a person fill it in."""
    schema = Config.model_json_schema()
    kinds = {
        name: made["properties"]["kind"]
        for name, made in schema["$defs"].items()
        if "kind" in made["properties"]
    }
    assert {"ScienceWorldEnv", "MixtureEnv", "OpenAIEndpoint"} < set(kinds)
    assert all(kind["default"] == kind["const"] for kind in kinds.values())


def test_a_world_without_a_kind_is_textcraft() -> None:
    assert parse({"env": {"distractors": 2}}, source="t").env == TextCraftEnv(distractors=2)
    assert "env.factory: Extra inputs" in refusal({"env": {"factory": "a:b"}})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", 4),
        ("0.5", 0.5),
        ("true", True),
        ("[0.5, 1.0]", [0.5, 1.0]),
        ('{goal = "x=1"}', {"goal": "x=1"}),
        ('"4"', "4"),
        ("my-data", "my-data"),
        ("http://localhost:8000/v1?a=b", "http://localhost:8000/v1?a=b"),
        ("", ""),
        ("1\nother = 2", "1\nother = 2"),
        ("9" * 5000, "9" * 5000),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_a_value_on_the_command_line_is_toml_or_else_text(text: str, value: Any) -> None:
    assert overrides([f"a.b={text}"]) == {"a": {"b": value}}


def test_of_two_values_for_one_setting_the_last_counts_and_others_stay() -> None:
    words = ["search.simulations=4", "search.candidates=2", "search.simulations=5"]
    assert overrides(words) == {"search": {"simulations": 5, "candidates": 2}}


def test_the_command_line_goes_before_the_file_and_the_file_before_the_preset(
    tmp_path: Path,
) -> None:
    path = tmp_path / "my.toml"
    path.write_text("[search]\nsimulations = 3\ncandidates = 2\nstop_early = true")
    config = load(path, preset="paper", over=overrides(["search.simulations=7"]))
    assert (config.search.simulations, config.search.candidates) == (7, 2)
    assert config.search.stop_early and not config.revision.verify


@pytest.mark.parametrize(
    ("train", "problem"),
    [
        ({"backend": "local", "trl": {}}, "`trl` goes with backend = 'trl'"),
        ({"backend": "trl", "optimizer": "muon"}, "`optimizer` and `average` are the local"),
        ({"backend": "trl", "average": 0.5}, "`optimizer` and `average` are the local"),
        (
            {"backend": "trl", "general": "rows.jsonl", "trl": {"rows": "preference"}},
            "`general` rows are no pairs",
        ),
    ],
)
def test_settings_of_trl_that_cannot_be(train: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse({"train": train}, source="here")


def test_trl_has_defaults_of_its_own_and_leaves_no_trace_where_it_is_not_asked_for() -> None:
    lora, full = (
        Config.model_validate({"train": {"backend": "trl", "trl": {"full": full}}})
        for full in (False, True)
    )
    assert (lora.train.learning_rate, full.train.learning_rate) == (2e-4, 2e-5)
    assert (lora.train.optimizer, lora.train.max_length) == ("adamw", 4096)
    assert Config.model_validate(lora.model_dump()) == lora
    assert "trl" not in Config().model_dump()["train"]
