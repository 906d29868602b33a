"""Tell a reply that is odd once from a model whose way that is."""

from __future__ import annotations

import logging
from collections import Counter

from agent_r.endpoint.responses import FEWER, Doubtful

STUBBORN = 3  # requests in a row that stay odd in the same way: then it is the model's way

_log = logging.getLogger(__name__)


class Oddities:
    """Of several requests in a row an oddity is the model's way: none is asked again for it.

    Args:
        who: the endpoint as messages name it.
    """

    def __init__(self, who: str) -> None:
        self.usual: set[str] = set()  # those that turned out to be its way
        self._who = who
        self._odd: Counter[str] = Counter()  # requests that stayed odd, since the last healthy one

    @property
    def gives_fewer(self) -> bool:
        """Whether several replies are never had of one request."""
        return self._odd[FEWER] >= STUBBORN

    def stayed(self, doubt: Doubtful) -> None:
        """A request was answered so in all its tries."""
        self._odd[doubt.kind] += 1
        # For fewer replies the server is asked otherwise.
        if doubt.kind != FEWER and self._odd[doubt.kind] >= STUBBORN:
            self.usual.add(doubt.kind)
            _log.warning("%s: %s, again and again: taken as it is", self._who, doubt)

    def healthy(self, n: int) -> None:
        """A request for `n` replies was answered as it should be."""
        for kind in [kind for kind in self._odd if n > 1 or kind != FEWER]:
            del self._odd[kind]  # one of one says nothing of several
