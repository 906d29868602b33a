"""`agent-r try`: play an episode with an endpoint or a world, and diagnose it."""

from __future__ import annotations

import difflib
import json
import logging

from rich.console import Console
from rich.text import Text

from agent_r.algorithm.critique import Critique
from agent_r.diagnostics.findings import document, facts, lines
from agent_r.diagnostics.live_episode import Audience, LiveTurn, Played
from agent_r.diagnostics.trial import Trial, try_out
from agent_r.environment import Split, TaskSpec
from agent_r.errors import UnknownTask
from agent_r.run_worlds import Worlds
from agent_r.settings import Config, EmbeddedEndpoint, OpenAIEndpoint
from flows.acting.actor_factory import acting
from flows.cli.finding_rows import console_of, row
from flows.cli.runner import run
from flows.cli.try_screen import Screen, printable, request
from flows.run_context import RunContext

PATIENT = 3  # tries of a request: whoever waits at a terminal wants to know
SPLITS: tuple[Split, ...] = ("train", "test", "warm_start")
_NAME = len("finish reasons")
_log = logging.getLogger("agent_r.progress")


def try_actor(
    config: Config, *, episodes: int | None = None, task: str = "", console: Console | None = None
) -> int:
    """Play and diagnose in the terminal; 1 where the actor cannot be used as it is.

    Raises:
        AgentRError: a setting or a world is wrong.
    """
    console = console or console_of()
    trial: Trial = run(tried(config, Screen(console), episodes=episodes, task=task))
    show(trial, config, console)
    return 0 if trial.usable else 1


def try_for_scripts(config: Config, *, episodes: int | None = None, task: str = "") -> int:
    """Play and diagnose as one JSON document on standard output, progress on standard error.

    Raises:
        AgentRError: a setting or a world is wrong.
    """
    trial: Trial = run(tried(config, Logged(), episodes=episodes, task=task))
    print(json.dumps(document(trial, config), indent=2))
    return 0 if trial.usable else 1


async def tried(config: Config, audience: Audience, *, episodes: int | None, task: str) -> Trial:
    """A trial in the worlds of a run, with its actor."""
    endpoint = config.endpoint
    if isinstance(endpoint, OpenAIEndpoint):
        fewer = endpoint.model_copy(update={"attempts": min(endpoint.attempts, PATIENT)})
        config = config.model_copy(update={"endpoint": fewer})
    context = RunContext.of(config)
    async with context.worlds as worlds:
        await worlds.check()
        tasks = chosen(worlds, episodes=episodes, task=task)
        if isinstance(endpoint, EmbeddedEndpoint):
            _log.info("the model's own server starts, which takes some seconds")
        async with acting(context, checked=False) as actor:
            return await try_out(actor, worlds, tasks, config, audience)


def chosen(worlds: Worlds, *, episodes: int | None, task: str) -> list[TaskSpec]:
    """The tasks to play: the first ones of a run, one of each world at least; or one by its name.

    Raises:
        UnknownTask: no world has one of that name.
    """
    if not task:
        return worlds.tasks("train", episodes or len(worlds.members))
    known: list[str] = []
    for split in SPLITS:
        for member in worlds.members.values():
            specs = {spec.id: spec for spec in member.tasks(split)}
            if task in specs:
                return [specs[task]] * (episodes or 1)
            known += specs
    near = difflib.get_close_matches(task, known, n=3, cutoff=0.4) or known[:3]
    names = ", ".join(f"'{name}'" for name in near)
    raise UnknownTask(f"no world of this run has a task '{task}'; there are {names}")


def show(trial: Trial, config: Config, console: Console) -> None:
    """The diagnosis, under the episode."""
    if trial.sent is not None:
        console.print()
        console.print(Text("The request, as it was sent", style="bold"))
        console.print(request(trial.sent))
    console.print()
    console.print(Text("Diagnosis", style="bold"))
    for fact in facts(trial, config):
        console.print(row(fact.mark, fact.name, printable(fact.text), width=_NAME))
    changes = lines(trial, config)
    console.print()
    for line in changes:
        console.print(Text(f"→ {printable(line)}", style="yellow" if trial.usable else "red"))
    if not trial.usable:
        end = "This actor cannot be used as it is."
    else:
        end = "This actor can be used" + (
            ", and better with a change." if changes else " as it is."
        )
    console.print(Text(end, style="bold green" if trial.usable else "bold red"))


class Logged:
    """Implements Audience: a line of progress for each thing that happens."""

    def begins(self, played: Played) -> None:
        _log.info("%s: %s", played.world.name, played.task.id)

    def says(self, turn: LiveTurn) -> None:
        what = turn.reading.action or turn.reading.outcome
        _log.info("step %d: %s", turn.number, printable(what))

    def answers(self, turn: LiveTurn) -> None: ...

    def ends(self, played: Played) -> None:
        if played.episode is not None:
            _log.info("reward %g: %s", played.episode.reward, played.episode.stop)

    def judges(self, step: int, critique: Critique) -> None:
        _log.info("step %d is judged: %s", step, critique.verdict or "no verdict")
