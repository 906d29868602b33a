"""What one tree costs: requests, tokens, and bytes of all that is kept of it.

    python benchmarks/per_tree.py --trees 64 --seed 0

`agent-r collect` on TextCraft with the scripted actor and the default search; the means of a run
are what docs/scale.md multiplies. What the prompt cache would hold is in saturation.txt (`cached`).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from agent_r.dataset.manifest import read_manifest

SETTINGS = 'seed = {seed}\ntrees = {trees}\n[endpoint]\nkind = "scripted"\n'


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("--trees", type=int, default=64)
    made.add_argument("--seed", type=int, default=0)
    options = made.parse_args()
    print("# benchmarks/per_tree.py " + " ".join(sys.argv[1:]))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "my.toml").write_text(SETTINGS.format(**vars(options)))
        command = str(Path(sys.executable).with_name("agent-r"))
        subprocess.run(
            [command, "collect", "--config", "my.toml"],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
        out = Path(folder, "datasets_out", "agent-r")
        counts = read_manifest(out / "v1.1")["counts"]
        sizes = {
            "tree KB": kilobytes(out, "work/trees-*/*.json"),
            "harvest KB": kilobytes(out, "work/harvest-*/*.json"),
            "parquet KB": kilobytes(out, "v1.1/**/*.parquet"),
        }
    tokens = counts["prompt tokens"] + counts["completion tokens"]
    rows = {"requests": counts["calls"], "tokens": tokens, **sizes}
    for name, total in rows.items():
        print(f"{name:<10} {total / options.trees:>9,.1f}")


def kilobytes(below: Path, pattern: str) -> float:
    return sum(path.stat().st_size for path in below.glob(pattern)) / 1000


if __name__ == "__main__":
    main()
