"""prefect.yaml: what it names exists, takes what it is given, and explains itself in the form."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.cli.deploy._models import PrefectYamlModel
from prefect.flows import load_flow_from_entrypoint
from prefect.states import (
    AwaitingRetry,
    Cancelled,
    Completed,
    Crashed,
    Failed,
    InfrastructurePending,
    Paused,
    Pending,
    Submitting,
    Suspended,
)
from prefect.utilities.callables import parameter_schema

from agent_r.config import load
from flows.cli import main as cli
from flows.form import limits
from flows.form.asked import asked
from flows.page.upkeep import LEFT
from flows.states import NOTHING_NEW

ROOT = Path(__file__).parents[2]
YAML = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
AUTOMATION = yaml.safe_load((ROOT / "automations/no-heartbeat.yaml").read_text(encoding="utf-8"))
NEVER_BEGAN = yaml.safe_load((ROOT / "automations/never-began.yaml").read_text(encoding="utf-8"))
DEPLOYMENTS = {each["name"]: each for each in YAML["deployments"]}
# Commands that are no flow: they check, serve or make the packaged model.
NO_FLOW = {
    "audit",
    "compare",
    "deploy",
    "scan",
    "verify",
    "check-env",
    "check-template",
    "train-script",
    "try",
    "serve",
    "warm-start",
    "pull",
    "diff",
    "merge",
    "export",
    "view",
}


def flow_of(name: str) -> Flow[..., Any]:
    """The flow as a worker loads it."""
    loaded: Flow[..., Any] = load_flow_from_entrypoint(DEPLOYMENTS[name]["entrypoint"])
    return loaded


FLOWS = {flow_of(name).name for name in DEPLOYMENTS}


def undescribed(schema: dict[str, Any], definitions: dict[str, Any], at: str) -> Iterator[str]:
    """Paths of the fields whose place in the form would be empty."""
    for name, field in schema.get("properties", {}).items():
        path = f"{at}.{name}"
        below = [definitions[ref.rsplit("/", 1)[1]] for ref in references(field)]
        if "description" not in field and not (below and all("description" in b for b in below)):
            yield path
        for each in below:
            yield from undescribed(each, definitions, path)


def references(field: dict[str, Any]) -> list[str]:
    members = [field, *field.get("anyOf", []), *field.get("allOf", []), field.get("items", {})]
    return [member["$ref"] for member in members if "$ref" in member]


def test_prefect_reads_the_file() -> None:
    PrefectYamlModel.model_validate(YAML)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_an_entrypoint_is_the_module_itself_and_loads_the_flow_of_its_name(name: str) -> None:
    # With a colon Prefect would load a second copy of the module from its file.
    assert ":" not in DEPLOYMENTS[name]["entrypoint"]
    assert flow_of(name).name in FLOWS


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_parameters_are_what_the_flow_takes(name: str) -> None:
    given, flow = DEPLOYMENTS[name].get("parameters", {}), flow_of(name)
    signature = inspect.signature(flow.fn)
    signature.bind_partial(**given)
    needed = {p.name for p in signature.parameters.values() if p.default is p.empty}
    if not needed - given.keys():
        flow.validate_parameters(given)
    else:
        assert not DEPLOYMENTS[name].get("schedules"), f"a schedule cannot give {needed}"


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_every_parameter_and_setting_is_described(name: str) -> None:
    schema = parameter_schema(flow_of(name)).model_dump()
    assert [*undescribed(schema, schema["definitions"], name)] == []


def test_every_flow_of_the_command_line_has_a_deployment() -> None:
    [commands] = (a for a in cli.parser()._actions if isinstance(a.choices, dict))
    assert commands.choices is not None
    assert {*commands.choices} - NO_FLOW == FLOWS - {"fine-tune"}  # `train` submits that one
    assert {each["name"] for each in YAML["deployments"] if not each.get("parameters")} == FLOWS


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_no_result_is_kept_where_another_worker_would_miss_it(name: str) -> None:
    assert flow_of(name).persist_result is False


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_the_automation_waits_for_two_heartbeats_and_more(name: str) -> None:
    env = DEPLOYMENTS[name]["work_pool"]["job_variables"]["env"]
    beat = int(env["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])
    assert AUTOMATION["trigger"]["within"] > 3 * beat
    flow = flow_of(name).name
    assert flow in AUTOMATION["trigger"]["match_related"]["prefect.resource.name"]


def test_the_automation_knows_every_state_in_which_a_run_gives_no_sign_of_life() -> None:
    ends = [Completed(), Failed(), Crashed(), Cancelled(), Paused(), Suspended(), AwaitingRetry()]
    names = {str(state.name) for state in ends} | {NOTHING_NEW, "TimedOut", "Scheduled"}
    expected = {f"prefect.flow-run.{name}" for name in names | {"heartbeat"}} | {LEFT}
    assert set(AUTOMATION["trigger"]["expect"]) == expected


def test_the_other_automation_knows_every_state_but_those_before_the_first() -> None:
    waits = {state().name for state in (Pending, Submitting, InfrastructurePending)}
    also = {"Running", "Retrying", "Cancelling", "Late", "AwaitingConcurrencySlot"}
    ends = set(AUTOMATION["trigger"]["expect"]) - {"prefect.flow-run.heartbeat", LEFT}
    trigger = NEVER_BEGAN["trigger"]
    assert set(trigger["after"]) == {f"prefect.flow-run.{name}" for name in waits}
    assert set(trigger["expect"]) == ends | {f"prefect.flow-run.{name}" for name in also}
    assert trigger["match_related"] == AUTOMATION["trigger"]["match_related"]


@pytest.mark.parametrize("name", DEPLOYMENTS)
async def test_what_the_file_itself_asks_for_is_allowed_to_a_submitted_run(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("AGENT_R_ALLOW", raising=False)
    monkeypatch.setattr(limits, "submitted", lambda: True)
    asks = dict(DEPLOYMENTS[name].get("parameters") or {})
    fields = {k: asks[k] for k in ("world", "endpoint", "dataset", "repo", "budget") if asks.get(k)}
    await asked(asks.get("settings", "default"), asks.get("overrides", ()), **fields)


async def test_the_nightly_explores_new_ground_each_time() -> None:
    given = dict(DEPLOYMENTS["nightly"]["parameters"])
    config = await asked(given.pop("settings"), given.pop("overrides", ()), **given)
    assert config.continual
    assert config == load(ROOT / "configs/nightly.toml")


def test_no_schedule_is_active_before_someone_says_so() -> None:
    schedules = [s for d in DEPLOYMENTS.values() for s in d.get("schedules", [])]
    assert schedules
    assert not any(s["active"] for s in schedules)
