"""Seen: a set of strings in a few bytes a key."""

from __future__ import annotations

import random

from agent_r.dataset.dedup import DedupSet


def test_a_key_is_new_once() -> None:
    with DedupSet() as seen:
        assert [seen.add(key) for key in ("a", "b", "a", "", "")] == [
            True,
            True,
            False,
            True,
            False,
        ]
        assert len(seen) == 3


def test_it_agrees_with_a_set_while_it_grows() -> None:
    rng, known = random.Random(0), set()
    with DedupSet() as seen:
        for _ in range(30_000):
            key = f"revision-{rng.randrange(20_000):016x}"
            assert seen.add(key) == (key not in known)
            known.add(key)
        assert len(seen) == len(known)


def test_a_key_that_is_not_valid_unicode_is_a_key_like_others() -> None:
    with DedupSet() as seen:
        assert seen.add("\ud800") and seen.add("\ud801") and not seen.add("\ud800")


def test_closing_forgets_all_keys() -> None:
    seen = DedupSet()
    seen.add("a")
    seen.close()
    assert len(seen) == 0
    assert seen.add("a")


def test_a_key_costs_at_most_sixty_bytes() -> None:
    seen = DedupSet()
    for number in range(100_000):
        seen.add(str(number))
    assert seen._table.itemsize * len(seen._table) < 60 * len(seen)
