"""Check a world against its contract, in named checks without a test runner.

A world's misbehaviour is a finding, never an exception; what hangs is ended, and is one, too.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from agent_r.env_check import checks, resource_leaks, state, words
from agent_r.env_check.harness import SPLITS, Bench, CheckEnded, Limits, Verdict
from agent_r.env_check.loop_watch import Held, Watch
from agent_r.env_check.resources import Resources
from agent_r.env_check.texts import over
from agent_r.environment import Forkable, Split, World
from agent_r.printable import printable_line

__all__ = ["CHECKS", "CheckResult", "Limits", "Report", "WorldFacts", "check"]


class Check(Protocol):
    """Tries one thing; its text says what held, an `Outcome` what did not."""

    __name__: str

    async def __call__(self, bench: Bench, /) -> str: ...


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found; `why` is one line: what was done, what expected, what came."""

    check: str
    verdict: Verdict
    why: str


@dataclass(frozen=True, slots=True)
class WorldFacts:
    """What a world is like; times are (median, 95 %) in milliseconds."""

    name: str
    version: str
    tasks: dict[Split, int]
    forks: bool
    expert: bool
    reset_ms: tuple[float, float]
    step_ms: tuple[float, float]
    steps_per_s: float  # of one episode at a time, resets apart


@dataclass(frozen=True, slots=True)
class Report:
    """All findings on one world; `facts` is None where no episode could be measured."""

    findings: tuple[CheckResult, ...]
    facts: WorldFacts | None

    def named(self, verdict: Verdict) -> list[str]:
        """The checks that ended so."""
        return [finding.check for finding in self.findings if finding.verdict == verdict]

    @property
    def kept(self) -> bool:
        return not self.named("failed")


_NEEDED = (checks.nothing_is_missing, checks.tasks_exist, checks.an_episode_begins)
_ALIVE: tuple[Check, ...] = (
    checks.nothing_is_missing,
    checks.tasks_exist,
    checks.a_task_has_a_name_of_its_own,
    checks.tasks_stay_the_same,
    checks.info_says_what_a_stranger_needs,
    resource_leaks.an_environment_costs_nothing_at_first,
    resource_leaks.a_first_reset_can_be_cancelled,
    checks.an_episode_begins,
    checks.an_unknown_task_is_refused,
    checks.a_step_needs_an_episode,
    checks.an_end_is_final,
    checks.a_reset_repeats,
    checks.a_replay_answers_the_same,
    checks.any_action_is_answered,
    checks.rewards_are_fractions,
    checks.answers_are_of_their_types,
    words.an_action_is_read_as_it_was_said,
    words.a_signals_own_turn_is_no_action_of_the_world,
    checks.the_expert_knows_a_way,
    state.closing_twice_does_no_harm,
    state.a_closed_environment_says_so,
    state.episodes_at_once_are_apart,
    state.a_snapshot_restores_exactly,
    state.a_strange_snapshot_is_refused,
    state.the_event_loop_stays_free,
    resource_leaks.a_cancelled_call_spoils_nothing,
)
_CLOSING: tuple[Check, ...] = (
    resource_leaks.nothing_is_left_of_what_was_cancelled,
    resource_leaks.a_world_closes_twice,
)


def name_of(ask: Check) -> str:
    """What a check is called: what its function is called.

    >>> name_of(checks.a_reset_repeats)
    'a reset repeats'
    """
    return ask.__name__.replace("_", " ")


CHECKS = tuple(name_of(ask) for ask in (*_ALIVE, *_CLOSING))


async def check(
    world: World,
    *,
    seed: int = 0,
    limits: Limits = Limits(),
    heard: Callable[[CheckResult], None] = lambda finding: None,
) -> Report:
    """Try the whole contract on a world, and close it; `heard` is called with each finding at once.

    The world must be fresh: what there is now is what must be there again at the end.
    """
    async with Watch(limits.timeout_s) as watch:
        bench = Bench(world, limits, seed, watch, before=Resources.now())
        findings: list[CheckResult] = []
        try:
            await _try(_ALIVE, bench, findings, heard)
            facts = await _facts(bench) if not _stopped(bench, findings) else None
            await _try(_CLOSING, bench, findings, heard)
        finally:
            await _close(bench)
    return Report(tuple(findings), facts)


async def _try(
    asked: tuple[Check, ...],
    bench: Bench,
    findings: list[CheckResult],
    heard: Callable[[CheckResult], None],
) -> None:
    for ask in asked:
        stopped = _stopped(bench, findings)
        skipped = CheckResult(name_of(ask), "skipped", stopped)
        findings.append(finding := skipped if stopped else await _one(ask, bench))
        heard(finding)


def _stopped(bench: Bench, findings: list[CheckResult]) -> str:
    """Why nothing more can be tried; "" while it can."""
    failed = {finding.check for finding in findings if finding.verdict == "failed"}
    if bench.hung or failed & {name_of(ask) for ask in _NEEDED}:
        return "not tried, after what failed above"
    return ""


async def _one(ask: Check, bench: Bench) -> CheckResult:
    limit_s = 5 * bench.limits.timeout_s
    verdict: Verdict = "ok"
    try:
        async with asyncio.timeout(limit_s) as limit:
            why = await ask(bench)
    except CheckEnded as outcome:
        verdict, why = outcome.verdict, str(outcome)
    except (Exception, SystemExit, Held) as error:  # noqa: BLE001 - what a world raises is a finding
        late = limit.expired()
        bench.hung = bench.hung or late or isinstance(error, Held)
        verdict, why = "failed", bench.described(error)
        if late:
            why = f"{bench.doing} was under way when {limit_s:g} s were over for all of it"
    return CheckResult(name_of(ask), verdict, printable_line(why, mark="?"))


async def _facts(bench: Bench) -> WorldFacts | None:
    resets, steps = list[float](), list[float]()
    try:
        async with asyncio.timeout(5 * bench.limits.timeout_s):
            await _measure(bench, resets, steps)
        env = bench.fresh()
        info, sizes = env.info, {split: len(env.tasks(split)) for split in SPLITS}
        named = f"{info.name}", f"{info.version}"
    except (Exception, SystemExit, Held):  # noqa: BLE001 - told by a check already
        return None
    return WorldFacts(
        *named,
        sizes,
        isinstance(env, Forkable),
        bench.world.expert is not None,
        _spread(resets),
        _spread(steps),
        len(steps) / sum(steps) if steps else 0.0,
    )


async def _measure(bench: Bench, resets: list[float], steps: list[float]) -> None:
    """Time known episodes, repeated for a while; at least one action of one."""
    clock, plays = time.perf_counter, await bench.plays()
    until = clock() + bench.limits.measure_s
    async with bench.environment() as env:
        for play in itertools.cycle(plays):
            await asyncio.sleep(0)  # nor may measuring hold the loop
            began = clock()
            await env.reset(play.task)
            resets.append(clock() - began)
            for action, _ in zip(play.actions, play.results, strict=False):
                began = clock()
                result = await env.step(action)
                steps.append(clock() - began)
                if over(result) or clock() > until:
                    break
            if clock() > until:
                return


def _spread(seconds: list[float]) -> tuple[float, float]:
    ordered = sorted(1000 * value for value in seconds) or [0.0]
    return statistics.median(ordered), ordered[int(0.95 * (len(ordered) - 1))]


async def _close(bench: Bench) -> None:
    """Close the world, also one that hung or whose check was interrupted."""
    try:
        await bench.call("world.aclose()", bench.world.aclose)
    except (Exception, Held):  # noqa: BLE001 - told by a check already
        return
