"""Does the loop teach? The demo's run under several seeds.

    python benchmarks/seeds.py --config configs/demo.toml --seeds 0 1 2

For every seed the whole `self-train`, then one table: success and recovery of the first and the
last actor on the same held-out tasks, and the gain with its 95 % interval, by seed and together.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from agent_r.algorithm import metrics
from agent_r.config import load
from agent_r.evaluation.report import RunReport


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--config", type=Path, default=Path("configs/demo.toml"))
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = arguments.parse_args()
    config = load(given.config)
    reports = []
    for seed in given.seeds:
        name = f"{config.dataset.name}-seed-{seed}"
        report = Path(config.dataset.out) / name / "report.json"
        command = ["self-train", "--config", str(given.config), "--seed", str(seed)]
        if not report.exists():  # a finished run is read, not made again
            subprocess.run(
                [sys.executable, "-m", "flows.cli", *command, "--name", name], check=True
            )
        reports.append(RunReport.model_validate_json(report.read_bytes()))
    for line in summary(reports):
        print(line)


def summary(reports: list[RunReport]) -> list[str]:
    """One line a seed, then all tasks of all seeds together."""
    lines = ["seed | success first → last | gain ± 95 % | recovery first → last | minutes"]
    before: list[float] = []
    after: list[float] = []
    for report in reports:
        first, last = report.start, report.iterations[-1].measured
        tasks = sorted(first.rewards)
        before += [first.rewards[task] for task in tasks]
        after += [last.rewards[task] for task in tasks]
        lines.append(
            f"{report.seed:4} | {first.success} → {last.success} | "
            f"{report.gain:+.3f} ± {report.gain_half_width:.3f} | "
            f"{first.recovery} → {last.recovery} | {report.seconds / 60:.1f}"
        )
    gain, half = metrics.paired_gain(before, after)
    lines.append(f" all | {len(before)} episodes | {gain:+.3f} ± {half:.3f}")
    return lines


if __name__ == "__main__":
    main()
