"""Keep track of a `continual` run's nights: each goes on where the last finished one ended.

A night is a file in the dataset's work folder: its ground, the runs that worked on it, and once it
is finished what the next one goes on from. An unfinished night belongs to whoever runs next; a run
that comes back (Prefect's retry) finds its own night, also where that is finished.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from agent_r import files
from agent_r.collection.plan import dataset_folder, work_folder
from agent_r.settings import Config


class Night(BaseModel):
    """One night; paths of this dataset's folder begin with `./`, so that it can be moved."""

    first: int = 1  # its first iteration
    runs: list[str] = []  # ids of the runs that worked on it
    last: int = 0  # its last iteration; 0: it is not finished
    model: str = ""  # the model that it ended with; empty: the endpoint's own
    versions: list[str] = []  # that it wrote


NIGHT = TypeAdapter(Night)


class Nights:
    """All nights of one flow with one dataset, in their order."""

    def __init__(self, config: Config, flow: str) -> None:
        self._dataset = dataset_folder(config)
        self._folder, self._flow = work_folder(config), flow

    def enter(self, number: int, run: str) -> None:
        """Record that this run works on that night.

        Raises:
            StoreError: it cannot be noted.
        """
        night = self[number]
        if run not in night.runs:
            self._save(number, night.model_copy(update={"runs": [*night.runs, run]}))

    def upcoming(self, run: str = "") -> int:
        """The number, from 0, of the run's own night, else of the one that is not finished."""
        known = list(self._known())
        mine = [number for number, night in enumerate(known) if run and run in night.runs]
        if mine:
            return mine[-1]
        return next((n for n, night in enumerate(known) if not night.last), len(known))

    def __getitem__(self, number: int) -> Night:
        """A night that is known, or the one after the last."""
        known = list(self._known())
        if number < len(known):
            return known[number]
        return Night(first=known[-1].last + 1 if known else 1)

    def before(self, number: int) -> tuple[str, list[str]]:
        """What a night begins with: the last one's model, and the versions of all before it."""
        earlier = list(self._known())[:number]
        versions = [self._found(path) for night in earlier for path in night.versions]
        return (self._found(earlier[-1].model) if earlier else ""), versions

    def finish(self, number: int, *, last: int, model: str, versions: Sequence[str]) -> None:
        """Mark a night as finished: the next run goes on from here.

        Raises:
            StoreError: it cannot be noted.
        """
        ended = {
            "last": last,
            "model": self._kept(model),
            "versions": [self._kept(path) for path in versions],
        }
        self._save(number, self[number].model_copy(update=ended))

    def _known(self) -> Iterator[Night]:
        number = 0
        while (night := files.load(self._path(number), NIGHT)) is not None:
            yield night
            number += 1

    def _save(self, number: int, night: Night) -> None:
        files.save(self._path(number), NIGHT, night)

    def _path(self, number: int) -> Path:
        return self._folder / f"night-{self._flow}-{number + 1}.json"

    def _kept(self, path: str) -> str:
        ours = Path(path).is_relative_to(self._dataset)
        return f"./{Path(path).relative_to(self._dataset).as_posix()}" if ours else path

    def _found(self, path: str) -> str:
        return str(self._dataset / path[2:]) if path.startswith("./") else path


@dataclass(frozen=True, slots=True)
class Ground:
    """What a run begins with; in a `continual` run, what the nights before have left."""

    first: int = 1  # its first iteration
    model: str = ""  # folder of the model to go on from; empty: the endpoint's own
    versions: tuple[str, ...] = ()  # datasets of earlier nights
    nights: Nights | None = None
    number: int = 0

    @classmethod
    def of(cls, config: Config, flow: str, run: str) -> Ground:
        """The ground of this run, noted where the next one will look.

        Raises:
            StoreError: it cannot be noted.
        """
        ground = cls.ahead(config, flow, run)
        if ground.nights is not None:
            ground.nights.enter(ground.number, run)
        return ground

    @classmethod
    def ahead(cls, config: Config, flow: str, run: str = "") -> Ground:
        """What a run would begin with; nothing is recorded."""
        if not config.continual:
            return cls()
        nights = Nights(config, flow)
        number = nights.upcoming(run)
        model, versions = nights.before(number)
        return cls(nights[number].first, model, tuple(versions), nights, number)

    def finish(self, *, last: int, versions: Sequence[str], model: str = "") -> None:
        """Mark this run as finished: the next one begins a new night.

        Raises:
            StoreError: it cannot be noted.
        """
        if self.nights is not None:
            self.nights.finish(self.number, last=last, model=model, versions=versions)
