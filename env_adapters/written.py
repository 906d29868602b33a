"""Clean the texts of third-party worlds, so that they can be stored."""

from __future__ import annotations

LONGEST = 20_000  # characters of an action or an observation


def clean(said: str) -> str:
    """Text that can be written down: not endless, and without halves of surrogate pairs."""
    if len(said) > LONGEST:
        mark = f" … ({len(said):,} characters)"
        said = said[: LONGEST - len(mark)] + mark
    return said.encode(errors="replace").decode()
