"""The dataset card: generated from the manifest, valid for the Hub's YAML check and its viewer."""

from __future__ import annotations

import json
from typing import Any

from agent_r.schema import SCHEMAS, Type

_INTRO = """# {dataset} {version}

Self-critique data made with Agent-R ([arXiv 2501.11425](https://arxiv.org/abs/2501.11425)): a
language-model agent explored a text world by tree search, found the first wrong step in its own
failed trajectories, and the correction was spliced in there. {executed}

```python
from datasets import load_dataset

rows = load_dataset("PATH_OR_REPO", "sft", split="train")
```
"""

_EXECUTED = """Every revision was executed again:
its observations and its reward are what the world really answered."""
_ASSUMED = """Revisions were not executed
(`revision.verify = false`): that they earn the good trajectory's reward is assumed."""

_ABOUT = {
    "sft": "Conversations with a `train` flag per message: good and revision trajectories.",
    "prompt_completion": "The same, one row per trained reply (TRL SFTTrainer as it is).",
    "preference": "What to do and what not to do at the fork (TRL DPOTrainer as it is).",
    "critique": "The judge's prompt and its judgement.",
    "trees": "The search trees themselves.",
}


def render_card(manifest: dict[str, Any]) -> str:
    """README.md of a version."""
    verify = manifest.get("config", {}).get("revision", {}).get("verify", True)
    names = {"dataset": manifest["dataset"], "version": manifest["version"]}
    parts = [
        front_matter(manifest),
        _INTRO.format(**names, executed=_EXECUTED if verify else _ASSUMED),
        _counts(manifest),
        *(_columns(name) for name in SCHEMAS),
        _made_with(manifest),
    ]
    return "\n".join(parts)


def front_matter(manifest: dict[str, Any]) -> str:
    """YAML that names the files of every config: without it the manifest would be read as data."""
    lines = ["---", "license: apache-2.0", "language:", "- en", "tags:", "- agent-r", "- agents"]
    lines += ["- self-critique", "task_categories:", "- text-generation", "configs:"]
    for name in SCHEMAS:
        lines += [f"- config_name: {name}"]
        lines += ["  default: true"] if name == "sft" else []
        lines += ["  data_files:", "  - split: train", f"    path: data/{name}/*.parquet"]
    lines.append("dataset_info:")
    for name in SCHEMAS:
        lines += [f"- config_name: {name}", "  features:"]
        for column, (kind, _) in SCHEMAS[name].items():
            lines += _feature(column, kind, indent=2)
    return "\n".join([*lines, "---", ""])


def _feature(name: str, kind: Type, *, indent: int) -> list[str]:
    """A column in the Hub's own spelling of `datasets.Features`."""
    pad = " " * indent
    if isinstance(kind, list) and isinstance(kind[0], str):
        return [f"{pad}- name: {name}", f"{pad}  list: {kind[0]}"]
    if isinstance(kind, list):
        below = [_feature(n, k, indent=indent + 2) for n, k in kind[0].items()]
        return [f"{pad}- name: {name}", f"{pad}  list:", *(line for ls in below for line in ls)]
    return [f"{pad}- name: {name}", f"{pad}  dtype: {kind}"]


def _counts(manifest: dict[str, Any]) -> str:
    lines = ["## What is in it", "", "| config | rows | what |", "|---|---:|---|"]
    lines += [f"| `{name}` | {manifest['rows'][name]} | {_ABOUT[name]} |" for name in SCHEMAS]
    counts = manifest.get("counts", {})
    if counts:
        lines += ["", "| counted | number |", "|---|---:|"]
        lines += [f"| {name} | {value} |" for name, value in counts.items()]
    return "\n".join([*lines, ""])


def _columns(name: str) -> str:
    lines = [f"## Columns of `{name}`", "", "| column | type | meaning |", "|---|---|---|"]
    for column, (kind, meaning) in SCHEMAS[name].items():
        lines.append(f"| `{column}` | {_spell(kind)} | {meaning} |")
    return "\n".join([*lines, ""])


def _spell(kind: Type) -> str:
    if isinstance(kind, list):
        return f"list of {_spell(kind[0])}"
    if isinstance(kind, dict):
        return "{" + ", ".join(kind) + "}"
    return str(kind)


def _made_with(manifest: dict[str, Any]) -> str:
    keys = ("environment", "actor", "iteration", "prompt_digest", "content_digest")
    lines = ["## How it was made", ""]
    lines += [f"- {key.replace('_', ' ')}: `{manifest[key]}`" for key in keys if key in manifest]
    lines += ["", "Settings:", "", "```json", json.dumps(manifest.get("config", {}), indent=2)]
    lines += ["```", "", "Check it yourself: `agent-r verify PATH` executes every row again.", ""]
    return "\n".join(lines)
