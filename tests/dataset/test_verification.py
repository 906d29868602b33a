"""`agent-r verify`: a dataset is executed again, and every difference is reported."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from agent_r.algorithm.replay import normalised
from agent_r.algorithm.rows import Row
from agent_r.algorithm.schema import SCHEMAS
from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.verification import replay, verify_version
from agent_r.dataset.writer import export
from agent_r.environment import Environment, World
from agent_r.errors import ConfigError, DatasetError, EnvironmentFault
from env_adapters import make_env, world_of_manifest
from tests.support.made import Made


@pytest.fixture
def row(made: Made) -> Row:
    """A revision of one's own to tamper with."""
    return copy.deepcopy(next(r for r in made.rows("sft") if r["kind"] == "revision"))


@pytest.fixture
def env(made: Made) -> Environment:
    return make_env(made.config.env)


async def test_a_dataset_that_was_made_here_passes(made: Made) -> None:
    result = await verify_version(made.version, world_of_manifest)
    assert (result.rows, result.problems) == (made.built.dataset.rows["sft"], [])


async def test_an_untouched_row_replays(env: Environment, row: Row) -> None:
    assert await replay(env, row) == ""


async def test_a_tampered_observation_is_reported_with_its_step(env: Environment, row: Row) -> None:
    row["messages"][5]["content"] = "Got 99 gold"
    assert (await replay(env, row)).startswith("step 2: observed ")


async def test_a_tampered_last_observation_is_reported(env: Environment, row: Row) -> None:
    row["final_observation"] = "Crafted 99 gold"
    assert "observed " in await replay(env, row)


async def test_a_tampered_reward_is_reported(env: Environment, row: Row) -> None:
    row["reward"] = 0.5
    assert await replay(env, row) == "reward 1.0, the row says 0.5"


async def test_a_tampered_action_is_reported(env: Environment, row: Row) -> None:
    row["messages"][2]["content"] = "Action: dance"
    assert (await replay(env, row)).startswith("step 1: observed 'Could not execute dance'")


async def test_a_tampered_thought_is_reported_though_it_replays(env: Environment, row: Row) -> None:
    row["messages"][2]["content"] = "Thought: for my sponsor.\n" + row["messages"][2]["content"]
    assert "not those that its id was made from" in await replay(env, row)


@pytest.mark.parametrize(("at", "key"), [(2, "train"), (-2, "train"), (0, "content")])
async def test_a_tampered_flag_or_system_prompt_is_reported(
    env: Environment, row: Row, at: int, key: str
) -> None:
    value = row["messages"][at][key]
    row["messages"][at][key] = not value if key == "train" else "Obey."
    assert "not those that its id was made from" in await replay(env, row)


async def test_a_tampered_prompt_task_or_length_is_reported(env: Environment, row: Row) -> None:
    prompt, short, task = (copy.deepcopy(row) for _ in range(3))
    prompt["messages"][1]["content"] += " Hurry."
    short["messages"].pop()
    task["task"] = "no such goal"
    assert await replay(env, prompt) == "the world begins with another text"
    assert await replay(env, short) == "replies and observations do not alternate"
    assert "no goal" in await replay(env, task)


async def test_steps_after_the_end_are_reported(env: Environment, row: Row) -> None:
    row["messages"] += [{"content": row["final_observation"]}, copy.deepcopy(row["messages"][2])]
    assert "the episode had ended before" in await replay(env, row)


async def test_a_version_whose_rows_were_exchanged_is_reported_row_by_row(
    made: Made, tmp_path: Path
) -> None:
    rows = [(name, row) for name in SCHEMAS for row in made.rows(name)]
    rows[0][1]["reward"] = 0.25
    worlds = {"environments": read_manifest(made.version)["environments"]}
    version = Path(export(rows, tmp_path / "demo", provenance=lambda: worlds).path)
    [problem] = (await verify_version(version, world_of_manifest)).problems
    assert problem.startswith(f"{rows[0][1]['id']}: reward ")


async def test_a_damaged_file_or_another_world_is_an_error_and_not_a_finding(
    made: Made, tmp_path: Path
) -> None:
    def other_world(world: dict[str, Any]) -> World:
        return world_of_manifest(world | {"version": "0-old"})

    with pytest.raises(ConfigError, match="was made in textcraft 0-old"):
        await verify_version(made.version, other_world)
    with pytest.raises(DatasetError, match="not a dataset version"):
        await verify_version(tmp_path, world_of_manifest)


def test_an_order_of_lines_or_spaces_is_no_difference() -> None:
    assert normalised("a  b\n c") == normalised("c\na b ")
    assert normalised("a b") != normalised("a c")


class Stuck:
    """A world that breaks at every second beginning, and when it is closed."""

    expert = None

    def __init__(self, made: Environment) -> None:
        self.made = made
        self.begun = 0

    def environment(self) -> Environment:
        reset = self.made.reset

        async def broken(task: str) -> str:
            self.begun += 1
            if self.begun % 2:
                raise EnvironmentFault("a hiccup")
            return await reset(task)

        async def close() -> None:
            raise RuntimeError("stuck")

        self.made.reset, self.made.close = broken, close  # type: ignore[method-assign]
        return self.made

    async def check(self) -> None:
        return None

    async def aclose(self) -> None:
        raise OSError("stuck as well")


async def test_a_worlds_fault_is_one_rows_and_its_closing_loses_no_result(made: Made) -> None:
    result = await verify_version(made.version, lambda entry: Stuck(make_env(made.config.env)))
    assert result.rows == made.built.dataset.rows["sft"]
    assert len(result.problems) == (result.rows + 1) // 2
    assert all(problem.endswith("a hiccup") for problem in result.problems)
    assert result.unclosed == {"textcraft": 2}
