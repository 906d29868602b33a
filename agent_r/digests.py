"""Compute digests of content: equal content, equal digest, in any process."""

from __future__ import annotations

import hashlib


def sha256_of(content: str | bytes, digits: int = 64) -> str:
    """The first hexadecimal digits of a SHA-256; text counts as UTF-8.

    >>> sha256_of("ash boards", 12)
    '4091966e2684'
    """
    data = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()[:digits]
