"""Two jugs and a tap: a world of one's own, complete. Copy it, and change everything."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import gcd
from zlib import crc32

from agent_r.environment import EnvInfo, Split, StepResult, TaskSpec
from agent_r.errors import UnknownTask

MOVES = {  # from the litres a and b, in jugs that hold A and B
    "fill A": lambda a, b, A, B: (A, b),
    "fill B": lambda a, b, A, B: (a, B),
    "empty A": lambda a, b, A, B: (0, b),
    "empty B": lambda a, b, A, B: (a, 0),
    "pour A into B": lambda a, b, A, B: (a - min(a, B - b), b + min(a, B - b)),
    "pour B into A": lambda a, b, A, B: (a + min(b, A - a), b - min(b, A - a)),
}
HOW = "Each turn, answer with a thought and one action:\nThought: ...\nAction: " + " | ".join(MOVES)
SIZES = [(a, b) for a, b in combinations(range(3, 11), 2) if gcd(a, b) == 1]
TASKS = {f"{n} of {a} and {b}": (n, a, b) for a, b in SIZES for n in range(1, b) if n != a}
SHARES = {"warm_start": (0,), "train": (1, 2), "test": (3,)}  # of four


class Jugs:
    """One episode: the same task and actions give the same answers."""

    info = EnvInfo("jugs", "1", HOW, licence="CC0-1.0", source="https://example.org/jugs")
    over = True

    def tasks(self, split: Split) -> Sequence[TaskSpec]:
        return [TaskSpec(t, split) for t in TASKS if crc32(t.encode()) % 4 in SHARES[split]]

    async def reset(self, task: str) -> str:
        if task not in TASKS:
            raise UnknownTask(f"no such task: {task[:80]!r}")
        self.goal, *self.sizes = TASKS[task]
        self.jugs, self.over = (0, 0), False
        return f"Jug A holds {self.sizes[0]} litres, B {self.sizes[1]}. Goal: {self.goal} in one."

    async def step(self, action: str) -> StepResult:
        if self.over:
            raise ValueError("no episode is under way: reset first")
        if action in MOVES:
            self.jugs = MOVES[action](*self.jugs, *self.sizes)
        gap = min(abs(litres - self.goal) for litres in self.jugs)
        self.over = gap == 0
        seen = "A has {}, B has {} litres.".format(*self.jugs) if action in MOVES else "You cannot."
        return StepResult(seen, max(0.0, 1 - gap / self.goal), terminated=self.over)

    async def close(self) -> None:
        self.over = True

    # With these two, a search goes back in no time; without, it replays.
    def snapshot(self) -> object:
        return self.goal, self.sizes, self.jugs, self.over

    def restore(self, snapshot: object) -> None:
        if not isinstance(snapshot, tuple) or len(snapshot) != 4:
            raise ValueError("not a snapshot of this world")
        self.goal, self.sizes, self.jugs, self.over = snapshot


world = Jugs  # what makes an environment: [env] factory = "my_world:world"
