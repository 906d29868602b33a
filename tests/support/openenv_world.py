"""A world behind a real OpenEnv server: count up to a goal, one number at a time.

PYTHONPATH=<where openenv is installed> python tests/openenv_world.py PORT SESSIONS
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from openenv.core.env_server import create_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State


class Say(Action):  # type: ignore[misc]
    message: str


class Heard(Observation):  # type: ignore[misc]
    text: str


class Counting(Environment):  # type: ignore[misc]
    """Say 1, 2, 3, …: the reward is the share of the goal that was reached."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self._goal, self._said = 3, 0

    def reset(self, seed: int | None = None, episode_id: str | None = None, **other: Any) -> Heard:
        self._goal, self._said = 3 + (seed or 0), 0
        return Heard(text=f"Count to {self._goal}.", done=False, reward=0.0)

    def step(self, action: Say, timeout_s: float | None = None, **other: Any) -> Heard:
        if action.message == "crash":
            raise RuntimeError("the world is broken")
        if action.message == str(self._said + 1):
            self._said += 1
        done = self._said == self._goal
        return Heard(text=f"You are at {self._said}.", done=done, reward=self._said / self._goal)

    @property
    def state(self) -> State:
        return State(step_count=self._said)


if __name__ == "__main__":
    port, sessions = int(sys.argv[1]), int(sys.argv[2])
    app = create_app(Counting, Say, Heard, env_name="counting", max_concurrent_envs=sessions)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")
