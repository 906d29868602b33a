"""A run that is suspended, on a server of its own: a busy SQLite loses events of Prefect's."""

from __future__ import annotations

import pytest

from tests.support.nightly import Stage, a_suspended_run

pytestmark = pytest.mark.slow


def test_a_suspended_run_is_not_called_dead_and_nothing_of_it_runs_for_ever(stage: Stage) -> None:
    assert a_suspended_run(stage)["state"]["name"] == "Suspended"
