"""The form's schema: short, plain, and told apart tab by tab as Prefect's UIs do it."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from prefect import Flow
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import build_error_obj, validate

from agent_r.settings import Config

YAML = Path(__file__).parents[3] / "prefect.yaml"
DEPLOYMENTS = yaml.safe_load(YAML.read_text(encoding="utf-8"))["deployments"]
FLOWS = ["self_train", "collect", "grow", "publish", "train", "measure"]
MOST_FIELDS = 14  # that are seen when a form is opened


def schema_of(name: str) -> dict[str, Any]:
    flow: Flow[..., Any] = getattr(importlib.import_module(f"flows.{name}"), name)
    return parameter_schema(flow).model_dump()


def fields(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """What is drawn before a tab is chosen: of a union, what it has by default."""
    drawn = []
    for field in schema.get("properties", {}).values():
        drawn += fields(field) if "properties" in field else [field]
    return drawn


def tabs(name: str) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = schema_of("self_train")["properties"][name]["anyOf"]
    return shown


@pytest.mark.parametrize("name", FLOWS)
def test_a_form_is_short_and_has_no_table_secret_or_reference(name: str) -> None:
    schema = schema_of(name)
    assert len(fields(schema)) <= MOST_FIELDS
    assert not schema["definitions"]
    text = json.dumps(schema)
    for unwanted in ("oneOf", "additionalProperties", '"format": "password"', "$ref"):
        assert unwanted not in text


@pytest.mark.parametrize("name", FLOWS)
def test_what_only_another_flow_can_give_is_not_asked(name: str) -> None:
    asked = schema_of(name)["properties"].keys()
    assert not asked & {"earlier", "outcomes", "spend_all", "openings", "led", "config"}


def opened(name: str, value: dict[str, Any]) -> str:
    """The tab that both UIs show of a value: the first that has most of its names."""
    kinds = tabs(name)[1:]
    common = [len(value.keys() & kind["properties"].keys()) for kind in kinds]
    return str(kinds[common.index(max(common))]["properties"]["kind"]["enum"][0])


@pytest.mark.parametrize("name", ["world", "endpoint"])
def test_a_tab_is_found_again_by_what_it_sends(name: str) -> None:
    for kind in tabs(name)[1:]:
        fields = kind["properties"].items()
        sent = {key: field["default"] for key, field in fields if "default" in field}
        assert opened(name, sent) == sent["kind"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["name"])
def test_a_deployment_s_form_opens_on_the_kinds_that_it_gives(deployment: dict[str, Any]) -> None:
    for name in ("world", "endpoint"):
        if given := deployment.get("parameters", {}).get(name):
            assert opened(name, given) == given["kind"], "give a field that no other kind has"


@pytest.mark.parametrize("name", ["world", "endpoint"])
def test_every_kind_of_the_settings_has_a_tab(name: str) -> None:
    setting = {"world": "env", "endpoint": "endpoint"}[name]
    members = get_args(Config.model_fields[setting].annotation)
    known = {member.model_fields["kind"].default for member in members}
    shown = {kind["properties"]["kind"]["enum"][0] for kind in tabs(name)[1:]}
    assert shown - known <= {"block"} and known <= shown


WRONG: list[tuple[dict[str, Any], list[str], str]] = [
    ({"endpoint": {"kind": "openai", "base_url": "x", "model": "m"}}, ["endpoint", "base_url"],
     "'x' does not match '^https?://[^@ ]+$'"),
    ({"endpoint": {"kind": "scripted", "error_rate": 2}}, ["endpoint", "error_rate"],
     "2 is greater than the maximum of 1.0"),
    ({"world": {"kind": "shop", "products": 1}}, ["world", "products"],
     "1 is less than the minimum of 100"),
    ({"world": {"kind": "python", "factory": "x"}}, ["world", "factory"], "'x' does not match "),
    ({"world": {"kind": "mixture", "worlds": []}}, ["world", "worlds"], "[] should be non-empty"),
    ({"budget": {"trees": 0}}, ["budget", "trees"], "0 is less than the minimum of 1"),
    ({"repo": "mine"}, ["repo"], "'mine' does not match "),
]  # fmt: skip


@pytest.mark.parametrize(("given", "where", "said"), WRONG)
def test_a_wrong_value_is_a_sentence_at_its_field(
    given: dict[str, Any], where: list[str], said: str
) -> None:
    found = build_error_obj(validate(given, schema_of("self_train")))["errors"]
    for name in where:
        [field] = found
        assert field["property"] == name
        found = field["errors"]
    assert len(found) == 1 and found[0].startswith(said)


def test_what_is_left_empty_is_valid() -> None:
    empty = {"settings": "default", "world": None, "endpoint": None, "dataset": "", "repo": "",
             "budget": {}, "overrides": []}  # fmt: skip
    assert validate(empty, schema_of("self_train")) == []
