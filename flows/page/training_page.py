"""Show a fine-tuning job on the run's page: its curve, its cost, where it ran, its last words."""

from __future__ import annotations

from pathlib import Path

from agent_r.evaluation.loss_curve import draw_losses
from agent_r.training.training_record import TrainingRecord
from flows.page.one_artifact import in_line, key, leave
from flows.page.run_table import markdown, plain


async def show_training(record: TrainingRecord, out: Path, *, name: str, stage: str) -> None:
    """One artifact a dataset: its trainings are the history of it."""
    model = record.model
    rows = [
        ["back end", plain(f"{record.backend} {record.job}".strip())],
        ["steps", f"{record.steps:,}"],
        ["seconds", f"{record.seconds:,.0f}"],
        ["money", "unknown" if record.money is None else f"${record.money:,.2f}"],
        ["model", plain(model.name or model.repo or str(out.absolute()))],
        ["served as", model.served + (f" on {plain(model.base)}" if model.base else "")],
    ]
    picture = draw_losses(record.losses, f"{name}, {stage}")
    words = "\n".join(line.replace("`", "'") for line in record.log)
    parts = [
        f"# {plain(f'{name}, {stage}')}",
        f"![loss by step]({in_line(picture)})" if picture else "",
        markdown(("", ""), rows),
        f"Its last words:\n\n```\n{words}\n```" if words else "",
    ]
    text = "\n\n".join(filter(None, parts))
    await leave(key("training", name), "markdown", text, f"{stage}: {record.line()}")
