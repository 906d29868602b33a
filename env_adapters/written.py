"""Clean the texts of third-party worlds, so that they can be stored."""

from __future__ import annotations

LONGEST = 20_000  # characters of an action or an observation


def clean(text: str) -> str:
    """Text that can be written down: not endless, and without halves of surrogate pairs."""
    if len(text) > LONGEST:
        mark = f" … ({len(text):,} characters)"
        text = text[: LONGEST - len(mark)] + mark
    return text.encode(errors="replace").decode()
