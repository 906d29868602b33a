"""How much of an endpoint `agent-r collect` keeps busy: measured by the endpoint itself.

    python benchmarks/saturation.py --slots 8 32 64 256 --trees 128 --seed 0

For each number of slots a server (benchmarks/slot_server.py) holds each request for `--seconds`;
the whole command runs against it, world and all. Occupancy is busy slot-seconds over slots times
seconds: from the first tree's first request to the end, and without the last seconds, as many as
one tree takes that no other tree holds up. The last column is what the reference does: one request
in flight.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Print one line a number of slots."""
    args = parser().parse_args()
    print(f"# {' '.join(sys.argv)}")
    print(
        f"{'slots':>5} {'limit':>5} {'trees':>5} {'requests':>8} {'seconds':>7} {'busy':>6} "
        f"{'but tail':>8} {'tail s':>6} {'most':>4} {'client ms':>9} {'server ms':>9} "
        f"{'cached':>6} {'one at a time':>13}"
    )
    for slots in args.slots:
        tail = measure(args, 256, trees=8)["span"]  # the longest of eight, none in another's way
        row = measure(args, slots, trees=args.trees)
        before = [b for b in row["series"] if b[0] <= row["span"] - tail]
        steady = sum(b[1] for b in before) / max(len(before), 1) / slots
        print(
            f"{slots:>5} {args.concurrency or slots!s:>5} {args.trees:>5} {row['requests']:>8} "
            f"{row['span']:>7.1f} {row['occupancy']:>6.1%} {steady:>8.1%} {tail:>6.1f} "
            f"{row['most_in_flight']:>4} {row['client_ms']:>9.2f} {row['server_ms']:>9.2f} "
            f"{row['cached']:>6.1%} {1 / slots:>13.1%}",
            flush=True,
        )


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("--slots", type=int, nargs="+", default=[8, 32, 64, 256])
    made.add_argument("--seconds", type=float, default=0.2, help="that one request takes")
    made.add_argument("--trees", type=int, default=128)
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--concurrency", default="", help="a number, or auto; empty: the slots")
    made.add_argument("--settings", default="", help="more TOML for the run")
    return made


def measure(args: argparse.Namespace, slots: int, *, trees: int) -> dict[str, Any]:
    """One run of the command, and what the server says of it."""
    # A run tries the endpoint before it starts: that is not of its trees.
    with serving(slots, args.seconds, pass_over=1) as url, tempfile.TemporaryDirectory() as folder:
        limit = args.concurrency or slots
        concurrency = f'"{limit}"' if limit == "auto" else limit
        Path(folder, "my.toml").write_text(
            f"seed = {args.seed}\ntrees = {trees}\n{args.settings}\n"
            f'[endpoint]\nkind = "openai"\nbase_url = "{url}"\nmodel = "scripted-0.35"\n'
            f"concurrency = {concurrency}\n"
        )
        cpu = collect(folder)
        stats = ask(url.removesuffix("/v1") + "/stats")
    requests = stats["requests"]
    return stats | {
        "span": stats["last_end"] - stats["first_begin"],
        "series": [(k * 0.5, busy) for k, busy in enumerate(stats["busy_slots"])],
        "client_ms": 1000 * cpu / requests,
        "server_ms": 1000 * stats["server_cpu_s"] / requests,
        "cached": stats["cached_share"],
    }


def collect(folder: str) -> float:
    """CPU seconds of the command beyond those it takes to do nothing (Prefect's start, imports)."""
    command = [sys.executable, "-m", "flows.cli", "collect", "--config", "my.toml"]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "none"}
    spent = []
    for _ in range(2):  # the second finds everything finished: that is the start alone
        before = os.times()
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        after = os.times()
        spent.append(
            after.children_user + after.children_system
            - before.children_user - before.children_system
        )  # fmt: skip
    return spent[0] - spent[1]


@contextmanager
def serving(slots: int, seconds: float, *, pass_over: int = 0) -> Iterator[str]:
    """The slot server as a process of its own; it does not count so many first requests."""
    command = [sys.executable, str(ROOT / "benchmarks/slot_server.py")]
    command += ["--slots", str(slots), "--seconds", str(seconds)]
    command += ["--pass-over", str(pass_over)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def ask(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as reply:
        return json.load(reply)


if __name__ == "__main__":
    main()
