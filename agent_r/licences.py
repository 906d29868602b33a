"""Which licences of a world let its rows be published, and what the Hub calls them."""

from __future__ import annotations

# SPDX name, in lower letters → the Hub's identifier
# (https://huggingface.co/docs/hub/repositories-licenses).
_OPEN = {
    "apache-2.0": "apache-2.0",
    "mit": "mit",
    "bsd-2-clause": "bsd-2-clause",
    "bsd-3-clause": "bsd-3-clause",
    "cc0-1.0": "cc0-1.0",
    "cc-by-4.0": "cc-by-4.0",
    "cc-by-sa-3.0": "cc-by-sa-3.0",
    "cc-by-sa-4.0": "cc-by-sa-4.0",
    "gpl-3.0-only": "gpl-3.0",
    "unlicense": "unlicense",
}


def hub_id(licence: str) -> str | None:
    """The Hub's name of an open licence; None where rows must not be published without more ado.

    >>> hub_id("Apache-2.0")
    'apache-2.0'
    >>> hub_id("MIT; recipe data (c) Mojang, not redistributed") is None
    True
    """
    return _OPEN.get(licence.strip().lower())
