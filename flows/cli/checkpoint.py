"""The packaged checkpoint: how the embedded actor is made, from the world's expert alone."""

from __future__ import annotations

import logging
from pathlib import Path

from agent_r.files import write_jsonl
from agent_r.settings import TextCraftEnv
from agent_r.training.progress_lines import training_line
from agent_r.training.warm_start import WarmStartRecipe, warm_start
from env_adapters.textcraft.demonstrations import demonstrations


async def make_checkpoint(
    out: Path,
    *,
    seed: int,
    episodes: int,
    recipe: WarmStartRecipe = WarmStartRecipe(),
) -> None:
    """Train the actor on demonstrations of the `warm_start` goals; the rows stay beside it.

    Raises:
        TrainerError: the job failed; run it again and it goes on from its last checkpoint.
    """
    rows = await demonstrations(TextCraftEnv(), episodes=episodes, seed=seed)
    path = out.with_name(out.name + ".demonstrations.jsonl")
    write_jsonl(path, rows)
    progress = training_line("warm start")
    report = await warm_start(path, out, seed=seed, recipe=recipe, on_progress=progress)
    logging.getLogger("agent_r").info("%s: %s", out, report.model_dump_json())
