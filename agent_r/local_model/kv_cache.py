"""Hold the keys and values of running requests in groups, and of past prompts in a prefix cache."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

from agent_r.local_model.llama import Shape

Row = TypeVar("Row")


class RowGroup(Generic[Row]):
    """Running rows of one shape, kept dense so that a batch of them is a slice.

    A row holds one prompt and `width` continuations of it, interleaved; `mask` says which columns
    each continuation sees, so the prompt is stored and read once for all of them. The attention
    reads all `length` columns whatever they hold: so its sums have one order for a row, whichever
    rows run beside it.
    """

    def __init__(self, shape: Shape, length: int, width: int) -> None:
        self.length = length
        self.width = width
        self.rows: list[Row] = []
        # Zeros, not empty memory: masked columns are still multiplied, and NaN * 0 is NaN.
        self.kv = torch.zeros(shape.layers, 0, length, shape.kv_width)
        self.mask = torch.zeros(0, width, length)

    def add(self, row: Row, prompt: int) -> int:
        """Take a slot for a row whose first `prompt` columns all of its samples see."""
        slot = len(self.rows)
        if slot == self.mask.shape[0]:
            self._grow(max(4, 2 * slot))
        self.rows.append(row)
        self.mask[slot] = -torch.inf
        self.mask[slot, :, :prompt] = 0.0
        return slot

    def remove(self, slot: int) -> Row | None:
        """Free a slot; the last row moves into it and is returned if it is another one."""
        last = self.rows.pop()
        if slot == len(self.rows):
            return None
        self.kv[:, slot] = self.kv[:, len(self.rows)]
        self.mask[slot] = self.mask[len(self.rows)]
        self.rows[slot] = last
        return last

    def _grow(self, rows: int) -> None:
        kv, mask = self.kv, self.mask
        self.kv = torch.zeros(kv.shape[0], rows, *kv.shape[2:])
        self.kv[:, : kv.shape[1]] = kv
        self.mask = torch.zeros(rows, *mask.shape[1:])
        self.mask[: mask.shape[0]] = mask


def column_counts(context: int) -> list[int]:
    """Numbers of columns that an attention may read, each at most half as many again as the last.

    >>> column_counts(1000)
    [256, 384, 512, 768, 1000]
    """
    lengths: list[int] = []
    power = 256
    while power < context:
        lengths += [power, power * 3 // 2]
        power *= 2
    return [length for length in lengths if length < context] + [context]


class PrefixCache:
    """A cache of past prompts' keys and values, in blocks of tokens; the least recent goes.

    A block's key is (the serial number of the block before it, its tokens): exact, so two
    prefixes can never be taken for one another.
    """

    def __init__(self, shape: Shape, *, limit_bytes: int, block: int) -> None:
        self.block = block
        blocks = limit_bytes // (shape.layers * block * shape.kv_width * 4)
        self._pool = torch.empty(shape.layers, blocks, block, shape.kv_width)
        self._free = list(range(blocks - 1, -1, -1))
        self._known: OrderedDict[tuple[int, tuple[int, ...]], tuple[int, int]] = OrderedDict()
        self._serial = 0

    def read(self, tokens: Sequence[int], into: Tensor) -> int:
        """Copy the longest known prefix into `into` [layers, length, width]; return its length.

        At least one token is left out: its logits are needed.
        """
        found = self._match(tokens[: len(tokens) - 1])
        if not found:
            return 0
        index = torch.tensor(found)
        length = len(found) * self.block
        for pool, row in zip(self._pool, into, strict=True):
            torch.index_select(pool, 0, index, out=row[:length].view(-1, *pool.shape[1:]))
        return length

    def write(self, tokens: Sequence[int], kv: Callable[[int, int], Tensor]) -> None:
        """Store the whole blocks of `tokens` that are new.

        `kv(start, end)` gives what is missing, as [layers, end - start, width].
        """
        known = len(self._match(tokens))
        whole = len(tokens) // self.block
        if known >= whole or not self._pool.shape[1]:
            return
        new = kv(known * self.block, whole * self.block).contiguous()
        parent = self._serial_of(tokens, known)
        slots: list[int] = []
        for number in range(known, whole):
            parent, slot = self._claim(parent, self._chunk(tokens, number))
            slots.append(slot)
        # A pool smaller than one prefix gives a slot twice; the later block is the one known.
        last = {slot: position for position, slot in enumerate(slots)}
        source = new.view(len(new), whole - known, *self._pool.shape[2:])
        self._pool[:, list(last)] = source[:, list(last.values())]
        self._match(tokens)  # claiming made the root the oldest of the new blocks

    def _chunk(self, tokens: Sequence[int], number: int) -> tuple[int, ...]:
        return tuple(tokens[number * self.block : (number + 1) * self.block])

    def _match(self, tokens: Sequence[int]) -> list[int]:
        """The pool slots of the longest known prefix, marked as just used."""
        parent, slots, keys = 0, [], []
        for number in range(len(tokens) // self.block):
            key = (parent, self._chunk(tokens, number))
            entry = self._known.get(key)
            if entry is None:
                break
            parent, slot = entry
            slots.append(slot)
            keys.append(key)
        # The root last: a block without its parent cannot be reached, so leaves must go first.
        for key in reversed(keys):
            self._known.move_to_end(key)
        return slots

    def _serial_of(self, tokens: Sequence[int], blocks: int) -> int:
        parent = 0
        for number in range(blocks):
            parent, _ = self._known[parent, self._chunk(tokens, number)]
        return parent

    def _claim(self, parent: int, chunk: tuple[int, ...]) -> tuple[int, int]:
        slot = self._free.pop() if self._free else self._known.popitem(last=False)[1][1]
        self._serial += 1
        self._known[parent, chunk] = (self._serial, slot)
        return self._serial, slot
