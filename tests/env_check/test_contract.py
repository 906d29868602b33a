"""Every world of ours keeps the contract, and whatever breaks it is named."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent_r.env_check import CHECKS, Limits, check
from agent_r.env_check.resources import Resources
from agent_r.environment import Embedded, EnvInfo, World
from agent_r.errors import ConfigError
from agent_r.settings import MixtureEnv, PythonEnv, TextCraftEnv
from agent_r.testing import Corridor, ForkableCorridor
from env_adapters import WORLDS as WORLD_KINDS
from flows.cli.check_env import check_env, spec_of
from tests.support.broken_owners import Owning
from tests.support.broken_worlds import BROKEN, DUBIOUS, HANGING, CountsResets
from tests.support.contract_worlds import TEMPLATE, WORLDS, Tried, template
from tests.support.waiting import all_given_back

DOCS = TEMPLATE.parent / "worlds.md"
HASTY = Limits(measure_s=0.01, patience_s=0.2, steps=12)


@pytest.mark.parametrize("tried", WORLDS, ids=[tried.name for tried in WORLDS])
async def test_a_world_keeps_the_contract(tried: Tried) -> None:
    if tried.missing:
        pytest.skip(tried.missing)
    async with tried.begun() as world:
        report = await check(world, limits=tried.limits)
    assert report.kept, [f for f in report.findings if f.verdict == "failed"]
    assert [finding.check for finding in report.findings] == list(CHECKS)
    assert report.facts is not None
    assert report.facts.steps_per_s > 0
    assert report.facts.tasks["train"] > 0


@pytest.fixture
def ending() -> Iterator[list[World]]:
    """Worlds that leave something behind on purpose: it is ended here."""
    worlds: list[World] = []
    yield worlds
    for world in worlds:
        for end in world.held if isinstance(world, Owning) else ():
            end()


@pytest.mark.parametrize(("name", "make"), BROKEN.values(), ids=BROKEN.keys())
async def test_what_is_broken_is_named_and_nothing_else(
    name: str, make: type[World], ending: list[World]
) -> None:
    ending.append(make())
    report = await check(ending[0], limits=HASTY)
    failed = [(f.check, f.why) for f in report.findings if f.verdict == "failed"]
    assert [check for check, _ in failed] == [name], failed
    assert all(f.why and f.why.isprintable() for f in report.findings)


@pytest.mark.parametrize(("name", "make"), DUBIOUS.values(), ids=DUBIOUS.keys())
async def test_what_may_be_meant_is_a_warning(name: str, make: type[World]) -> None:
    report = await check(make(), limits=replace(HASTY, steps=2, episodes=2))
    assert report.kept
    assert name in report.named("warned")


@pytest.mark.parametrize("case", HANGING)
async def test_a_world_that_hangs_is_a_finding_and_is_asked_no_more(case: str) -> None:
    name, make = HANGING[case]
    before, began = Resources.now(), time.monotonic()
    report = await check(make(), limits=replace(HASTY, timeout_s=0.5))
    assert time.monotonic() - began < 30
    assert report.named("failed") == [name]
    assert set(CHECKS[CHECKS.index(name) + 1 :]) <= set(report.named("skipped"))
    left = Resources.now().more_than(before)
    assert left == "" or ("not be" in case and left.startswith("task "))


async def test_a_world_whose_scores_alone_repeat_is_held_to_its_scores() -> None:
    class Wordy(CountsResets):
        @property
        def info(self) -> EnvInfo:
            return replace(super().info, repeats="score")

    report = await check(Embedded(Wordy), limits=HASTY)
    assert report.kept
    assert "a reset repeats" in report.named("skipped")
    assert "a replay answers the same" in report.named("ok")


async def test_the_same_seed_finds_the_same() -> None:
    reports = [await check(Embedded(ForkableCorridor), seed=3, limits=HASTY) for _ in range(2)]
    told = [
        [(f.check, f.verdict, f.why) for f in r.findings if "loop" not in f.check] for r in reports
    ]
    assert told[0] == told[1]


async def test_a_check_that_is_interrupted_closes_the_world_and_leaves_nothing() -> None:
    class Slow(Corridor):
        async def close(self) -> None:
            await asyncio.sleep(0.05)

    before, world = Resources.now(), Owning(lambda w: Slow())
    running = asyncio.create_task(check(world, limits=HASTY))
    await asyncio.sleep(0.2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert world.closed == 1
    await all_given_back(before)


def test_the_guide_shows_the_template_as_it_is() -> None:
    assert TEMPLATE.read_text(encoding="utf-8") in DOCS.read_text(encoding="utf-8")
    assert sum(len(template().world().tasks(s)) for s in ("warm_start", "train", "test")) >= 100


SETTINGS = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("text", SETTINGS)
def test_the_guides_settings_are_settings(text: str, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(text, encoding="utf-8")
    assert spec_of(str(tmp_path / "my.toml")).kind in text


def test_the_guide_has_a_section_of_settings_for_every_kind() -> None:
    kinds = [kind for text in SETTINGS for kind in re.findall(r'kind = "([\w-]+)"', text)]
    assert {*WORLD_KINDS, "mixture"} <= set(kinds)


def test_the_command_says_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    [report] = check_env(TextCraftEnv(), limits=HASTY)
    said = capsys.readouterr().out
    assert report.kept
    for name in CHECKS:
        assert name in said
    assert "✓" in said
    assert "✗" not in said
    assert "tasks; forks" in said


def test_a_world_is_meant_by_its_kind_its_factory_or_a_file(tmp_path: Path) -> None:
    assert spec_of("textcraft") == TextCraftEnv()
    assert spec_of("my_world:world") == PythonEnv(kind="python", factory="my_world:world")
    toml = tmp_path / "my.toml"
    toml.write_text('[env]\nkind = "mixture"\nworlds = [{kind = "textcraft"}, {kind = "shop"}]')
    mixture = spec_of(str(toml))
    assert isinstance(mixture, MixtureEnv)
    assert [world.kind for world in mixture.worlds] == ["textcraft", "shop"]


@pytest.mark.parametrize("text", ["chess", "openenv", "a b:c", "none.toml", "", "."])
def test_what_is_no_world_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^[^\n]+$"):
        spec_of(text)
