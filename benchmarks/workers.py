"""How much faster several workers are than one: against an endpoint on which all of them wait.

    python benchmarks/workers.py --workers 1 2 4 --trees 64 --seconds 1.0

A server (benchmarks/slot_server.py) holds each request for `--seconds`, and has more slots than
are asked for: what bounds a worker is `--each` requests in flight, so that two cores suffice. Each
row is a run of the deployment `collect`, on a Prefect server and worker of its own, from the form's
submission to its end. "Asking" is from the first request to the last: what all workers' start adds
to that, they do once.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks.saturation import ask, serving
from tests.support.prefect_server import Server, started

SERVER = "prefect server start --host 127.0.0.1 --port 4200"
ENDS = ("Completed", "NothingNew", "Failed", "Crashed", "Cancelled")


def main() -> None:
    """Print one line a number of workers."""
    args = parser().parse_args()
    print(f"# {' '.join(sys.argv)}")
    print(f"{'workers':>7} {'limit':>5} {'most':>4} {'requests':>8} {'whole s':>7} {'asking s':>8} "
          f"{'a second':>8} {'times':>5}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        project.mkdir()
        (project / "prefect.yaml").write_text(yaml.safe_dump({"deployments": deployments()}))
        with started(project, SERVER) as server:
            server.post("/work_pools/", {"name": "local", "type": "process"})
            server.do("prefect --no-prompt deploy --all")
            server.start("prefect worker start --pool local", home="worker")
            rates: list[float] = []
            for workers in args.workers:
                rates.append(measure(server, args, workers, rates[0] if rates else 0.0))


def deployments() -> list[dict[str, Any]]:
    return [
        {"name": name, "entrypoint": f"flows.{name}.{name}", "work_pool": {"name": "local"}}
        for name in ("collect", "grow")
    ]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    made.add_argument("--trees", type=int, default=64)
    made.add_argument("--seconds", type=float, default=1.0, help="that one request takes")
    made.add_argument("--each", type=int, default=8, help="requests in flight of one worker")
    return made


def measure(server: Server, args: argparse.Namespace, workers: int, alone: float) -> float:
    """One run with so many workers; its requests a second."""
    limit = args.each * workers
    with serving(512, args.seconds) as url:
        endpoint = {"kind": "openai", "base_url": url, "model": "scripted-0.35"}
        config = {
            "trees": args.trees,
            "workers": workers,
            "endpoint": endpoint | {"concurrency": limit},
            "search": {"simulations": 4, "candidates": 2, "max_depth": 8},
            "dataset": {"name": f"by-{workers}"},
        }
        began = time.monotonic()
        run = server.run("collect/collect", settings=json.dumps(config))
        ended = server.wait(run, *ENDS, within_s=3600)
        whole = time.monotonic() - began
        stats = ask(url.removesuffix("/v1") + "/stats")
    if ended["state"]["type"] != "COMPLETED":
        sys.exit(f"{ended['state']['name']}: {ended['state']['message']}")
    series = stats["busy_slots"]  # the run's first look is a request long before the others
    asking = (len(series) - next(k for k, busy in enumerate(series) if k > 4 and busy)) * 0.5
    rate = float(stats["requests"] / asking)
    print(
        f"{workers:>7} {limit:>5} {stats['most_in_flight']:>4} {stats['requests']:>8} "
        f"{whole:>7.1f} {asking:>8.1f} {rate:>8.1f} {rate / (alone or rate):>5.2f}",
        flush=True,
    )
    return rate


if __name__ == "__main__":
    main()
