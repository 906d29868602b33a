"""The order in which examples are trained on."""

from __future__ import annotations

import argparse
import math
import random
from dataclasses import dataclass

import datasets
from trl import pack_dataset

from agent_r.training.script.examples import Example, length

POOL = 32  # steps whose rows are put by length: little padding, and still a random order


@dataclass(frozen=True)
class Plan:
    """All epochs in the order of training, by the places of examples; a step takes `step_rows`."""

    examples: list[Example]
    order: list[int]
    device_rows: int
    accumulate: int
    step_rows: int

    @property
    def steps(self) -> int:
        return math.ceil(len(self.order) / self.step_rows)


def plan(examples: list[Example], settings: argparse.Namespace, processes: int) -> Plan:
    """Every example once an epoch, in an order that follows from the seed alone.

    Examples of like length share a step. As all epochs are laid out beforehand, a run that was
    killed goes on with the very row that would have come next.
    """
    rng = random.Random(settings.seed)
    epochs = [rng.sample(range(len(examples)), len(examples)) for _ in range(settings.epochs)]
    laid = [at for epoch in epochs for at in epoch]
    if settings.packing:
        packs = [packed([examples[at] for at in e], settings.max_length, rng) for e in epochs]
        examples = [pack for epoch in packs for pack in epoch]
        laid = list(range(len(examples)))
    lengths = list(map(length, examples))
    mean = sum(lengths[at] for at in laid) / len(laid)
    rows = round_rows(settings.batch_tokens / mean / processes)
    device_rows = max(n for n in range(1, settings.device_rows + 1) if rows % n == 0)
    step_rows = rows * processes
    order = []
    for start in range(0, len(laid), POOL * step_rows):
        pool = sorted(laid[start : start + POOL * step_rows], key=lengths.__getitem__)
        steps = [pool[at : at + step_rows] for at in range(0, len(pool), step_rows)]
        rest = [steps.pop()] if len(steps[-1]) < step_rows else []
        rng.shuffle(steps)
        order += [at for step in steps + rest for at in step]
    return Plan(examples, order, device_rows, rows // device_rows, step_rows)


def round_rows(rows: float) -> int:
    """A number that halves well: it is then the same whatever a device can hold at once.

    >>> round_rows(0.4), round_rows(7.0), round_rows(21.0)
    (1, 4, 24)
    """
    return 8 * round(rows / 8) if rows >= 8 else 1 << max(0, int(rows).bit_length() - 1)


def packed(examples: list[Example], most: int, rng: random.Random) -> list[Example]:
    """Short rows joined; TRL keeps them apart by their positions. Nothing is cut."""
    joined: list[Example] = pack_dataset(
        datasets.Dataset.from_list(examples), most, "bfd"
    ).to_list()
    rng.shuffle(joined)
    return joined
