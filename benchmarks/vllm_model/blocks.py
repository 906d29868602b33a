"""The blocks of a KV cache: shared by content, and kept after use until others need the room."""

from __future__ import annotations

from collections.abc import Sequence

BLOCK = 16  # tokens
CHARS = 4 * BLOCK
PRIVATE = 0  # in place of a content's hash: a block that is not full, or a second copy


def contents(text: str) -> list[int]:
    """A hash for each full block of a text: of all that is in it and before it."""
    chain, found = 0, []
    for end in range(CHARS, len(text) + 1, CHARS):
        chain = hash((chain, text[end - CHARS : end])) or 1
        found.append(chain)
    return found


class BlockPool:
    """As many blocks as the GPU has room for; those of no sequence keep their content for a while.

    Args:
        capacity: blocks of 16 tokens.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._blank = capacity  # hold nothing that could be used again
        self._users: dict[int, int] = {}  # sequences that hold a content
        self._idle: dict[int, None] = {}  # contents that nobody holds, the oldest first

    @property
    def free(self) -> int:
        return self._blank + len(self._idle)

    def cached(self, wanted: Sequence[int]) -> int:
        """How many blocks from the beginning are here."""
        for place, content in enumerate(wanted):
            if content not in self._users and content not in self._idle:
                return place
        return len(wanted)

    def begin(self, wanted: Sequence[int], new: int) -> bool:
        """Hold contents that are here, and so many new blocks; False: there is no room."""
        idle = [content for content in wanted if content in self._idle]
        if self.free - len(idle) < new:
            return False
        for content in idle:
            del self._idle[content]
        for content in wanted:
            self._users[content] = self._users.get(content, 0) + 1
        return self.add(new)

    def add(self, new: int) -> bool:
        """Take new blocks, of the least recently used content if need be; False: no room."""
        if self.free < new:
            return False
        blank = min(new, self._blank)
        self._blank -= blank
        for _ in range(new - blank):
            del self._idle[next(iter(self._idle))]
        return True

    def fill(self, content: int) -> int:
        """Note what a block holds now that it is full, as its holder is to remember it."""
        if content in self._users or content in self._idle:
            return PRIVATE
        self._users[content] = 1
        return content

    def release(self, held: Sequence[int]) -> None:
        """Let go of a sequence's blocks; its end is the first to be evicted."""
        for content in reversed(held):
            if content == PRIVATE:
                self._blank += 1
            elif self._users[content] > 1:
                self._users[content] -= 1
            else:
                del self._users[content]
                self._idle[content] = None
