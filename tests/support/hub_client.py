"""Clients of the loopback Hub: the real one in a process of its own, and a plain HTTP one."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import httpx

from tests.support.hub_server import WRITE, LoopbackHub
from tests.support.hub_store import Change, Commit

REPO = "me/data"
API = f"/api/datasets/{REPO}"
CARD = b"""---
license: mit
configs:
- config_name: sft
  data_files: [{split: train, path: sft/*.parquet}]
- config_name: preference
  data_files: [{split: train, path: preference/*.parquet}]
---
"""
PROLOGUE = f"""
import io, os, pyarrow, pyarrow.parquet
from huggingface_hub import CommitOperationAdd as Add, CommitOperationDelete as Delete, HfApi
from huggingface_hub.errors import HfHubHTTPError
REPO, CARD, at = {REPO!r}, {CARD!r}, dict(repo_id={REPO!r}, repo_type="dataset")
api = HfApi()
def rows(n):
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({{"id": list(range(n))}}), file)
    return file.getvalue()
def commit(title, *operations, **more):
    return api.create_commit(operations=operations, commit_message=title, **at, **more)
def refusal(call):
    try:
        call()
    except HfHubHTTPError as error:
        return error.response.status_code, error.response.headers.get("X-Error-Code", "")
"""


def start(hub: LoopbackHub, home: Path, code: str, **more: Any) -> subprocess.Popen[str]:
    """The real client, in a process of its own: it reads its settings when it is imported."""
    program = PROLOGUE + textwrap.dedent(code)
    pipe, env = subprocess.PIPE, hub.client_env(home, **more)
    return subprocess.Popen(
        [sys.executable, "-c", program], env=env, stdout=pipe, stderr=pipe, text=True
    )


def run(hub: LoopbackHub, home: Path, code: str, **more: Any) -> list[str]:
    """What the client printed, line by line."""
    with start(hub, home, code, **more) as client:
        out, err = client.communicate(timeout=60)
    assert client.returncode == 0, err
    return out.splitlines()


def seed(hub: LoopbackHub, **files: bytes) -> Commit:
    hub.store.create(REPO)
    kept = {path: hub.store.keep(content) for path, content in files.items()}
    return hub.store.commit(REPO, Change("seed", files=kept))


def browser(hub: LoopbackHub) -> httpx.Client:
    headers = {"Authorization": f"Bearer {WRITE}"}
    return httpx.Client(base_url=hub.url, headers=headers, timeout=5, trust_env=False)
