"""What benchmarks/hub.py measures, each in a process of its own: build, publish, push, and so on.

A job's arguments come in as JSON on the command line, its numbers go out as JSON on the last line.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hub_rows import CONFIGS, changed, make_trees, provenance, rows
from huggingface_hub import CommitOperationAdd, HfApi
from pydantic import SecretStr

from agent_r.dataset.writer import export
from agent_r.hub import publish as publishing
from agent_r.hub import upload
from agent_r.hub.load_check import load_back
from agent_r.hub.repository import Hub

Numbers = dict[str, Any]
PARTS = (  # of `publish`, by the module that calls them
    (upload, "read_manifest"),
    (upload, "require_clean"),  # the scan
    (publishing, "make_commit"),
    (publishing, "check"),
)


class Clock:
    """Seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **more: Any) -> Any:
            with self.of(name):
                return call(*args, **more)

        return timed


def peak_mb() -> float:
    """The most memory that this process has ever held, mapped files and all (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def trees(folder: str) -> Numbers:
    return {"path": str(make_trees(Path(folder)))}


def generate(trees: str, count: int, seed: int) -> Numbers:
    """The generator alone."""
    for _ in rows(Path(trees), count, seed=seed):
        pass
    return {}


def build(trees: str, folder: str, count: int, seed: int, change: list[Any] | None) -> Numbers:
    """`export` of so many rows, or of the same rows with a change."""
    named = rows(Path(trees), count, seed=seed)
    if change:
        named = changed(named, *change, count=count, seed=seed)
    start = time.perf_counter()
    made = export(named, Path(folder), provenance=lambda: provenance(Path(trees)))
    return {"path": made.path, "rows": made.rows, "export_s": time.perf_counter() - start}


def publish(version: str, url: str, repo: str, token: str) -> Numbers:
    """`publish`, with a clock around its parts."""
    clock, hub = Clock(), Hub(repo, endpoint=url, token=SecretStr(token))
    for module, name in PARTS:
        setattr(module, name, clock.around(name, getattr(module, name)))
    before = commits(repo)
    start = time.perf_counter()
    publishing.publish(Path(version), hub, load=clock.around("load_back", load_back))
    seconds = time.perf_counter() - start
    parts = clock.seconds | {"rest": seconds - sum(clock.seconds.values())}
    return {"parts": parts, "commits": commits(repo) - before}


def push(version: str, url: str, repo: str, token: str) -> Numbers:
    """`load_dataset` of the same files, then `Dataset.push_to_hub`, for each config."""
    from datasets import load_dataset

    clock, before = Clock(), commits(repo)
    for config in CONFIGS:
        with clock.of("load_dataset"):
            data = load_dataset(version, config, split="train")
        with clock.of("push_to_hub"):
            data.push_to_hub(repo, config_name=config, token=token)
    return {"parts": clock.seconds, "commits": commits(repo) - before}


def recut(version: str, scratch: str, url: str, repo: str, token: str, cdc: bool) -> Numbers:
    """The same rows in row groups of a fixed number of rows, as many groups, in one commit."""
    adds = []
    for config in CONFIGS:
        path = Path(scratch) / f"{config}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        rewrite(sorted((Path(version) / "data" / config).glob("*.parquet")), path, cdc=cdc)
        adds.append(CommitOperationAdd(path.name, path))
    api = HfApi()
    api.create_repo(repo, repo_type="dataset", exist_ok=True)
    api.create_commit(repo, adds, commit_message="recut", repo_type="dataset")
    return {"size": sum(add.upload_info.size for add in adds)}


def rewrite(paths: list[Path], other: Path, *, cdc: bool) -> None:
    """Parquet files as one, with other row groups; `cdc` cuts its pages where the content says."""
    footers = [pq.read_metadata(path) for path in paths]
    rows, groups = (sum(getattr(f, n) for f in footers) for n in ("num_rows", "num_row_groups"))
    length = max(1, round(rows / groups / 100) * 100)  # a count that a few rows more do not change
    options = {"compression": "zstd", "write_page_index": True, "use_content_defined_chunking": cdc}
    schema = pq.read_schema(paths[0])
    with pq.ParquetWriter(other, schema, **options) as writer:
        rest = schema.empty_table()
        for table in tables(paths):
            rest = pa.concat_tables([rest, table])
            while len(rest) >= length:
                writer.write_table(rest.slice(0, length), row_group_size=length)
                rest = rest.slice(length)
        if len(rest):
            writer.write_table(rest, row_group_size=length)


def tables(paths: list[Path]) -> Iterator[pa.Table]:
    for path in paths:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group)


def commits(repo: str) -> int:
    """How many there are; a new repository begins with one."""
    api = HfApi()
    if not api.repo_exists(repo, repo_type="dataset"):
        return 1
    return len(api.list_repo_commits(repo, repo_type="dataset"))


JOBS: dict[str, Callable[..., Numbers]] = {
    job.__name__: job for job in (trees, generate, build, publish, push, recut)
}


def main() -> None:
    name, arguments = sys.argv[1:]
    start = time.perf_counter()
    numbers = JOBS[name](**json.loads(arguments))
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb(), **numbers}))


if __name__ == "__main__":
    main()
