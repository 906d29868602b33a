"""Facts about what a stage has cost."""

from __future__ import annotations

from pathlib import Path

from agent_r.actor import Usage
from agent_r.collection import usage_log


def test_a_resumed_stage_costs_what_all_its_runs_cost(tmp_path: Path) -> None:
    account = tmp_path / "spent.json"
    usage_log.add(account, Usage(requests=2, prompt_tokens=10), 1.0)
    spent = usage_log.add(account, Usage(requests=1, prompt_tokens=5), 2.0)
    assert (spent.usage["requests"], spent.usage["prompt_tokens"], spent.seconds) == (3, 15, 3.0)


def test_a_run_that_finds_all_finished_costs_nothing(tmp_path: Path) -> None:
    account = tmp_path / "spent.json"
    first = usage_log.add(account, Usage(requests=2), 1.0)
    assert usage_log.add(account, Usage(), 9.0) == first
