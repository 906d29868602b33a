"""Add up what all the runs that an iteration took have spent, and what their server refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from agent_r import files
from agent_r.actor import Usage


class Spent(BaseModel):
    """Requests and tokens by name, and seconds; what a killed run spent last is not in it."""

    usage: dict[str, int] = asdict(Usage())
    seconds: float = 0.0
    refused: list[str] = []  # settings that the server did not take, and that were left out


SPENT = TypeAdapter(Spent)


def add(path: Path, usage: Usage, seconds: float, refused: Iterable[str] = ()) -> Spent:
    """Add a run to what is in the file; a run that asked for nothing adds nothing.

    Raises:
        StoreError: the file cannot be written.
    """
    before = files.load(path, SPENT) or Spent()
    if usage.requests == 0:
        return before
    total = {name: before.usage.get(name, 0) + count for name, count in asdict(usage).items()}
    spent = Spent(
        usage=total,
        seconds=before.seconds + seconds,
        refused=sorted({*before.refused, *refused}),
    )
    files.save(path, SPENT, spent)
    return spent
