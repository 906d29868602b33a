"""ScienceWorld's tasks and its words, known without starting it."""

from __future__ import annotations

from collections.abc import Sequence

from agent_r.environment import Split, TaskSpec
from agent_r.errors import ConfigError

# Task: its variations, and how many of them, the first, are for training, the next for development.
VARIATIONS: dict[str, tuple[int, int, int]] = {
    "boil": (30, 14, 7),
    "change-the-state-of-matter-of": (30, 14, 7),
    "chemistry-mix": (32, 16, 8),
    "chemistry-mix-paint-secondary-color": (36, 18, 9),
    "chemistry-mix-paint-tertiary-color": (36, 18, 9),
    "find-animal": (300, 150, 75),
    "find-living-thing": (300, 150, 75),
    "find-non-living-thing": (300, 150, 75),
    "find-plant": (300, 150, 75),
    "freeze": (30, 14, 7),
    "grow-fruit": (126, 62, 31),
    "grow-plant": (126, 62, 31),
    "identify-life-stages-1": (14, 6, 3),
    "identify-life-stages-2": (10, 4, 2),
    "inclined-plane-determine-angle": (168, 84, 42),
    "inclined-plane-friction-named-surfaces": (1386, 692, 346),
    "inclined-plane-friction-unnamed-surfaces": (162, 80, 40),
    "lifespan-longest-lived": (125, 62, 31),
    "lifespan-longest-lived-then-shortest-lived": (125, 62, 31),
    "lifespan-shortest-lived": (125, 62, 31),
    "measure-melting-point-known-substance": (436, 218, 109),
    "measure-melting-point-unknown-substance": (300, 150, 75),
    "melt": (30, 14, 7),
    "mendelian-genetics-known-plant": (120, 60, 30),
    "mendelian-genetics-unknown-plant": (480, 240, 120),
    "power-component": (20, 10, 5),
    "power-component-renewable-vs-nonrenewable-energy": (20, 10, 5),
    "test-conductivity": (900, 450, 225),
    "test-conductivity-of-unknown-substances": (600, 300, 150),
    "use-thermometer": (540, 270, 135),
}

SIMPLIFICATIONS = (
    "easy",
    "teleportAction",
    "selfWateringFlowerPots",
    "openContainers",
    "openDoors",
    "noElectricalAction",
)

INSTRUCTION = """\
You are in a house with a workshop, a kitchen, a greenhouse and more, and do a science task. Each \
turn, answer with a thought and one action:
Thought: ...
Action: open OBJ | close OBJ | activate OBJ | deactivate OBJ | connect OBJ to OBJ | disconnect OBJ \
| use OBJ | use OBJ on OBJ | look around | look at OBJ | look in OBJ | examine OBJ | read OBJ \
| move OBJ to OBJ | pick up OBJ | put down OBJ | pour OBJ into OBJ | dunk OBJ into OBJ | mix OBJ \
| go to LOC | teleport to LOC | eat OBJ | flush OBJ | focus on OBJ | inventory | task \
| wait1 (one step) | wait (ten steps)
OBJ is an object you see, LOC a room. Focus only on what the task names: a wrong focus ends it. \
Where an action is ambiguous, a numbered list comes back: answer with a number."""


def all_tasks(split: Split, names: Sequence[str]) -> list[TaskSpec]:
    """A split's variations, in turn from each task, so that the first few are of many kinds.

    Raises:
        ConfigError: there is no such task.
    """
    for name in names:
        if name not in VARIATIONS:
            raise ConfigError(f"ScienceWorld has no task '{name}': {', '.join(VARIATIONS)}")
    chosen = [name for name in VARIATIONS if not names or name in names]
    ranges = {name: _range(name, split) for name in chosen}
    longest = max(len(numbers) for numbers in ranges.values())
    return [
        TaskSpec(f"{name}/{numbers[i]}", split)
        for i in range(longest)
        for name, numbers in ranges.items()
        if i < len(numbers)
    ]


def _range(name: str, split: Split) -> range:
    count, train, dev = VARIATIONS[name]
    return {
        "train": range(train),
        "warm_start": range(train, train + dev),
        "test": range(train + dev, count),
    }[split]


def known(task: str) -> bool:
    """Is that a task's id?

    >>> known("boil/12"), known("boil/30"), known("boil"), known("boil/012")
    (True, False, False, False)
    """
    name, _, number = task.rpartition("/")
    if name not in VARIATIONS or not number.isdecimal():
        return False
    return number == str(int(number)) and int(number) < VARIATIONS[name][0]


def variation_of(task: str) -> tuple[str, int]:
    """An id's two parts.

    >>> variation_of("boil/12")
    ('boil', 12)
    """
    name, _, number = task.rpartition("/")
    return name, int(number)
