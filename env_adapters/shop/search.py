"""BM25 over a catalogue's texts; the same query finds the same products in the same order.

Scores are rounded before they are compared, so that the last bits of a machine's logarithm decide
nothing, and those that are then equal stand in the order of the products' ids.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

import bm25s
import numpy as np
from tqdm import tqdm

from env_adapters.shop.catalogue import Product

TOP = 50  # products that a search finds at most, as WebShop's

_WORD = re.compile(r"[a-z0-9.]+")
_KEPT = 4096  # searches remembered: paging and replaying repeat them

# It logs every build at a level of its own, past what the root logger lets through.
logging.getLogger("bm25s").setLevel(logging.WARNING)


def words(text: str) -> list[str]:
    """Lower case, without the plural's s: `Shoes` finds `shoe`.

    >>> words("Non-slip shoes, size 7.5.")
    ['non', 'slip', 'shoe', 'size', '7.5']
    """
    found = (word.strip(".") for word in _WORD.findall(text.lower()))
    return [_singular(word) for word in found if word]


def _singular(word: str) -> str:
    plural = len(word) > 3 and word.endswith("s") and not word.endswith("ss")
    return word[:-1] if plural else word


def searchable(product: Product) -> str:
    """What is indexed: all texts and option values, the title twice, for it says most."""
    values = [value for _, values in product.options for value in values]
    texts = (product.title, product.title, *product.category, *product.features)
    return " ".join((*texts, product.description, *values))


@contextlib.contextmanager
def _no_monitor() -> Iterator[None]:
    """The library's silent progress bars would start a thread that never ends."""
    before, tqdm.monitor_interval = tqdm.monitor_interval, 0
    try:
        yield
    finally:
        tqdm.monitor_interval = before


class Search:
    """An index of products, which come in the order of their ids."""

    def __init__(self, products: Sequence[Product]) -> None:
        texts = [words(searchable(product)) for product in products]
        # Numbered in the order of the alphabet: left to itself the library takes a set's order.
        self._ids = {word: n for n, word in enumerate(sorted({w for text in texts for w in text}))}
        self._names = [product.id for product in products]
        self._index = bm25s.BM25(dtype="float64")
        numbers = [[self._ids[word] for word in text] for text in texts]
        with _no_monitor():
            self._index.index((numbers, self._ids), show_progress=False)
        self.found = lru_cache(maxsize=_KEPT)(self._found)

    def _found(self, query: str) -> tuple[str, ...]:
        """Ids of what shares a word with the query, best first."""
        known = [self._ids[w] for w in words(query) if w in self._ids]
        if not known:
            return ()
        scores = np.round(self._index.get_scores_from_ids(known), 6)
        best = np.argsort(-scores, kind="stable")[:TOP]  # stable: equals stay in order of ids
        return tuple(self._names[place] for place in best if scores[place] > 0)
