"""A whole manifest of a little dataset, and how a card of it is taken apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from agent_r.dataset.card.figures import FIGURES

BARE = {"dataset": "demo", "version": "v1.3", "schema_version": 1, "rows": {}}
CONFIG = {
    "seed": 1,
    "alphas": [0.5, 1.0],
    "env": {"kind": "toy", "recipes": "a\n```b"},
    "search": {"simulations": 8, "candidates": 4},
    "critique": {"agreement_tolerance": 1},
    "revision": {"alpha": 1.0, "beta": 0.2, "beta_is": "gap", "verify": True},
}
EXAMPLE = {
    "id": "revision-1",
    "parts": ["bad", "signal"],
    "messages": [
        {"role": "system", "content": "The rules.", "train": False},
        {"role": "user", "content": "Reach the end.", "train": False},
        {"role": "assistant", "content": "left", "train": False},
        {"role": "user", "content": "a wall", "train": False},
        {"role": "assistant", "content": "That was wrong: right", "train": True},
    ],
    "final_observation": "the end",
    "reward_bad": 0.0,
    "reward": 1.0,
}
STATISTICS = {
    "tasks": 7,
    "tasks_revised": 2,
    "rows": {"sft": 5},
    "counts": {
        "kind": {"revision": 3, "good": 2},
        "env": {"toy": 5},
        "actor": {"small": 5},
        "agrees_with_value": {"true": 2, "false": 1},
        "verified": {"true": 3},
        "localiser": {"actor": 3},
        "signal_source": {"critique": 2, "template": 1},
        "preference_env": {"toy": 3},
    },
    "crossed": {
        "env_kind": {"toy": {"revision": 3, "good": 2}},
        "iteration_kind": {"1": {"revision": 1, "good": 2}, "2": {"revision": 2}},
        "error_kind_depth": {"dead end": {"10": 1}, "not proved": {"2": 1, "10": 1}},
        "critique_verdict_agrees": {"Bad": {"true": 3, "false": 1}, "Good": {"true": 4}},
    },
    "histograms": {
        "error_step": {"1": 2, "4": 1},
        "fork_step": {"0": 1, "1": 2},
        "reward": {"0.50": 1, "1.00": 4},
        "reward_revision": {"0.50": 1, "1.00": 2},
        "reward_bad": {"0.00": 2, "0.25": 1},
        "reward_good": {"1.00": 3},
    },
    "example": EXAMPLE,
}


def version(name: str, **over: Any) -> dict[str, Any]:
    return {
        "version": name,
        "content_digest": f"digest-{name}",
        "rows": {"sft": 5, "trees": 7},
        "counts": {"trees": 7, "revisions": 3},
        "actors": ["small"],
        "iterations": [1],
        "config": CONFIG,
    } | over


RATE = {"rate": 0.75, "low": 0.6, "high": 0.9, "n": 50}

FULL: dict[str, Any] = {
    **BARE,
    "content_digest": "0123456789abcdef" * 4,
    "rows": {"sft": 5, "prompt_completion": 11, "preference": 3, "critique": 8, "trees": 7},
    "files": {"data/sft/train-00000.parquet": "00"},
    "figures": dict.fromkeys(FIGURES, "0" * 64),
    "environments": [
        {"name": "toy", "version": "1", "licence": "Apache-2.0", "source": "here", "settings": {}}
    ],
    "actors": ["small"],
    "generators": [
        {"name": "small", "kind": "embedded", "parameters": 1_040_480, "about": "Trained by us."}
    ],
    "maintainer": "The makers",
    "contact": "makers@example.org",
    "tool": {"version": "0.2.0", "address": "git+https://example.org/agent-r.git"},
    "outcomes": [
        {"actor": "tiny", "trained_on": [], "success": RATE | {"rate": 0.5}, "recovery": RATE},
        {"actor": "small", "trained_on": ["v1.1", "v1.2"], "success": RATE, "recovery": {"n": 0}},
    ],
    "iterations": [1, 2],
    "prompt_digest": "abc",
    "counts": {
        "trees": 7,
        "second looks": 3,
        "calls": 70,
        "prompt tokens": 9000,
        "pairs": 9,
        "judge failed": 1,
    },
    "cost": 0.42,
    "drops": {"duplicate": 4, "no step judged bad": 2},
    "account": {
        "replies": {"action": 60, "cut": 10},
        "lacking": {"every reward 0": 3, "judge failed": 1},
        "agreement": {"actor and replay agree": 3, "actor and replay differ": 1},
    },
    "statistics": STATISTICS,
    "audit": {
        "worlds": ["toy"],
        "shares": {"trained_refused": {"count": 1, "of": 8, "unknown": 2}},
        "errors": {"refused": {"2": 3, "10": 1}},
    },
    "config": CONFIG,
    "history": [
        version("v1.2", rows={"sft": 4, "trees": 7}, actors=["tiny"], config={"seed": 0}),
        version("v1.3", changes={"since": "v1.2", "rows": {"sft": {"added": 2, "removed": 1}}}),
    ],
}


def split(card: str) -> tuple[dict[str, Any], str]:
    _, front, body = card.split("---\n", 2)
    return yaml.safe_load(front), body


def tokens(body: str) -> Iterator[Token]:
    """All tokens, as a browser's page would be made of them: raw HTML is allowed."""
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(body):
        yield token
        yield from token.children or ()


def text_of(body: str) -> str:
    return " ".join(t.content for t in tokens(body) if t.type in ("text", "text_special"))
