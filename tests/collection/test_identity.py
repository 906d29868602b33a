"""What is stored is named by what made it: a label that two share is no name."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_r.collection.identity import unnamed
from agent_r.collection.tree_store import tree_key
from agent_r.local_model.model_folder import PACKAGED, model_digest, model_name
from agent_r.reading.reply import Grammar
from agent_r.settings import Config
from agent_r.testing import Corridor
from agent_r.training.backends.train_job import TrainedModel, TrainReport
from flows.measure import measurement_key
from flows.run_context import RunContext
from tests.support.planting import only


def keys(endpoint: dict[str, Any], *, model: str = "", trained: int = 0, **over: Any) -> list[str]:
    """The names of all that an actor's run stores."""
    config = Config.model_validate({"endpoint": endpoint, **over})
    context = RunContext.of(config, model=model, trained=trained)
    now, name = context.as_trained, context.actor_name
    tree = tree_key(Corridor().info, now, actor=name, iteration=1)
    return [tree, measurement_key(context, only(Corridor), None), str(unnamed(now))]


def served(model: str, **over: Any) -> dict[str, Any]:
    return {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "model": model, **over}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (served("/runs/a/final"), served("/runs/b/final")),
        (served("m-1", alias="mine"), served("m-2", alias="mine")),
        ({"kind": "scripted", "error_rate": 0.35}, {"kind": "scripted", "error_rate": 0.35000001}),
    ],
)
def test_two_actors_of_one_name_share_nothing(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert not set(keys(one)) & set(keys(other))
    assert keys(one) == keys(dict(one))


@pytest.mark.parametrize(
    "how",
    [
        {"reasoning_tags": ("mull",)},
        {"send_reasoning": True},
        {"top_p": 0.9},
        {"stop": ("END",)},
        {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}},
    ],
)
def test_an_actor_that_is_read_or_told_otherwise_is_another(how: dict[str, Any]) -> None:
    assert not set(keys(served("m"))) & set(keys(served("m", **how)))


def test_a_world_whose_replies_are_read_otherwise_shares_nothing() -> None:
    said = {"env": {"kind": "python", "factory": "agent_r.testing:Corridor"}}
    read = {"env": said["env"] | {"grammar": {"labels": ["command"]}}}
    assert set(keys(served("m"), **said)) - set(keys(served("m"), **read))
    info, other = Corridor().info, replace(Corridor().info, grammar=Grammar(labels=("command",)))
    now = Config.model_validate(said)
    how: dict[str, Any] = {"actor": "m", "iteration": 1}
    assert tree_key(info, now, **how) != tree_key(other, now, **how)


def test_a_checkpoint_of_each_iteration_is_an_actor_of_its_own() -> None:
    endpoint = served("/runs/{iteration}/final")
    assert not set(keys(endpoint, trained=0)) & set(keys(endpoint, trained=1))


@pytest.mark.parametrize(
    "how",
    [
        {"base_url": "http://127.0.0.1:2/v1"},
        {"headers": {"X-Title": "mine"}},
        {"query": {"api-version": "2024-10-21"}, "auth_header": "api-key"},
        {"extra_body": {"user": "me", "service_tier": "flex"}},
        {"n": 1},
    ],
)
def test_an_address_and_the_way_in_are_no_actor(how: dict[str, Any]) -> None:
    assert keys(served("m")) == keys(served("m") | how)


def test_what_a_user_adds_to_a_request_is_named_by_a_digest() -> None:
    assert "thinking" not in str(keys(served("m", extra_body={"thinking": {"type": "disabled"}})))


@pytest.mark.parametrize("changed", ["config.json", "tokenizer.json", "chat_template.jinja"])
def test_folders_with_the_same_weights_that_answer_differently_share_nothing(
    changed: str, tmp_path: Path
) -> None:
    for name in ("a/final", "b/final"):
        shutil.copytree(PACKAGED, tmp_path / name)
    one, other = tmp_path / "a/final", tmp_path / "b/final"
    embedded = {"kind": "embedded"}
    assert keys(embedded, model=str(one)) == keys(embedded, model=str(other))
    report = json.loads((other / "done.json").read_text())
    (other / "done.json").write_text(json.dumps(report | {"seconds": 1.0}))
    assert model_digest(one) == model_digest(other)  # how long its training took is no matter
    (other / changed).write_text((other / changed).read_text() + " ")
    assert model_name(one) == model_name(other)
    assert not set(keys(embedded, model=str(one))) & set(keys(embedded, model=str(other)))


def test_worlds_of_ones_own_with_other_arguments_share_no_measurement() -> None:
    def env(size: int) -> dict[str, Any]:
        return {"kind": "python", "factory": "a:b", "arguments": {"size": size}}

    assert keys(served("m"), env=env(1))[1] != keys(served("m"), env=env(2))[1]
    several = {"kind": "mixture", "worlds": [env(1), env(3)]}
    others = {"kind": "mixture", "worlds": [env(2), env(3)]}
    assert keys(served("m"), env=several)[1] != keys(served("m"), env=others)[1]


def test_a_control_beside_the_loop_measures_nothing_else_anew() -> None:
    endpoint = {"kind": "scripted"}
    assert keys(endpoint) == keys(endpoint, measure={"control": True})


def test_a_server_has_no_other_model_for_a_control() -> None:
    with pytest.raises(ValueError, match=r"measure.control needs an actor in a folder of its own"):
        keys(served("m-{iteration}"), measure={"control": True})


def test_a_model_that_a_job_has_named_is_who_acts_after_it(tmp_path: Path) -> None:
    named = TrainedModel(served="name", name="ft:model-1")
    report = TrainReport(digest="d", rows=1, seconds=1.0, model=named)
    (tmp_path / "done.json").write_text(report.model_dump_json())
    config = Config.model_validate({"endpoint": served("m-{iteration}")})
    assert RunContext.of(config, 2).actor_name == "m-1"
    after = RunContext.of(config, 2, str(tmp_path))
    assert after.actor_name == "ft:model-1"
    assert after.model_to_train == tmp_path, "the next job starts from that one"
