"""`agent-r check-env`: check whether a world keeps the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent_r.config import load, merge, parse
from agent_r.env_check import CHECKS, CheckResult, Limits, Report, WorldFacts, check
from agent_r.settings import EnvSpec, SingleEnv, env_specs
from env_adapters import world_of
from flows.cli.finding_rows import console_of, row
from flows.cli.runner import run

_NAME = max(map(len, CHECKS))


def spec_of(text: str, over: dict[str, Any] | None = None) -> EnvSpec:
    """The world that is meant: a TOML file with an [env], a kind, or `module:factory`.

    The settings of `over` are laid on it.

    Raises:
        ConfigError: it is none of these, or its settings are wrong.
    """
    if text.endswith(".toml") or Path(text).is_file():
        return load(Path(text), over=over).env
    python = {"kind": "python", "factory": text}
    named = {"env": python if ":" in text else {"kind": text}}
    return parse(merge(named, over or {}), source="check-env").env


def check_env(spec: EnvSpec, *, seed: int = 0, limits: Limits = Limits()) -> list[Report]:
    """Try each world of a run in turn, and print what is found as it is found.

    Raises:
        AgentRError: a world cannot even be made, as its setting or an import is wrong.
    """
    console = console_of()
    return [_checked(console, one, seed, limits) for one in env_specs(spec)]


def _checked(console: Console, spec: SingleEnv, seed: int, limits: Limits) -> Report:
    world = world_of(spec)
    console.print(Text(_title(spec), style="bold"))
    report: Report = run(
        check(world, seed=seed, limits=limits, heard=lambda found: console.print(_row(found)))
    )
    for line in _summary(report):
        console.print(Text(line))
    return report


def _title(spec: SingleEnv) -> str:
    words = [getattr(spec, name, "") for name in ("factory", "server", "name", "game")]
    return " ".join([spec.kind, *(word for word in words if word)])


def _row(found: CheckResult) -> Table:
    return row(found.verdict, found.check, found.why, width=_NAME)


def _summary(report: Report) -> list[str]:
    counts = [f"{len(report.named('ok'))} kept"]
    for verdict in ("failed", "warned", "skipped"):
        if names := report.named(verdict):
            counts.append(f"{len(names)} {verdict}")
    return [*(_facts(report.facts) if report.facts else []), ", ".join(counts)]


def _facts(facts: WorldFacts) -> list[str]:
    sizes = ", ".join(f"{size:,} {split}" for split, size in facts.tasks.items())
    forks = "forks" if facts.forks else "no forks"
    expert = "an expert" if facts.expert else "no expert"
    asked = {"reset": facts.reset_ms, "step": facts.step_ms}
    times = [
        f"{name} {_round(half)} ms (95 %: {_round(most)})" for name, (half, most) in asked.items()
    ]
    return [
        f"{facts.name} {facts.version}: {sizes} tasks; {forks}; {expert}",
        f"{', '.join(times)}, {_round(facts.steps_per_s)} steps/s in one episode",
    ]


def _round(value: float) -> str:
    """Round to two figures: a third would not repeat.

    >>> _round(448453.9)
    '450,000'
    """
    return f"{float(f'{value:.2g}'):,.0f}" if value >= 10 else f"{value:.2g}"
