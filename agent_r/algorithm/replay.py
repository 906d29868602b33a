"""Replay an episode's actions: a trajectory's reward is what the world answers now."""

from __future__ import annotations

from collections.abc import Sequence

from agent_r.algorithm.episode import act, begin
from agent_r.algorithm.trajectory import Step
from agent_r.environment import Environment


async def replay(env: Environment, task: str, responses: Sequence[str]) -> tuple[list[Step], float]:
    """Play responses from reset to the episode's end, or to the last one; the final reward."""
    await begin(env, task)
    steps: list[Step] = []
    reward = 0.0
    for response in responses:
        step, result = await act(env, response, reward=reward)
        steps.append(step)
        reward = result.reward
        if result.terminated or result.truncated:
            break
    return steps, reward


def normalised(text: str) -> str:
    """White space folded and lines sorted: some worlds list the same things in another order."""
    return "\n".join(sorted(" ".join(line.split()) for line in text.splitlines()))
