"""The whole loop: measure, then collect → publish → train → measure for each iteration."""

from __future__ import annotations

import time

from prefect import flow

from agent_r.errors import BudgetSpent
from agent_r.services.budget import prices
from agent_r.services.plan import dataset_folder
from agent_r.services.report import IterationReport, RunReport, draw_curve
from agent_r.services.store import write_json
from agent_r.settings import Config
from flows.artifacts import show_report
from flows.collect import Collected, collect
from flows.measure import measure
from flows.publish import publish
from flows.results import JSON
from flows.train import train


@flow(
    name="self-train",
    flow_run_name="self-train-{config.dataset.name}",
    persist_result=True,
    result_serializer=JSON,
)
async def self_train(config: Config = Config()) -> RunReport:
    """Agent-R (arXiv 2501.11425): an actor explores, finds its errors, is trained, and again.

    Args:
        config: All settings; the defaults need nothing but Python.
    """
    began = time.monotonic()
    start = await measure(config)
    model, versions, left = "", [], config
    reports: list[IterationReport] = []
    for iteration in range(1, config.iterations + 1):
        try:
            collected = await collect(left, iteration, model, iteration - 1)
        except BudgetSpent:
            if not reports:
                raise
            break
        left = after(collected, left)
        published = None
        if config.hub.repo:
            published = await publish(collected.built.dataset.path, config)
        versions.append(published.address if published else collected.built.dataset.path)
        chosen = versions if config.train.accumulate else versions[-1:]
        base = "" if config.train.restart else model
        trained = await train(chosen, config, iteration, base)
        model = trained.model
        reports.append(
            IterationReport(
                iteration=iteration,
                built=collected.built,
                published=published,
                collect_usage=collected.usage,
                collect_seconds=collected.seconds,
                training_rows=trained.rows,
                loss_first=trained.loss_first,
                loss_last=trained.loss_last,
                train_seconds=trained.seconds,
                model=model,
                measured=await measure(config, model, iteration, start.openings),
            )
        )
        if collected.stopped:
            break  # what there is was published, trained on and measured
    report = RunReport.of(config, start, reports, time.monotonic() - began)
    write_json(dataset_folder(config) / "report.json", report.model_dump(mode="json"))
    picture = dataset_folder(config) / "curve.png"
    draw_curve(report, picture)
    await show_report(report, picture)
    return report


def after(collected: Collected, config: Config) -> Config:
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
