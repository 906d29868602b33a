"""Can an embedded actor be made that plays in the shop? Trains one, and asks it what it was shown.

    python benchmarks/shop_actor.py datasets_out/shop-actor        # half an hour on one core

The same model as TextCraft's, with a longer context, from the shop's demonstrations alone. Counted
are replies of its own training's first episodes that it would give word for word, each after the
right ones before it; a folder that holds a model is asked, not trained again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent_r.errors import AgentRError
from agent_r.files import write_jsonl
from agent_r.local_model.engine import Engine, GenerationRequest
from agent_r.local_model.model_folder import parameters
from agent_r.reading.reply import parse_action
from agent_r.settings import ShopEnv
from agent_r.training.progress_lines import training_line
from agent_r.training.warm_start import WarmStartRecipe, warm_start
from env_adapters import ROWS_PER_EPISODE, demonstrations_of

EPISODES, ASKED = 3000, 30
RECIPE = WarmStartRecipe(context=4096, batch_tokens=4096)  # an episode fills five pages
KINDS = ("search", "page", "product", "option", "purchase")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--episodes", type=int, default=EPISODES)
    given = arguments.parse_args()
    try:
        measure(given.out, given.episodes)
    except AgentRError as error:
        sys.exit(f"shop_actor: {error}")


def measure(out: Path, episodes: int) -> None:
    """Train the actor where it is not there yet, and print what it gives again."""
    rows = asyncio.run(demonstrations_of(ShopEnv(), episodes=episodes, seed=0))
    if not (out / "model.safetensors").is_file():
        asyncio.run(train(rows, out))
    report = json.loads((out / "done.json").read_text())
    print(f"{parameters(out):,} parameters, {report['tokens']:,} tokens trained on")
    right, all_ = Counter[str](), Counter[str]()
    for kind, same in asked(Engine(out, threads=1), rows[::ROWS_PER_EPISODE][:ASKED]):
        right[kind] += same
        all_[kind] += 1
    for kind in filter(all_.get, KINDS):
        print(f"{kind:9} {right[kind]:3} of {all_[kind]:3} as shown")


async def train(rows: list[dict[str, Any]], out: Path) -> None:
    """As the packaged actor was trained."""
    path = out.with_name(out.name + ".jsonl")
    write_jsonl(path, rows)
    await warm_start(path, out, seed=0, recipe=RECIPE, on_progress=training_line("shop actor"))


def asked(engine: Engine, rows: list[dict[str, Any]]) -> Iterator[tuple[str, bool]]:
    """Of every reply that was shown: its kind, and whether the model would give it."""
    for row in rows:
        for at, message in enumerate(row["messages"]):
            if message["role"] == "assistant":
                prompt = tuple(engine.text.encode_chat(row["messages"][:at]))
                request = GenerationRequest(prompt, n=1, max_tokens=80, temperature=0.0, seed=0)
                [answer] = engine.submit(request).result().samples
                page = row["messages"][at - 1]["content"]
                kind = kind_of(parse_action(message["content"]), page)
                yield kind, answer.text == message["content"]


def kind_of(action: str, page: str) -> str:
    """Which of `KINDS` an action is, on the page that was shown before it."""
    if action.startswith("search"):
        return "search"
    if "Total results:" in page:
        return "page" if action == "click[next >]" else "product"
    return "purchase" if action == "click[buy now]" else "option"


if __name__ == "__main__":
    main()
