"""Verify a dataset: execute every row again, and compare observations and reward."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent_r.algorithm.episode import act, begin
from agent_r.algorithm.rows import Row, name_row
from agent_r.closing import close
from agent_r.dataset.manifest import read_manifest
from agent_r.dataset.redaction import same_text
from agent_r.dataset.shards import read_rows
from agent_r.environment import Environment, World
from agent_r.errors import EnvironmentFault, UnknownTask


@dataclass(slots=True)
class Verification:
    """How many rows were executed, and what was found wrong: row, step, what differs."""

    rows: int = 0
    # Rows whose maker never executed them, and says so: they are not executed here either.
    unverified: int = 0
    problems: list[str] = field(default_factory=list)
    unclosed: Counter[str] = field(default_factory=Counter)  # closings that failed, by world


async def verify_version(
    version: Path, world_of: Callable[[dict[str, Any]], World]
) -> Verification:
    """Execute every `sft` row of a version: each observation and the reward must come back.

    `world_of` makes a world from its entry in the manifest.

    Raises:
        DatasetError: the version's files are not what its manifest says.
        ConfigError: its world is not to be had here.
    """
    manifest = read_manifest(version)
    worlds: list[tuple[str, World]] = []
    envs: dict[tuple[str, str], Environment] = {}
    result = Verification()
    try:
        for world in manifest.get("environments", []):
            worlds.append((world["name"], world_of(world)))
            envs[world["name"], world["version"]] = worlds[-1][1].environment()
        for row in read_rows(version, "sft"):
            if not row["verified"]:
                result.unverified += 1
                continue
            result.rows += 1
            env = envs.get((row["env"], row["env_version"]))
            try:
                problem = await replay(env, row) if env else "its world is not in the manifest"
            except EnvironmentFault as fault:  # one row's: the others are looked at as well
                problem = str(fault)
            if problem:
                result.problems.append(f"{row['id']}: {problem}")
    finally:
        for (name, _), env in envs.items():
            await close(env.close, name, result.unclosed)
        for name, one in worlds:
            await close(one.aclose, name, result.unclosed)
    return result


async def replay(env: Environment, row: Row) -> str:
    """Play a row's replies; what differs first, or nothing. Some worlds repeat scores alone."""
    answers = [m["content"] for m in row["messages"][3::2]] + [row["final_observation"]]
    replies = [m["content"] for m in row["messages"][2::2]]
    if len(answers) != len(replies):
        return "replies and observations do not alternate"
    try:
        prompt = await begin(env, row["task"])
    except UnknownTask as error:
        return str(error)
    exact = env.info.repeats == "text"
    if exact and not same_text(prompt, row["messages"][1]["content"]):
        return "the world begins with another text"
    reward, ended = 0.0, False
    for number, (reply, answer) in enumerate(zip(replies, answers, strict=True), start=1):
        if ended:
            return f"step {number}: the episode had ended before"
        step, result = await act(env, reply, reward=reward)
        if exact and not same_text(step.observation, answer):
            return f"step {number}: observed {step.observation!r}, the row has {answer!r}"
        reward, ended = result.reward, result.terminated or result.truncated
    if abs(reward - row["reward"]) > 1e-9:
        return f"reward {reward}, the row says {row['reward']}"
    if row["id"] != name_row(row["kind"], row["env"], row["task"], row["messages"]):
        return "the messages are not those that its id was made from"
    return ""
