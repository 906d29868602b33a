"""Settings that were renamed: the old name is understood, with one line of warning."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from agent_r.config import load, parse
from agent_r.errors import ConfigError

RENAMED = [
    ("search", "walks", "parallel_simulations", 3),
    ("search", "tried", "expansion", "walked"),
    ("search", "give_up", "abandon_after", 2),
    ("critique", "within", "agreement_tolerance", 2),
]


@pytest.mark.parametrize(("table", "old", "new", "value"), RENAMED)
def test_an_old_name_is_understood_and_said(
    table: str, old: str, new: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="agent_r"):
        config = parse({table: {old: value}}, source="test")
    assert getattr(getattr(config, table), new) == value
    assert caplog.messages == [f"the setting `{old}` is called `{new}` now"]
    assert config == parse({table: {new: value}}, source="test")


def test_both_names_at_once_are_refused_in_one_line() -> None:
    both = {"search": {"walks": 2, "parallel_simulations": 3}}
    with pytest.raises(ConfigError, match="old name of `parallel_simulations`"):
        parse(both, source="test")


def test_an_old_name_goes_before_the_new_one_of_the_layer_below(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("[search]\nwalks = 3\nexpansion = 'walked'", encoding="utf-8")
    assert load(path, preset="paper").search.parallel_simulations == 3
    over = {"search": {"walks": 4, "tried": "all"}}
    search = load(path, preset="paper", over=over).search
    assert (search.parallel_simulations, search.expansion) == (4, "all")
