"""Does the loop teach? The demo's run under several seeds, each with its control.

    python benchmarks/seeds.py --config configs/demo.toml --seeds 0 1 2

For every seed the whole `self-train`, then one table: success and the share of it that is kept
after one injected mistake, of the first actor, the last one, and the control of `measure.control`,
which was trained as long on rows without errors; and the last one's lead over the control on the
same tasks.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from agent_r.config import load
from agent_r.evaluation.evaluate import Measurement
from agent_r.evaluation.report import RunReport

HEADS = (
    "seed",
    "success: first, last, control",
    "the last one's lead",
    "kept after one mistake: first, last, control",
    "the last one's lead [95 %]",
    "after three",
    "recovered: first, last, control",
    "minutes",
)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--config", type=Path, default=Path("configs/demo.toml"))
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = arguments.parse_args()
    config = load(given.config, over={"measure": {"control": True}})
    reports = []
    for seed in given.seeds:
        name = f"{config.dataset.name}-seed-{seed}"
        report = Path(config.dataset.out) / name / "report.json"
        command = ["self-train", "--config", str(given.config), "--seed", str(seed)]
        command += ["--set", "measure.control=true"]
        if not has_control(report):  # a finished run is read, not made again
            subprocess.run(
                [sys.executable, "-m", "flows.cli", *command, "--name", name], check=True
            )
        reports.append(RunReport.model_validate_json(report.read_bytes()))
    for line in summary(reports):
        print(line)


def has_control(report: Path) -> bool:
    """Whether a run is finished, and its control as well."""
    if not report.exists():
        return False
    return RunReport.model_validate_json(report.read_bytes()).control is not None


def summary(reports: list[RunReport]) -> list[str]:
    """A Markdown table, a line a seed."""
    lines = [f"| {' | '.join(HEADS)} |", "|---" * len(HEADS) + "|"]
    for report in reports:
        assert report.control is not None, "the run has no control"
        three = (report.start, report.iterations[-1].measured, report.control)
        leads = [
            f"{100 * lead.gain:+.0f} [{100 * lead.low:+.0f}, {100 * lead.high:+.0f}]"
            for lead in (report.kept_leads[1], report.kept_leads[3])
        ]
        cells = (
            str(report.seed),
            ", ".join(f"{100 * one.success.rate:.0f} %" for one in three),
            f"{100 * report.lead:+.0f} ± {100 * report.lead_half_width:.0f}",
            ", ".join(_kept(one) for one in three),
            *leads,
            ", ".join(f"{100 * one.recovery.rate:.0f} %" for one in three),
            f"{report.seconds / 60:.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _kept(measured: Measurement) -> str:
    return f"{100 * measured.robustness.kept[1].rate:.0f} %"


if __name__ == "__main__":
    main()
