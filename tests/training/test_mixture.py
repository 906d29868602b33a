"""What a fine-tuning job trains on: shares that are kept, and general rows of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent_r.algorithm.rows import Row
from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.writer import export
from agent_r.errors import ConfigError
from agent_r.settings import Config
from agent_r.training.mixture import training_rows
from flows.general_rows import general_rows
from tests.support.made import Made


def settings(**train: Any) -> Config:
    return Config.model_validate({"train": train})


@pytest.fixture
def revisions_alone(made: Made, tmp_path: Path) -> Path:
    """A version without a good row."""
    rows: list[tuple[str, Row]] = [
        ("sft", row) for row in made.rows("sft") if row["kind"] == "revision"
    ]
    told = {"environments": read_manifest(made.version)["environments"]}
    return Path(export(iter(rows), tmp_path / "alone", provenance=lambda: told).path)


def test_revisions_alone_are_trained_on_only_where_the_share_says_so(
    revisions_alone: Path,
) -> None:
    with pytest.raises(ConfigError, match=r"revision_share = 0.5 leaves no row .* set it to 1"):
        training_rows([revisions_alone], [], settings(), seed=0)
    rows, counts = training_rows([revisions_alone], [], settings(revision_share=1.0), seed=0)
    assert len(rows) == counts["revision"] > 0


async def test_of_a_file_so_many_rows_are_drawn_as_general_rows_says(tmp_path: Path) -> None:
    path = tmp_path / "general.jsonl"
    chats = [
        [{"role": "user", "content": str(i)}, {"role": "assistant", "content": "yes"}]
        for i in range(50)
    ]
    path.write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in chats))
    few = settings(general=str(path), general_rows=7)
    drawn = await general_rows(few, seed=3)
    asked = [row["messages"][0]["content"] for row in drawn]
    assert len(set(asked)) == 7
    assert drawn == await general_rows(few, seed=3) != await general_rows(few, seed=4)
    assert len(await general_rows(settings(general=str(path)), seed=3)) == 50
