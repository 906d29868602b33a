"""How many tokens a row has, by the actor's own tokenizer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_r.collection.plan import tasks_of_iteration
from agent_r.dataset.build import build
from agent_r.dataset.card.page import render_card
from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.shards import read_rows
from agent_r.errors import ConfigError
from agent_r.local_model.model_folder import PACKAGED
from agent_r.local_model.text import ChatTokenizer
from agent_r.local_model.token_count import TokenCounter
from agent_r.run_worlds import Worlds
from agent_r.settings import Config
from agent_r.training.encoding import encode
from env_adapters import world_of
from tests.support.made import Made


def settings(**over: Any) -> Config:
    return Config.model_validate(over)


def test_a_row_is_as_long_as_the_training_job_finds_it(made: Made) -> None:
    counter = TokenCounter.of(settings(endpoint={"kind": "embedded"}))
    assert counter is not None
    tokenizer = ChatTokenizer(PACKAGED)._template
    for row in made.rows("sft")[:5]:
        messages: Any = row["messages"]
        ids, _ = encode(tokenizer, messages, 100_000) or ([], [])
        assert counter(messages) == len(ids) > 50


def test_a_version_counts_its_rows_and_its_card_says_by_what(made: Made, tmp_path: Path) -> None:
    config = made.config.model_copy(
        update={"dataset": made.config.dataset.model_copy(update={"tokenizer": str(PACKAGED)})}
    )
    tasks = tasks_of_iteration(Worlds.of(config.env, world_of), config, 1)
    store = replace(made.tree_store, config=config)
    built = build(store, tasks, tmp_path / "demo", actor="a", iteration=1)
    version = Path(built.dataset.path)
    lengths = [row["tokens"] for row in read_rows(version, "sft")]
    assert len(lengths) > 3
    assert min(lengths) > 50
    manifest = read_manifest(version)
    assert manifest["tokenizers"] == [PACKAGED.name]
    assert str(PACKAGED) not in (version / "manifest.json").read_text(encoding="utf-8")
    most = -(-max(lengths) // 64) * 64
    assert f"all of them at most {most:,}, by the actor's own tokenizer" in render_card(manifest)


def test_a_served_actors_rows_are_not_counted_and_the_card_says_so(made: Made) -> None:
    assert TokenCounter.of(made.config) is None
    assert {row["tokens"] for row in made.rows("sft")} == {None}
    assert "How many tokens a row has is not known" in render_card(read_manifest(made.version))


def test_a_tokenizer_that_cannot_be_had_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
    for name in (str(tmp_path), str(tmp_path / "none")):
        with pytest.raises(ConfigError, match="no tokenizer can be loaded from") as caught:
            TokenCounter.of(settings(dataset={"tokenizer": name}))
        assert "\n" not in str(caught.value)
