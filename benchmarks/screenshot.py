"""The picture of `agent-r try` in the README: a real run against `agent-r serve`'s server.

python benchmarks/screenshot.py --out docs/try.svg
"""

from __future__ import annotations

import argparse
import asyncio
import re
from pathlib import Path

from rich.console import Console
from rich.text import Text

from agent_r.config import parse
from agent_r.local_model.model_folder import PACKAGED, model_name
from agent_r.local_model.server_process import serving
from agent_r.settings import Config
from flows.cli.try_actor import show, tried
from flows.cli.try_screen import Screen

TASK = "alder stool"
COMMAND = f'$ agent-r try --config my.toml --task "{TASK}"'
WIDTH = 100


def config_of(base_url: str) -> Config:
    endpoint = {"kind": "openai", "base_url": base_url, "model": model_name(PACKAGED)}
    search = {"max_tokens": 64, "max_depth": 8}
    return parse({"endpoint": endpoint, "search": search}, source="screenshot")


async def played(console: Console) -> None:
    async with serving(PACKAGED, threads=2) as base_url:
        config = config_of(base_url)
        trial = await tried(config, Screen(console), episodes=None, task=TASK)
    show(trial, config, console)


def picture(console: Console) -> str:
    """An SVG that asks for no font of the network: a picture in a README may not."""
    svg = console.export_svg(title="agent-r try")
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace(
        "Fira Code", "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono'"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    console = Console(record=True, width=WIDTH, highlight=False, force_terminal=True)
    console.print(Text(COMMAND, style="bold"))
    console.print()
    asyncio.run(played(console))
    arguments.out.write_text(picture(console), encoding="utf-8")


if __name__ == "__main__":
    main()
