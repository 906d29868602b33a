"""A tiny model and rows to train it on, made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent_r.training.warm_start import make_tokenizer
from tests.support.tiny_job import tiny, write_rows


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl")


@pytest.fixture(scope="session")
def tokenizer(rows: Path) -> Any:
    pytest.importorskip("transformers")
    return make_tokenizer(rows.read_text().split("\n"), vocab=320)


@pytest.fixture(scope="session")
def model(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("model")
    tokenizer.save_pretrained(folder)
    tiny(tokenizer).save_pretrained(folder)
    return folder
