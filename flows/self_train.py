"""The whole loop: measure, then collect → publish → train → measure for each iteration."""

from __future__ import annotations

import logging
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect import Flow

from agent_r.collection.nights import Ground
from agent_r.concurrency import gather_bounded
from agent_r.dataset.card.outcomes import outcome
from agent_r.endpoint.budget import prices
from agent_r.errors import BudgetSpent, NothingMade
from agent_r.evaluation.curve import draw_curve
from agent_r.evaluation.evaluate import EpisodePrefix, Measurement
from agent_r.evaluation.injection import LedTask
from agent_r.evaluation.report import IterationReport, RunReport, newest_model
from agent_r.files import write_json
from agent_r.settings import Config
from agent_r.training.serving.replies import Switched
from flows.acting.switching import noted_replies, switched
from flows.collect import CollectResult, collect
from flows.form.asked import asked
from flows.form.parameters import (
    AS_SET,
    Base,
    Dataset,
    Endpoint,
    LoopBudget,
    Overrides,
    Repo,
    World,
)
from flows.measure import measure
from flows.page.artifacts import gain_line, show_report
from flows.page.orphans import close_what_it_left
from flows.page.run_log import tell
from flows.page.run_names import name_run
from flows.page.this_run import run_id
from flows.preflight import loops, preflight
from flows.publish import publish
from flows.run_context import RunContext
from flows.states import fails_in_one_line, nothing_new
from flows.train import Trained, train
from flows.versions import local_version
from tasks.orchestration import flow

P = ParamSpec("P")
R = TypeVar("R")
_log = logging.getLogger("agent_r.progress")


@flow(
    name="self-train",
    persist_result=False,
    validate_parameters=False,
    on_crashed=[close_what_it_left],
)
@fails_in_one_line
async def self_train(
    settings: Base = "default",
    world: World = None,
    endpoint: Endpoint = None,
    dataset: Dataset = "",
    repo: Repo = "",
    budget: LoopBudget = AS_SET,
    overrides: Overrides = (),
) -> RunReport:
    """Agent-R (arXiv 2501.11425): an actor explores, finds its errors, is trained, and again."""
    config = await asked(settings, overrides, world=world, endpoint=endpoint, dataset=dataset,
                         repo=repo, budget=budget)  # fmt: skip
    context, needs = loops(config, str(run_id()))
    first, last = context.iteration, context.iteration + config.iterations - 1
    await name_run("self-train", context, _these(first, last))
    await preflight(context, needs)
    began = time.monotonic()
    ground = Ground.of(config, "self-train", str(run_id()))
    loop = Loop(config.model_copy(update={"continual": False}), ground)
    start = await measure(loop.config)  # of the very first actor, whose failures all continue
    loop.openings, loop.led = start.openings, start.robustness.led
    if ground.model:
        start = await loop.measured(measure, ground.model, ground.first - 1)
    loop.outcomes.append(_outcome(start, ground.versions[-1:] if ground.model else []))
    await loop.run(ground)
    took = time.monotonic() - began
    report = RunReport.of(loop.config, start, loop.reports, took, loop.control)
    was = newest_model(context.dataset_folder)
    await _leave(report, context.dataset_folder)
    tell(f"{gain_line(report)}, {took / 60:.1f} minutes")
    if loop.new or was != loop.model:
        return report
    written = [it.built.dataset.version for it in report.iterations]
    return nothing_new(report.model_copy(update={"new": False}), written)


class Loop:
    """What one iteration leaves for the next."""

    def __init__(self, config: Config, ground: Ground) -> None:
        self.config, self.left = config, config  # the settings, and those with what is unspent
        self.model, self.versions = ground.model, list(ground.versions)
        self.base = ground.model  # what the model was trained from
        self.newest = "".join(self.versions[-1:])  # its rows are in the next version as well
        self.openings: list[EpisodePrefix] = []  # of the first actor, as the tasks led
        self.led: list[LedTask] = []
        self.reports: list[IterationReport] = []
        self.new = False  # a version or a model that was not there before
        self.outcomes: list[dict[str, Any]] = []
        self.control: Measurement | None = None  # trained as long as the last actor
        self.switched: Switched | None = None  # the last actor in place of the one before
        self.stopped = ""  # by which limit of the budget

    async def run(self, ground: Ground) -> None:
        """All iterations of this ground; where one cannot be made, it is not finished.

        Raises:
            BudgetSpent: it was before one tree was finished.
            NothingMade: the first iteration gave nothing to train on.
        """
        last = ground.first + self.config.iterations - 1
        for iteration in range(ground.first, last + 1):
            try:
                await self.iterate(iteration, is_last=iteration == last)
            except (BudgetSpent, NothingMade) as end:
                if not self.reports:
                    raise
                _log.warning("iteration %d ends the run: %s", iteration, end)
                if self.config.measure.control:  # nobody knew that the one before was the last
                    _, self.control = await self.trained(
                        self.versions[-1], iteration - 1, self.base, control=True
                    )
                return
            if self.stopped:
                return  # what there is was published, trained on and measured
        written = self.versions[len(ground.versions) :]
        ground.finish(last=last, model=self.model, versions=written)

    async def iterate(self, iteration: int, *, is_last: bool) -> None:
        """Collect, publish, train, measure; what the budget leaves over, the last one spends.

        Raises:
            BudgetSpent: it was before one tree was finished.
        """
        config = self.config
        collected = await collect(
            self.left,
            iteration=iteration,
            model=self.model,
            earlier=self.newest,
            outcomes=tuple(self.outcomes),
            spend_all=is_last,
        )
        self.left, self.stopped = after(collected, self.left), collected.stopped
        self.newest = collected.built.dataset.path
        published = await publish(self.newest, config) if config.hub.repo else None
        version = published.address if published else self.newest
        self.versions.append(version)
        arms = [False, True] if config.measure.control and (is_last or self.stopped) else [False]
        await local_version(version, config)  # fetched once: not by both at the same time
        base = self.model
        (trained, measured), *control = await gather_bounded(
            arms, lambda control: self.trained(version, iteration, base, control=control)
        )
        self.control = control[0][1] if control else None
        self.base, self.model, self.new = base, trained.model, self.new or collected.new
        self.outcomes.append(_outcome(measured, [version]))
        self.reports.append(
            IterationReport(
                iteration=iteration,
                built=collected.built,
                published=published,
                collect_usage=collected.usage,
                collect_seconds=collected.seconds,
                training_rows=trained.rows,
                mixture=trained.mixture,
                loss_first=trained.loss_first,
                loss_last=trained.loss_last,
                train_seconds=trained.seconds,
                training=trained.training,
                model=trained.model,
                served=self.switched,
                measured=measured,
            )
        )

    async def trained(
        self, version: str, iteration: int, base: str, *, control: bool
    ) -> tuple[Trained, Measurement]:
        """The next actor, or a control of it, and how it does."""
        start = "" if self.config.train.restart else base
        before = await noted_replies(RunContext.of(self.config, iteration, base))
        trained = await train([version], self.config, iteration, start, control=control)
        if not control:
            now = RunContext.of(self.config, iteration + 1, trained.model)
            self.switched = await switched(now, before)
        self.new = self.new or trained.new
        name = f"measure {self.config.dataset.name}, {_these(iteration, iteration)}, control"
        measures = called(measure, name) if control else measure
        return trained, await self.measured(measures, trained.model, iteration)

    async def measured(
        self, measures: Flow[..., Coroutine[Any, Any, Measurement]], model: str, trained: int
    ) -> Measurement:
        """How a model does at what the first actor failed at, and was led to."""
        again = {"openings": self.openings, "led": self.led}
        return await measures(self.config, model=model, trained=trained, **again)


def called(named: Flow[P, R], name: str) -> Flow[P, R]:
    """A flow whose runs have this name, for they cannot know it."""
    return named.with_options(flow_run_name=name)


def _these(first: int, last: int) -> str:
    """
    >>> _these(1, 1), _these(4, 6)
    ('iteration 1', 'iterations 4 to 6')
    """
    return f"iteration {first}" if first == last else f"iterations {first} to {last}"


def _outcome(measured: Measurement, versions: Sequence[str]) -> dict[str, Any]:
    """What a card says of an actor; of a version's folder or address only its name."""
    names = [version.replace("@", "/").rpartition("/")[2] for version in versions]
    return outcome(measured.actor, names, measured.success, measured.recovery)


async def _leave(report: RunReport, folder: Path) -> None:
    write_json(folder / "report.json", report.model_dump(mode="json"))
    picture = folder / "curve.png"
    draw_curve(report, picture)
    await show_report(report, picture)


def after(collected: CollectResult, config: Config) -> Config:
    """The settings of the next iteration: one budget is for all of them."""
    spent = collected.spent
    prompt, completion = prices(config.endpoint)
    money = spent["prompt_tokens"] * prompt + spent["completion_tokens"] * completion
    left = config.budget.less(
        tokens=spent["prompt_tokens"] + spent["completion_tokens"],
        money=money / 1e6,
        minutes=spent["seconds"] / 60,
    )
    return config.model_copy(update={"budget": left})
