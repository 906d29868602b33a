"""Check a dataset as a stranger would: execute every row, and compare what comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from agent_r.dataset import Row, name_row
from agent_r.environment import Environment
from agent_r.episode import act
from agent_r.errors import UnknownTask
from agent_r.services.export import read_manifest, read_rows


class EnvOfManifest(Protocol):
    """Makes the world that a manifest names."""

    def __call__(self, manifest: dict[str, object], *, recipes: str = "") -> Environment: ...


@dataclass(slots=True)
class Audit:
    """How many rows were executed, and what was found wrong: row, step, what differs."""

    rows: int = 0
    unverified: int = (
        0  # rows whose maker never executed them, and says so: not executed here either
    )
    problems: list[str] = field(default_factory=list)


async def audit(version: Path, env_of: EnvOfManifest, *, recipes: str = "") -> Audit:
    """Execute every `sft` row of a version: each observation and the reward must come back.

    Raises:
        DatasetError: the version's files are not what its manifest says.
        ConfigError: its world is not to be had here.
    """
    manifest = read_manifest(version)
    env = env_of(manifest, recipes=recipes)
    result = Audit()
    try:
        for row in read_rows(version, "sft"):
            if not row["verified"]:
                result.unverified += 1
                continue
            result.rows += 1
            problem = await replay(env, row)
            if problem:
                result.problems.append(f"{row['id']}: {problem}")
    finally:
        await env.close()
    return result


async def replay(env: Environment, row: Row) -> str:
    """Play a row's replies; what differs first, or nothing."""
    messages = row["messages"]
    if len(messages) % 2:
        return "a reply has no answer"
    try:
        prompt = await env.reset(row["task"])
    except UnknownTask as error:
        return str(error)
    if normalised(prompt) != normalised(messages[1]["content"]):
        return "the world begins with another text"
    reward, ended = 0.0, False
    for number, (reply, answer) in enumerate(
        zip(messages[2::2], messages[3::2], strict=True), start=1
    ):
        if ended:
            return f"step {number}: the episode had ended before"
        step, result = await act(env, reply["content"], reward=reward)
        if normalised(step.observation) != normalised(answer["content"]):
            return (
                f"step {number}: observed {step.observation!r}, the row has {answer['content']!r}"
            )
        reward, ended = result.reward, result.terminated or result.truncated
    if abs(reward - row["reward"]) > 1e-9:
        return f"reward {reward}, the row says {row['reward']}"
    if row["id"] != name_row(row["kind"], row["env"], row["task"], messages):
        return "the messages are not those that its id was made from"
    return ""


def normalised(text: str) -> str:
    """White space folded and lines sorted: some worlds list the same things in another order."""
    return "\n".join(sorted(" ".join(line.split()) for line in text.splitlines()))
