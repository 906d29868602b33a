"""The experiment, all of it: `python -m benchmarks.paper`.

For every seed the first actor is measured, and its first trees are grown once for all arms. Then
each arm explores with its own actor, trains the first one anew on as many tokens as every other
arm, and is measured on the same tasks. What is finished is not done again, also after a kill.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path

from agent_r.config import digest, load, overrides
from agent_r.errors import AgentRError
from agent_r.files import require_writable, write_bytes
from benchmarks.paper.arms import ARMS, DEFAULT, OURS, START
from benchmarks.paper.experiment import Experiment
from benchmarks.paper.panel import Panel
from benchmarks.paper.plot import draw
from benchmarks.paper.results import Result, all_of, finished, planned
from benchmarks.paper.schedule import Job, run_all
from benchmarks.paper.tables import tables
from flows.run_context import worlds_of

_CONFIG = Path("configs/paper-experiment.toml")
_WORKER = "benchmarks.paper.one_arm"


def main(argv: list[str] | None = None) -> int:
    """Run what is not there yet; 1: some of it failed, 2: a mistake in one line."""
    given = parser().parse_args(argv)
    try:
        return run(given)
    except AgentRError as error:
        print(f"paper: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("paper: interrupted; the same command goes on", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.paper", description=__doc__)
    add = arguments.add_argument
    add("--config", type=Path, default=_CONFIG, help="settings of all arms")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="change one of them")
    add("--arms", nargs="+", choices=list(ARMS), default=list(DEFAULT), help="beside `start`")
    add("--seeds", nargs="+", type=int, default=list(range(5)))
    add("--iterations", type=int, default=3)
    add("--trees", type=int, help="explored by an arm in an iteration")
    add("--tasks", type=int, help="held-out tasks; as many are led")
    add("--tokens", type=int, default=30_000, help="half of those trained in an epoch")
    add("--jobs", type=int, default=2, help="processes at once")
    add("--out", type=Path, default=Path("datasets_out/paper/results"), help="the raw results")
    add("--only-tables", action="store_true", help="of what is there of these")
    add("--compare", choices=list(ARMS), default=OURS, help="with each other arm, in the tables")
    add("--work", type=Path, help="trees, models, episodes; by default beside the results")
    return arguments


def experiment_of(given: argparse.Namespace) -> Experiment:
    """What the arguments ask for.

    Raises:
        ConfigError: a setting is none.
    """
    changes = [*given.set, f"iterations={given.iterations}"]
    changes += [f"trees={given.trees}"] if given.trees else []
    if given.tasks:
        changes += [f"measure.{n}={given.tasks}" for n in ("tasks", "robustness_tasks")]
    config = load(given.config, over=overrides(changes))
    work = given.work or given.out.parent / "work"
    return Experiment(config=config, tokens=given.tokens, out=given.out, work=work)


def run(given: argparse.Namespace) -> int:
    """All that is not there yet, then tables and picture of what is.

    Raises:
        AgentRError: a setting, a folder or a result that is there does not fit.
    """
    failed = {} if given.only_tables else fill(given)
    panel = Panel.of(asked_for(given), given.compare)
    if panel.results:
        text = tables(panel, depths_of(given))
        write_bytes(given.out / "tables.md", text.encode())
        draw(panel, given.out / "curves.png")
        print(text, end="")
    for name, words in failed.items():
        print(f"paper: {name}: {words}", file=sys.stderr)
    return 1 if failed else 0


def depths_of(given: argparse.Namespace) -> dict[str, int]:
    """How deep each held-out task is, by its name."""
    members = worlds_of(experiment_of(given).config).members.values()
    return {task.id: task.depth for one in members for task in one.tasks("test")}


def asked_for(given: argparse.Namespace) -> list[Result]:
    """The results that are there, of these arms, seeds and iterations."""
    arms = {START, *given.arms}
    return [
        one
        for one in all_of(given.out)
        if one.arm in arms and one.seed in given.seeds and one.iteration <= given.iterations
    ]


def fill(given: argparse.Namespace) -> dict[str, str]:
    """Make every result that is not there; returns what failed, and with which last words."""
    experiment = experiment_of(given)
    wanted = planned(given.arms, given.seeds, given.iterations)
    left = [one for one in wanted if finished(experiment, *one) is None]
    print(f"{len(wanted) - len(left)} of {len(wanted)} results are there", flush=True)
    for folder in (experiment.out, experiment.work):
        require_writable(folder)
    clock = Clock(len(left))
    jobs = jobs_of(experiment, left)
    return asyncio.run(run_all(jobs, at_once=given.jobs, on_line=clock.say))


def jobs_of(experiment: Experiment, left: list[tuple[int, str, int]]) -> list[Job]:
    """A process for each arm and seed with results to come; seeds in their order."""
    text = experiment.model_dump_json(indent=1)
    path = experiment.work / f"experiment-{digest(text)}.json"  # others may share the folder
    write_bytes(path, text.encode())
    jobs = []
    for seed in sorted({seed for seed, _, _ in left}):
        log = experiment.work / f"seed-{seed}"
        call = (str(path), str(seed), str(os.getpid()))
        arms = list(dict.fromkeys(arm for s, arm, _ in left if s == seed and arm != START))
        exploring = [arm for arm in arms if ARMS[arm].explores]
        start, trees = f"seed {seed}, start", f"seed {seed}, first trees"
        # Also where its result is there: what the others need of it may not be.
        jobs.append(Job(start, _WORKER, (*call, START), log / "start.log"))
        if exploring:
            only = (*call, exploring[0], "--trees-only")
            jobs.append(Job(trees, _WORKER, only, log / "trees.log"))
        for arm in arms:
            needs = (start, trees) if arm in exploring else (start,)
            name = f"seed {seed}, {arm}"
            jobs.append(Job(name, _WORKER, (*call, arm), log / f"{arm}.log", needs))
    return jobs


class Clock:
    """Says each finished result, how fast they come, and when the last one will be there."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.began = total, 0, time.monotonic()

    def say(self, line: str) -> None:
        self.done += 1
        minutes = (time.monotonic() - self.began) / 60
        left = max(self.total - self.done, 0) * minutes / self.done
        rate = 60 * self.done / max(minutes, 1e-9)
        print(
            f"{self.done}/{self.total} · {minutes:.0f} min · {rate:.0f}/h · "
            f"{left:.0f} min left · {line}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
