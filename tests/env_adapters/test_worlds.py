"""Several worlds in one run: shared out by weight, told apart, closed together."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from agent_r.algorithm.prompts import JUDGE
from agent_r.collection.tree_store import TreeStore
from agent_r.collection.tree_stores import TreeStores
from agent_r.config import parse
from agent_r.dataset.build import build
from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.shards import read_rows
from agent_r.environment import Embedded, EnvInfo, Environment, StepResult
from agent_r.errors import ConfigError, DatasetError, EnvironmentFault
from agent_r.evaluation.evaluate import measure_actor
from agent_r.run_worlds import Member, Worlds
from agent_r.settings import (
    Config,
    PythonEnv,
    ScriptedEndpoint,
    TextCraftEnv,
    env_specs,
    public_settings,
)
from agent_r.testing import Corridor, ForkableCorridor, ScriptedActor
from env_adapters import world_of, world_of_manifest
from env_adapters.textcraft.environment import TextCraft
from flows.acting.actor_factory import scripted
from tests.support.planting import only

ACTIONS = ("take key", "push", "drop key", "east")


class Cellar(ForkableCorridor):
    """The same game under another name."""

    @property
    def info(self) -> EnvInfo:
        return replace(super().info, name="cellar", instruction="Answer as in a cellar.")


class Watched:
    """A world that counts how often it was closed."""

    expert = None

    def __init__(self) -> None:
        self.closed = 0

    def environment(self) -> Environment:
        return Corridor()

    async def check(self) -> None: ...

    async def aclose(self) -> None:
        self.closed += 1


def two(weights: tuple[float, float] = (1.0, 1.0)) -> Worlds:
    members = {}
    for make, weight in zip((ForkableCorridor, Cellar), weights, strict=True):
        members |= only(make, weight=weight).members
    return Worlds(members)


def tries_all(messages: object, k: int) -> str:
    judged = str(messages[-1].content).endswith(JUDGE)  # type: ignore[index]
    return "No use.\nJudgement: Bad" if judged else f"Action: {ACTIONS[k]}"


def stores(folder: Path, worlds: Worlds, config: Config) -> TreeStores:
    stores = {
        name: TreeStore.of(
            folder,
            member.world.environment,
            config.model_copy(update={"env": member.spec}),
            actor="tiny",
            iteration=1,
        )
        for name, member in worlds.members.items()
    }
    return TreeStores(config, stores)


@pytest.mark.parametrize(
    ("weights", "counts"), [((1, 1), (6, 6)), ((3, 1), (9, 3)), ((0.1, 10), (0, 12))]
)
def test_trees_are_shared_out_by_weight(
    weights: tuple[float, float], counts: tuple[int, int]
) -> None:
    found = Counter(task.world for task in two(weights).tasks("train", 12))
    assert (found["corridor"], found["cellar"]) == counts


def test_any_beginning_of_a_run_has_its_worlds_in_proportion() -> None:
    tasks = two((2, 1)).tasks("train", 30)
    for count in range(3, 30, 3):
        assert Counter(t.world for t in tasks[:count])["corridor"] == count * 2 / 3


def test_each_world_gives_its_own_tasks_in_turn() -> None:
    first, second = (two().tasks("train", 4, turn=turn) for turn in (0, 1))
    assert [(t.world, t.id) for t in first] == [
        ("corridor", "corridor 1"), ("cellar", "corridor 1"),
        ("corridor", "corridor 2"), ("cellar", "corridor 2"),
    ]  # fmt: skip
    assert [(t.id, t.repeat) for t in second] == [
        ("corridor 3", 0), ("corridor 3", 0), ("corridor 1", 1), ("corridor 1", 1),
    ]  # fmt: skip


def test_no_turn_has_a_tree_of_another() -> None:
    turns = [two().tasks("train", 4, turn=turn) for turn in range(9)]
    assert len({task for turn in turns for task in turn}) == 36


def test_held_out_tasks_are_never_played_twice() -> None:
    assert len(two().tasks("test", 50, repeats=False)) == 4


def test_two_worlds_of_one_name_are_refused() -> None:
    env = {"kind": "mixture", "worlds": [{"kind": "textcraft"}, {"kind": "textcraft"}]}
    config = parse({"env": env}, source="test")
    with pytest.raises(ConfigError, match="two worlds called 'textcraft'"):
        Worlds.of(config.env, world_of)


def test_a_mixture_is_read_from_toml_like_any_setting() -> None:
    worlds = [{"kind": "textcraft", "weight": 2}, {"kind": "python", "factory": "a:b"}]
    config = parse({"env": {"kind": "mixture", "worlds": worlds}}, source="test")
    assert [(w.kind, w.weight) for w in env_specs(config.env)] == [("textcraft", 2), ("python", 1)]
    with pytest.raises(ConfigError, match="env"):
        parse({"env": {"kind": "mixture", "worlds": []}}, source="test")


async def test_one_dataset_holds_the_rows_of_all_worlds_and_their_column_tells(
    tmp_path: Path,
) -> None:
    settings = {
        "search": {"max_depth": 5, "abandon_after": 0},
        "revision": {"alpha": 0.3, "beta": 0.1},
    }
    config = Config.model_validate({"trees": 4} | settings)
    worlds, actor = two(), ScriptedActor(tries_all)
    trees = stores(tmp_path / "work", worlds, config)
    tasks = worlds.tasks("train", config.trees)
    for task in tasks:
        await trees.store_of(task).explore(actor, task)
        await trees.store_of(task).revise(actor, task)
    built = await asyncio.to_thread(
        build, trees, tasks, tmp_path / "set", actor="tiny", iteration=1
    )
    version = Path(built.dataset.path)
    manifest = read_manifest(version)
    assert [world["name"] for world in manifest["environments"]] == ["corridor", "cellar"]
    rows = list(read_rows(version, "trees"))
    assert Counter(row["env"] for row in rows) == {"corridor": 2, "cellar": 2}
    assert {row["task"] for row in rows} == {"corridor 1", "corridor 2"}


def test_a_tree_of_a_mixture_is_that_of_a_run_of_its_world_alone(tmp_path: Path) -> None:
    both = stores(tmp_path, two(), Config())
    alone = stores(tmp_path, only(Cellar), Config())
    assert both.stores["cellar"].key == alone.stores["cellar"].key == alone.key
    assert both.key not in (alone.key, both.stores["corridor"].key)


async def test_a_measurement_plays_each_worlds_own_tasks_and_failures() -> None:
    config = Config.model_validate({"measure": {"tasks": 4, "max_steps": 3}})
    measured = await measure_actor(
        ScriptedActor(lambda messages, k: "Action: west"), two(), config, openings=None, parallel=2
    )
    assert set(measured.rewards) == {
        "corridor/corridor 4", "corridor/corridor 5", "cellar/corridor 4", "cellar/corridor 5"
    }  # fmt: skip
    assert Counter(o.world for o in measured.openings) == {"corridor": 2, "cellar": 2}
    assert measured.recovery.n == 4


async def test_all_worlds_are_closed_also_when_one_fails() -> None:
    watched = {"a": Watched(), "b": Watched()}
    spec, info = PythonEnv(kind="python", factory="a:b"), Corridor().info
    worlds = Worlds({name: Member(spec, world, info) for name, world in watched.items()})
    with pytest.raises(RuntimeError, match="on purpose"):
        async with worlds:
            raise RuntimeError("on purpose")
    assert [world.closed for world in watched.values()] == [1, 1]


async def test_a_world_that_cannot_be_closed_keeps_none_of_the_others_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Stuck(Watched):
        async def aclose(self) -> None:
            raise OSError("stuck")

    class Slow(Watched):
        async def aclose(self) -> None:
            await asyncio.sleep(0.05)
            await super().aclose()

    watched = {"a": Stuck(), "b": Slow()}
    spec, info = PythonEnv(kind="python", factory="a:b"), Corridor().info
    worlds = Worlds({name: Member(spec, world, info) for name, world in watched.items()})
    with caplog.at_level("INFO", logger="agent_r.progress"):
        async with worlds:
            pass
    assert watched["b"].closed == 1
    assert worlds.unclosed == {"a": 1}
    assert caplog.messages == ["the world 'a' cannot be closed: OSError: stuck"]


@pytest.mark.parametrize("told", [None, KeyError("name")])
def test_a_world_that_cannot_say_what_it_is_is_one_line(told: object) -> None:
    class Mute(Corridor):
        @property
        def info(self) -> EnvInfo:
            if isinstance(told, Exception):
                raise told
            return told  # type: ignore[return-value]

    with pytest.raises(ConfigError, match=r"^the world of kind 'python' [^\n]+$"):
        Worlds.of(PythonEnv(kind="python", factory="a:b"), lambda spec: Embedded(Mute))


def test_the_scripted_actor_refuses_worlds_that_it_cannot_tell_apart() -> None:
    with pytest.raises(ConfigError, match="cannot tell them apart"):
        scripted(ScriptedEndpoint(), two_alike())


def two_alike() -> Worlds:
    class Twin(TextCraft):
        @property
        def info(self) -> EnvInfo:
            return replace(super().info, name="twin")

    members = Worlds.of(TextCraftEnv(), world_of).members
    world = Embedded(lambda: Twin(TextCraftEnv()))
    return Worlds(members | {"twin": Member(TextCraftEnv(), world, Twin(TextCraftEnv()).info)})


async def test_a_fault_of_the_world_is_no_reason_to_lose_a_measurement() -> None:
    faults = iter([EnvironmentFault("a hiccup"), EnvironmentFault("another")])

    class Flaky(ForkableCorridor):
        async def step(self, action: str) -> StepResult:
            for fault in faults:
                raise fault
            return await super().step(action)

    config = Config.model_validate({"measure": {"tasks": 2, "max_steps": 3}})
    actor = ScriptedActor(lambda messages, k: "Action: west")
    measured = await measure_actor(actor, only(Flaky), config, openings=None, parallel=1)
    assert len(measured.rewards) == 2


def test_what_a_manifest_tells_of_a_world_has_no_path_address_or_argument() -> None:
    specs = [
        {"kind": "textcraft", "recipes": "/home/me/recipes"},
        {"kind": "agentgym", "server": "webshop", "base_url": "http://10.0.0.7:36001"},
        {"kind": "python", "factory": "a:b", "arguments": {"key": "hunter2hunter2"}},
    ]
    for spec in specs:
        text = str(public_settings(env_specs(parse({"env": spec}, source="test").env)[0]))
        for secret in ("/home", "10.0.0.7", "hunter2"):
            assert secret not in text


def test_a_manifest_that_says_too_little_asks_for_the_settings() -> None:
    def entry(**settings: object) -> dict[str, object]:
        return {"name": "agentgym-webshop", "version": "1", "settings": settings}

    with pytest.raises(ConfigError, match="give its \\[env\\] with --config"):
        world_of_manifest(entry(kind="agentgym", server="webshop"))
    with pytest.raises(DatasetError, match="not known here"):
        world_of_manifest(entry(kind="chess"))


def test_the_readers_own_settings_go_before_the_manifests(tmp_path: Path) -> None:
    mine = TextCraftEnv(distractors=2)
    env: Environment = world_of(mine).environment()
    entry = {
        "name": "textcraft",
        "version": env.info.version,
        "settings": public_settings(TextCraftEnv()),
    }
    assert world_of_manifest(entry, [mine]).environment().info == env.info
    with pytest.raises(ConfigError, match="this is"):
        world_of_manifest(entry)
