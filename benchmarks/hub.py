"""A million rows built and published, beside `Dataset.push_to_hub` of the same rows.

The rows are a scripted actor's, told again with other names and numbers (hub_rows.py). The Hub is
the tests' own on loopback, in a process of its own: bytes are what it received, in LFS objects or
in Xet's xorbs and shards, and its CPU time is given because all share the machine's cores. Each
client is a process of its own (hub_jobs.py) and keeps its HF_HOME from one version to the next, as
who publishes from one machine does; each has a Hub to itself. Memory is VmHWM, the most that the
process held, mapped files included (Linux only). `publish` also reads the version back, scans every
text for secrets and has a stranger load it, which `push_to_hub` does not; `push_to_hub` wants an
Arrow copy of the rows first, whose making is `load_dataset`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from tests.support.hub_web import WRITE  # noqa: E402

Numbers = dict[str, Any]
MB = 1e6


@dataclass(frozen=True)
class Change:
    """What the next version has otherwise, at so many places in so many rows."""

    kind: str
    places: int

    def __str__(self) -> str:
        return f"{self.places:,} rows {'left out' if self.kind == 'drop' else 'edited'}"


@dataclass
class HubProcess:
    """A Hub on loopback, and one client's home."""

    folder: Path
    process: subprocess.Popen[bytes]
    url: str
    xet: bool

    def bytes_in(self) -> int:
        with urllib.request.urlopen(f"{self.url}/_stats") as answer:
            return int(json.load(answer)["bytes_in"])

    def job(self, name: str, version: str, **more: Any) -> Numbers:
        """Let a client do its work; what it took of the Hub comes with its numbers."""
        cache = self.folder / "arrow"
        given = {"version": version, "url": self.url, "repo": "me/data", "token": WRITE, **more}
        env = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(self.folder / "home"),
            "HF_DATASETS_CACHE": str(cache),
            "HF_HUB_DISABLE_XET": "0" if self.xet else "1",
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
            "HF_TOKEN": WRITE,
            "NO_PROXY": "127.0.0.1,localhost",
        }
        before, spent = self.bytes_in(), cpu_seconds(self.process.pid)
        numbers = run(name, given, env)
        shutil.rmtree(cache, ignore_errors=True)
        numbers["mb"] = (self.bytes_in() - before) / MB
        return numbers | {"hub_cpu": cpu_seconds(self.process.pid) - spent}


@contextmanager
def hub_at(folder: Path, *, xet: bool) -> Iterator[HubProcess]:
    folder.mkdir()
    port = folder / "port"
    command = [
        sys.executable,
        "-m",
        "tests.support.hub_server",
        "--folder",
        str(folder / "content"),
    ]
    command += ["--port-file", str(port), *(["--xet"] if xet else [])]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while not port.exists():
            if process.poll() is not None:
                raise SystemExit("the Hub ended before it was ready")
            time.sleep(0.05)
        yield HubProcess(folder, process, f"http://127.0.0.1:{port.read_text()}", xet)
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(name: str, given: Numbers, env: dict[str, str] | None = None) -> Numbers:
    """A job of hub_jobs.py in a process of its own."""
    settings = [f"{key}={value}" for key, value in (env or {}).items()]
    script = [sys.executable, "-W", "ignore", str(HERE / "hub_jobs.py"), name, json.dumps(given)]
    command = ["env", f"PYTHONPATH={HERE.parent}", *settings, *script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr[-2000:]}")
    numbers: Numbers = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}: {numbers['seconds']:.0f} s", file=sys.stderr)
    return numbers


def table(title: str, heads: str, rows: Sequence[Sequence[object]]) -> None:
    print(f"\n{title}\n")
    print(f"| {heads} |\n|{'--|' * (heads.count('|') + 1)}")
    for row in rows:
        cells = (f"{c:,.1f}" if isinstance(c, float) else c for c in row)
        print("| " + " | ".join(f"{c:,}" if isinstance(c, int) else str(c) for c in cells) + " |")
    sys.stdout.flush()


def build(scratch: Path, options: argparse.Namespace, changes: Sequence[Change]) -> list[str]:
    """Table of the building; the versions, the changed ones after the first."""
    rows = options.rows
    trees = run("trees", {"folder": str(scratch / "trees")})["path"]
    given = {"trees": trees, "seed": options.seed}
    lines: list[tuple[object, ...]] = []
    smallest = 0.0
    for count in (rows // 100, rows // 10, rows):
        alone = run("generate", {**given, "count": count})["seconds"]
        folder = str(scratch / f"{count}" / "data")
        made = run("build", {**given, "count": count, "folder": folder, "change": None})
        files = [p.stat().st_size for p in Path(made["path"]).glob("data/*/*.parquet")]
        seconds, peak = made["export_s"], made["peak_mb"]
        smallest = smallest or peak
        rates = (round(count / seconds), round(count / (seconds - alone)))
        ratio = f"{peak / smallest:.2f}"
        lines.append((count, seconds, *rates, peak, ratio, len(files), sum(files) / MB))
    heads = "rows | s | rows/s | rows/s without the generator | peak, MB | ratio | files | MB"
    table("Build: `export` of rows that come one by one", heads, lines)
    describe(made["path"], made["rows"], trees)
    versions = [made["path"]]
    for change in changes:
        told = {"folder": folder, "change": [change.kind, change.places]}
        versions.append(run("build", {**given, "count": rows, **told})["path"])
    return versions


def describe(version: str, rows: dict[str, int], trees: str) -> None:
    """Do the rows compress like those that they are made from?"""
    small = json.loads((Path(trees) / "manifest.json").read_text())["rows"]
    lines = []
    for config, count in rows.items():
        size, other = (
            sum(p.stat().st_size for p in (Path(v) / "data" / config).iterdir())
            for v in (version, trees)
        )
        lines.append((config, count, size / MB, size / count, small[config], other / small[config]))
    heads = "config | rows | MB | bytes/row | real rows | bytes/row"
    table("What is built, beside the real rows that it varies", heads, lines)


def publish(scratch: Path, versions: list[str]) -> dict[tuple[str, bool], list[Numbers]]:
    """Both clients by both protocols: numbers of every version, by client and whether it is Xet."""
    found = {}
    for xet in (True, False):
        for name in ("publish", "push"):
            with hub_at(scratch / f"{name}-{xet}", xet=xet) as hub:
                found[name, xet] = [hub.job(name, version) for version in versions]
    lines = []
    for (name, xet), (first, *_) in found.items():
        whole = sum(first["parts"].values())
        loading = first["parts"].get("load_dataset", 0.0)
        cells = (whole, whole - loading, first["peak_mb"], first["mb"], first["commits"])
        lines.append((CLIENTS[name], "Xet" if xet else "LFS", *cells, first["hub_cpu"]))
    for xet in (True, False):
        ours, theirs = found["publish", xet][0], found["push", xet][0]
        ratios = [f"{theirs[key] / ours[key]:.2f}" for key in ("peak_mb", "mb", "commits")]
        lines.append(("push_to_hub : ours", "Xet" if xet else "LFS", "", "", *ratios, ""))
    heads = (
        "client | protocol | s | s without load_dataset | peak, MB | MB sent | commits | Hub CPU s"
    )
    table("Publish: all configs, the first version", heads, lines)
    seconds = []
    for name, client in CLIENTS.items():
        xet, lfs = (found[name, one][0]["parts"] for one in (True, False))
        seconds += [(client, part, f"{xet[part]:.2f}", f"{lfs[part]:.2f}") for part in xet]
    table("Where the seconds go", "client | part | Xet, s | LFS, s", seconds)
    return found


CLIENTS = {"publish": "publish", "push": "push_to_hub"}


def small_change(
    scratch: Path,
    versions: list[str],
    changes: Sequence[Change],
    found: dict[tuple[str, bool], list[Numbers]],
) -> None:
    """Table of what the next version's upload takes."""
    sent = {key: [one["mb"] for one in every] for key, every in found.items()}
    counted = {}
    for cdc in (True, False):
        with hub_at(scratch / f"recut-{cdc}", xet=True) as hub:
            where = str(hub.folder / "recut")
            jobs = (hub.job("recut", v, scratch=where, cdc=cdc) for v in versions)
            counted[cdc] = [numbers["mb"] for numbers in jobs]
    every = [
        sent["publish", True],
        counted[True],
        counted[False],
        sent["push", True],
        sent["publish", False],
        sent["push", False],
    ]
    lines = []
    for at, label in enumerate(["all, the first time", *changes]):
        share = f"{every[0][at] / every[0][0]:.1%}"
        cells = [f"{column[at]:,.2f}" for column in every]
        lines.append((label, cells[0], share, *cells[1:], f"{every[3][at] / every[0][at]:.1f}"))
    heads = "change | ours, Xet | share | groups by count, Parquet's CDC | groups by count, no CDC"
    heads += " | push_to_hub, Xet | ours, LFS | push_to_hub, LFS | push_to_hub : ours, Xet"
    table("A small change: MB sent for the next version", heads, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="a million: 12 minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scratch", type=Path, help="a million rows take 5 GB for a while")
    options = parser.parse_args()
    changes = (Change("drop", 10), Change("edit", 10), Change("edit", options.rows // 100))
    print(f"$ python benchmarks/hub.py --rows {options.rows} --seed {options.seed}")
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        scratch = Path(folder)
        versions = build(scratch, options, changes)
        small_change(scratch, versions, changes, publish(scratch, versions))


if __name__ == "__main__":
    main()
