"""The control of `seeds.py`: the same first actor, trained as long on general rows alone.

    python benchmarks/control.py datasets_out/demo-seed-1/report.json ...

What a run gained could come from its half of expert demonstrations. So for each finished run: as
many rows as its last training had, all of them demonstrations; the same settings, the same held-out
tasks, the same failures to continue.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from agent_r.algorithm import metrics
from agent_r.evaluation.evaluate import Measurement, measure_actor
from agent_r.evaluation.report import RunReport
from agent_r.files import write_jsonl
from agent_r.settings import Config, EmbeddedEndpoint
from agent_r.training.backends import Source, TrainJob, make_trainer
from flows.actor_factory import acting
from flows.general_rows import general_rows
from flows.run_context import RunContext, worlds_of


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("reports", type=Path, nargs="+")
    print("seed | control's success | its gain ± 95 % | its recovery | the loop's lead ± 95 %")
    loops: list[float] = []
    controls: list[float] = []
    for path in arguments.parse_args().reports:
        report = RunReport.model_validate_json(path.read_bytes())
        measured = asyncio.run(control(report, path.parent / "control"))
        tasks = sorted(report.start.rewards)
        gain, half = metrics.paired_gain(
            [report.start.rewards[task] for task in tasks],
            [measured.rewards[task] for task in tasks],
        )
        last = report.iterations[-1].measured.rewards
        mine, theirs = [last[task] for task in tasks], [measured.rewards[task] for task in tasks]
        loops, controls = loops + mine, controls + theirs
        lead = "{:+.3f} ± {:.3f}".format(*metrics.paired_gain(theirs, mine))
        print(
            f"{report.seed:4} | {measured.success} | {gain:+.3f} ± {half:.3f} | "
            f"{measured.recovery} | {lead}"
        )
    lead, half = metrics.paired_gain(controls, loops)
    print(f" all | {len(loops)} episodes | the loop's lead {lead:+.3f} ± {half:.3f}")


async def control(report: RunReport, folder: Path) -> Measurement:
    """Train on as many general rows, and measure as the run did."""
    config = Config.model_validate(report.config)
    seed = config.seed + config.iterations
    count = sum(report.iterations[-1].training_rows.values())
    rows = (await general_rows(config, seed=seed))[:count]
    write_jsonl(folder / "rows.jsonl", rows)
    start = RunContext.of(config).model
    assert start is not None, "the control is of the embedded actor"
    job = TrainJob(
        model=start,
        sources=(Source(path=folder / "rows.jsonl"),),
        out=folder / "model",
        config=config.train,
        seed=seed,
    )
    await make_trainer(config.train).fine_tune(job)
    trained = config.model_copy(update={"endpoint": EmbeddedEndpoint(checkpoint=str(job.out))})
    async with acting(RunContext.of(trained)) as actor:
        return await measure_actor(
            actor,
            worlds_of(config),
            trained,
            openings=report.start.openings,
            led=report.start.robustness.led,
            parallel=48,
        )


if __name__ == "__main__":
    main()
