"""`agent-r warm-start`: an embedded actor of any size, from demonstrations alone."""

from __future__ import annotations

import json
from pathlib import Path

from agent_r.local_model.model_folder import parameters
from flows.cli.main import main


def test_an_actor_of_another_size_is_made_and_can_be_served(tmp_path: Path) -> None:
    out = tmp_path / "small"
    shape = ["--heads", "2", "--layers", "1", "--episodes", "30"]
    assert main(["warm-start", "--out", str(out), *shape]) == 0
    made = json.loads((out / "config.json").read_text())
    assert (made["hidden_size"], made["num_hidden_layers"]) == (64, 1)
    assert parameters(out) > 50_000
    rows = (tmp_path / "small.demonstrations.jsonl").read_text().splitlines()
    assert len(rows) == 60  # one of acting and one of judging for each episode
    config = tmp_path / "run.toml"
    config.write_text(f'[endpoint]\nkind = "embedded"\ncheckpoint = "{out}"\n')
    assert main(["try", "--config", str(config), "--episodes", "1"]) in (0, 1)  # it knows little
