"""Placeholders in place of what must not be published, and texts that are the same but for them."""

from __future__ import annotations

import re

from agent_r.algorithm.replay import normalised

_PLACEHOLDER = re.compile(r"\[redacted: [a-z0-9-]+\]")


def placeholder(rule: str) -> str:
    """What stands where something of that kind was."""
    return f"[redacted: {rule}]"


def same_text(observed: str, kept: str) -> bool:
    """Whether a world's answer is the row's; a placeholder there stands for anything.

    >>> same_text("Mail eve@example.org, or wait.", "Mail [redacted: email-address], or wait.")
    True
    """
    if not _PLACEHOLDER.search(kept):
        return normalised(observed) == normalised(kept)
    seen, left = normalised(observed).splitlines(), []
    for line in normalised(kept).splitlines():
        if line in seen:
            seen.remove(line)
        else:
            left.append(line)
    for line in left:
        pattern = ".+?".join(re.escape(part) for part in _PLACEHOLDER.split(line))
        match = next((one for one in seen if re.fullmatch(pattern, one)), None)
        if match is None:
            return False
        seen.remove(match)
    return not seen
