"""What is kept of success after injected mistakes: by whom, of which, and how it is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from agent_r.actor import Actor, Completion, Message, SamplingParams, Usage
from agent_r.algorithm.episode import begin
from agent_r.algorithm.metrics import Rate
from agent_r.environment import Environment, Expert, Forkable, Refusing, TaskSpec
from agent_r.errors import EndpointDown
from agent_r.evaluation.curve import draw_curve
from agent_r.evaluation.evaluate import Measurement, measure_actor
from agent_r.evaluation.guides import worded
from agent_r.evaluation.injection import InjectedMistake, LedTask
from agent_r.evaluation.leading import NO_WAY
from agent_r.evaluation.report import HEADINGS, IterationReport, RunReport, notes, table
from agent_r.evaluation.robustness import Robustness, kept_gains, share_kept
from agent_r.grammar import Grammar
from agent_r.reading.reply import parse_action
from agent_r.run_worlds import Worlds
from agent_r.settings import Config, ScriptedEndpoint
from agent_r.testing import Corridor, ForkableCorridor, ScriptedActor
from env_adapters import world_of
from env_adapters.scripted_actor import ScriptedPlayer
from tests.support.planting import only

CONFIG = Config.model_validate(
    {"measure": {"tasks": 6, "recovery_tasks": 0, "robustness_tasks": 6, "max_steps": 30}}
)
EXPERT_WORLDS = pytest.mark.parametrize("kind", ["textcraft", "shop"])


@dataclass
class ByHeart:
    """Implements Actor: plays the expert's whole plan step by step, whatever is answered."""

    expert: Expert
    name: str = "by heart"
    usage: Usage = field(default_factory=Usage)
    heard: list[list[str]] = field(default_factory=list)

    async def complete(
        self, messages: Sequence[Message], *, n: int, params: SamplingParams
    ) -> list[Completion]:
        self.heard.append([m.content for m in messages if m.role == "assistant"])
        plan = await self.expert.plan(messages[1].content, ())
        done = len(self.heard[-1])
        action = plan[done] if done < len(plan) else "look"
        return [Completion(f"Thought: By heart.\nAction: {action}")] * n


def world(kind: str) -> tuple[Worlds, Expert]:
    worlds = Worlds.of(Config.model_validate({"env": {"kind": kind}}).env, world_of)
    expert = worlds.world().expert
    assert expert is not None
    return worlds, expert


async def measured(actor: Actor, worlds: Worlds, **how: Any) -> Measurement:
    config = how.pop("config", CONFIG)
    return await measure_actor(actor, worlds, config, openings=[], parallel=4, **how)


@EXPERT_WORLDS
async def test_who_plans_anew_keeps_all_and_who_plays_by_heart_nothing(kind: str) -> None:
    worlds, expert = world(kind)
    planner = await measured(ScriptedPlayer(ScriptedEndpoint(error_rate=0), expert), worlds)
    heart = await measured(ByHeart(expert), worlds, led=planner.robustness.led)
    assert planner.robustness.success[0].n == 6 and not planner.robustness.unled
    assert [rate.rate for rate in planner.robustness.success.values()] == [1, 1, 1]
    assert [rate.rate for rate in heart.robustness.success.values()] == [1, 0, 0]
    assert [rate.rate for rate in planner.robustness.kept.values()] == [1, 1]
    assert [rate.rate for rate in heart.robustness.kept.values()] == [0, 0]
    gains = kept_gains(heart.robustness, planner.robustness)
    assert [(gain.gain, gain.n) for gain in gains.values()] == [(1.0, 6), (1.0, 6)]
    same = kept_gains(planner.robustness, planner.robustness)[1]
    assert (same.gain, same.low, same.high) == (0, 0, 0)


@EXPERT_WORLDS
async def test_a_mistake_is_what_its_kind_says_and_the_goal_is_in_reach_after_it(kind: str) -> None:
    worlds, expert = world(kind)
    found = await measured(ByHeart(expert), worlds)
    kinds = set()
    for task in found.robustness.led:
        env = worlds.environment()
        assert isinstance(env, Forkable) and isinstance(expert, Refusing)
        prompt, done = await begin(env, task.task), list[str]()
        for reply in task.responses:
            done.append(parse_action(reply))
            await env.step(done[-1])
        for mistake in task.mistakes:
            kinds.add(mistake.kind)
            way, before = await expert.plan(prompt, done), env.snapshot()
            done.append(parse_action(mistake.response))
            result = await env.step(done[-1])
            assert not result.terminated
            assert expert.refuses(result.observation) == (mistake.kind == "refused")
            assert (env.snapshot() == before) == (mistake.kind == "refused")
            assert len(await expert.plan(prompt, done)) >= len(way)
        for action in await expert.plan(prompt, done):
            result = await env.step(action)
        assert result.reward == 1.0
    assert kinds == {"refused", "silent"}


async def test_the_lead_is_written_as_the_worlds_own_actors_write() -> None:
    worlds, expert = world("textcraft")
    found = await measured(ByHeart(expert), worlds)
    replies = [reply for task in found.robustness.led for reply in task.opening(3).responses]
    assert all(reply.startswith("Thought: For ") for reply in replies)
    prompt = await begin(worlds.environment(), found.robustness.led[0].task)
    _, plain = world("shop")
    assert worded(plain, prompt, "click[buy now]", Grammar()) == "Action: click[buy now]"
    assert worded(plain, prompt, "move e2e4", Grammar(labels=("move",))) == "Move: move e2e4"
    assert worded(plain, prompt, "e4", Grammar(labels=(), whole=True)) == "e4"
    assert worded(plain, prompt, "e4", Grammar(labels=(), pattern="<<(.+?)>>")) == ""


def walks(recovers: bool) -> Callable[[Sequence[Message], int], str]:
    """Opens the corridor's door, looking where it is or not; its other samples stray."""

    def reply(messages: Sequence[Message], k: int) -> str:
        if k:
            return ("", "Action: jump", "Action: drop key", "Action: west", "Action: sing")[k % 5]
        length = int(messages[1].content.split("door is ")[1][0])
        answers = [m.content for m in messages[2:] if m.role == "user"]
        plan = ["take key", *["east"] * length, "push", "push"]
        if not recovers:
            return f"Action: {plan[min(len(answers), len(plan) - 1)]}"
        if not any("You have the key" in answer for answer in answers):
            return "Action: take key"
        rooms = [int(answer[-2]) for answer in answers if answer.startswith("You are in room")]
        return "Action: push" if rooms and rooms[-1] == length else "Action: east"

    return reply


@pytest.mark.parametrize("make", [Corridor, ForkableCorridor])
async def test_without_an_expert_an_own_success_leads_and_own_samples_are_the_mistakes(
    make: Callable[[], Environment],
) -> None:
    first = await measured(ScriptedActor(walks(True)), only(make))
    heart = await measured(ScriptedActor(walks(False)), only(make), led=first.robustness.led)
    assert [task.leader for task in first.robustness.led] == ["actor", "actor"]
    mistakes = {(m.response, m.kind) for task in first.robustness.led for m in task.mistakes}
    harmless = {"west": ("refused", "silent"), "sing": ("refused",), "drop key": ("refused",)}
    assert mistakes <= {(f"Action: {what}", kind) for what in harmless for kind in harmless[what]}
    assert first.robustness.kept[1].rate == first.robustness.kept[3].rate == 1
    assert heart.robustness.success[0].rate == 1
    assert heart.robustness.kept[1].rate < 1


async def test_a_task_that_nobody_can_lead_is_named() -> None:
    lost = await measured(ScriptedActor(lambda messages, k: "Action: west"), only(Corridor))
    assert lost.robustness.unled == dict.fromkeys(("corridor 4", "corridor 5"), NO_WAY)
    assert lost.notes() == [f"not led, {NO_WAY}: corridor 4, corridor 5"]
    assert not lost.robustness.kept


async def test_an_expert_that_breaks_costs_its_task_and_nothing_else() -> None:
    class Torn(ScriptedPlayer):
        async def plan(self, prompt: str, actions: Sequence[str]) -> Sequence[str]:
            if "door is 4" in prompt:
                raise KeyError("4")
            return ["take key", *["east"] * 5, "push", "push"][len(actions) :]

        async def mistakes(self, prompt: str, actions: Sequence[str]) -> Sequence[str]:
            return ["sing"]

    worlds = only(ForkableCorridor)
    member = worlds.members["corridor"]
    torn: Any = Torn(ScriptedEndpoint(), expert=None)  # type: ignore[arg-type]
    worlds.members["corridor"] = replace(member, world=replace(member.world, expert=torn))  # type: ignore[type-var]
    found = await measured(ScriptedActor(walks(True)), worlds)
    assert found.success.n == 2
    assert [task.task for task in found.robustness.led] == []
    assert found.robustness.unled.keys() == {"corridor 4", "corridor 5"}
    assert found.unplayed == {"EnvironmentFault": 1} and found.can_go_on


async def test_all_actors_of_a_run_go_on_from_the_same_openings() -> None:
    worlds, expert = world("textcraft")
    config = CONFIG.model_copy(update={"seed": 7})
    first, second = ByHeart(expert), ByHeart(expert)
    one = await measured(first, worlds, config=config)
    two = await measured(second, worlds, config=config, led=one.robustness.led)
    assert sorted(second.heard) == sorted(first.heard)
    assert two.robustness == one.robustness
    other = await measured(ByHeart(expert), worlds)  # another seed, other steps
    assert other.robustness.led != one.robustness.led


async def test_a_measurement_that_was_killed_goes_on_and_ends_as_one_that_was_not(
    tmp_path: Path,
) -> None:
    class Dying(ScriptedActor):
        async def complete(self, *args: Any, **how: Any) -> list[Completion]:
            if self.calls > asked - 8:
                raise EndpointDown("nobody answers")
            return await super().complete(*args, **how)

    unkilled = ScriptedActor(walks(True))
    whole = await measured(unkilled, only(ForkableCorridor), folder=tmp_path / "whole")
    asked = unkilled.calls
    with pytest.raises(EndpointDown):
        await measured(Dying(walks(True)), only(ForkableCorridor), folder=tmp_path / "cut")
    led = {path: path.read_bytes() for path in (tmp_path / "cut").glob("led-*")}
    assert len(led) == 2
    again = ScriptedActor(walks(True))
    assert await measured(again, only(ForkableCorridor), folder=tmp_path / "cut") == whole
    assert {path: path.read_bytes() for path in led} == led
    done = ScriptedActor(walks(True))
    assert await measured(done, only(ForkableCorridor), folder=tmp_path / "cut") == whole
    assert (done.calls, again.calls > 0) == (0, True)


def test_the_share_kept_is_of_the_success_without_a_mistake() -> None:
    won, lost = [True] * 20 + [False] * 20, [True] * 10 + [False] * 30
    share = share_kept(won, lost)
    assert share == share_kept(won, lost)  # its draws are seeded
    assert (share.rate, share.n) == (0.5, 40)
    assert 0.25 < share.low < 0.35 < 0.65 < share.high < 0.75
    assert share_kept([False] * 5, [True] * 5) == Rate(0.0, 0.0, 1.0, 0)
    all_kept = share_kept([True] * 10, [True] * 10)
    assert (all_kept.rate, all_kept.high) == (1.0, 1.0)
    assert 0.6 < all_kept.low < 0.8  # ten tasks prove no certainty


def test_shares_are_compared_over_the_same_tasks_and_told_by_kind_of_mistake() -> None:
    def robustness(after: Sequence[float]) -> Robustness:
        names = [f"task {i}" for i in range(len(after))]
        led = [
            LedTask(
                task=name,
                world="toy",
                leader="expert",
                responses=[],
                mistakes=[InjectedMistake(response="x", kind="silent" if i % 2 else "refused")],
            )
            for i, name in enumerate(names)
        ]
        rewards: list[list[float | None]] = [[1.0, reward, reward] for reward in after]
        rewards[-1] = [1.0, None, 1.0]  # not played: in no share
        return Robustness.of(led, names, rewards, {})

    even = robustness([1.0, 0.0] * 10 + [0.0])
    assert even.kept_by_kind["refused"][1].rate == 1 and even.kept_by_kind["silent"][1].rate == 0
    assert [rate.n for rate in even.success.values()] == [20, 20, 20]
    better = kept_gains(even, robustness([1.0] * 21))[1]
    assert (better.gain, better.n) == (0.5, 20)
    assert 0.2 < better.low < 0.4 < 0.6 < better.high < 0.8
    assert Robustness.model_validate_json(even.model_dump_json()) == even
    assert "kept where the mistake was silent: after 1: 0 %" in " ".join(even.notes())


async def test_the_report_and_its_picture_show_the_share_kept(tmp_path: Path) -> None:
    worlds, expert = world("textcraft")
    start = await measured(ByHeart(expert), worlds)
    planner = ScriptedPlayer(ScriptedEndpoint(error_rate=0), expert)
    last = await measured(planner, worlds, led=start.robustness.led)
    it = IterationReport.model_construct(measured=last)
    report = RunReport.of(CONFIG, start, [it], 1.0)
    place = HEADINGS.index("kept after 1 mistake")
    before, *_ = table(report.model_copy(update={"iterations": []}))
    assert before[place].startswith("0 % [0, ")
    shown = notes(report.model_copy(update={"iterations": []}))
    assert any(line.startswith("share kept after 1 injected: +100 points") for line in shown)
    beside = RunReport.of(CONFIG, start, [it], 1.0, control=start)
    assert (beside.lead, beside.kept_leads) == (beside.gain, beside.kept_gains)
    plain = beside.model_copy(update={"iterations": []})
    assert [row[0] for row in table(plain)] == ["start", "control"]
    assert any("last actor against control [" in line for line in notes(plain))
    controlled = tmp_path / "controlled.png"
    assert draw_curve(beside, controlled)
    with_it, without = tmp_path / "with.png", tmp_path / "without.png"
    assert draw_curve(report, with_it)
    for measurement in (start, last):
        measurement.robustness = Robustness()
    assert draw_curve(report, without)
    assert len({path.read_bytes() for path in (with_it, without, controlled)}) == 3


async def test_a_measurement_of_before_is_still_read() -> None:
    worlds, expert = world("textcraft")
    config = Config.model_validate({"measure": {"tasks": 2, "robustness_tasks": 0}})
    now = await asyncio.wait_for(measured(ByHeart(expert), worlds, config=config), 60)
    was = now.model_dump(mode="json")
    del was["robustness"]
    assert Measurement.model_validate(was) == now.model_copy(update={"robustness": Robustness()})
    assert not now.robustness.kept and not now.robustness.led


def test_tasks_are_called_alike_in_all_figures() -> None:
    task = TaskSpec("corridor 4", "test", world="corridor")
    assert only(Corridor).called(task.id, task.world) == "corridor 4"
