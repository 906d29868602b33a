"""Read a world's texts: pick actions, compare answers, show values on one line."""

from __future__ import annotations

import random
import re

from agent_r.algorithm.replay import normalised

GARBAGE = ("xyzzy", "look", "Action: look", "take take take", "go nowhere 17", "?", "1")
_FIRST = 120  # characters of a text that a finding shows
_OFFER = re.compile(r"(?i)action: *(.+)")
_PIECE = re.compile(r"'([^'\n]{1,60})'|\"([^\"\n]{1,60})\"|`([^`\n]{1,60})`|\[([^]\n]{1,60})\]")


def picked(rng: random.Random, instruction: str, seen: str) -> str:
    """An action as a beginner would find it in the texts; now and then garbage."""
    sources = [found for found in (offered(instruction, ""), offered("", seen)) if found]
    if not sources or rng.random() < 0.1:
        return rng.choice(GARBAGE)
    return rng.choice(rng.choice(sources))


def offered(instruction: str, seen: str) -> list[str]:
    """What looks like an action: after `Action:` in the instruction, and what is seen.

    >>> offered("Answer with\\nAction: east | west", "A door.\\nYou could 'knock'.")
    ['east', 'west', 'A door.', "You could 'knock'.", 'knock']
    """
    listed = [part for text in _OFFER.findall(instruction) for part in text.split("|")]
    lines = seen.splitlines()[:40]
    quoted = ["".join(groups) for groups in _PIECE.findall(seen[:10_000])]
    commas = [part for line in lines for part in line.rpartition(":")[2].split(",") if "," in line]
    found = [part.strip() for part in (*listed, *lines, *quoted, *commas)]
    return list(dict.fromkeys(part for part in found if 0 < len(part) <= 80))


def over(result: object) -> bool:
    """Whether an answer is an episode's last; what is no StepResult is not."""
    return bool(getattr(result, "terminated", False) or getattr(result, "truncated", False))


def same(text: object) -> str:
    """What of a text must be the same the next time."""
    return normalised(text) if isinstance(text, str) else repr(text)


def answer(result: object, *, text: bool) -> tuple[str, ...]:
    """What of an answer must be the same the next time: all, or all but its text."""
    others = [repr(getattr(result, name, None)) for name in ("reward", "terminated", "truncated")]
    return (same(getattr(result, "observation", result)) if text else "", *others)


def shown(result: object) -> str:
    """An answer in a line."""
    end = " and the end" if over(result) else ""
    reward = getattr(result, "reward", None)
    return f"{brief(getattr(result, 'observation', result))} (reward {reward!r}{end})"


def brief(value: object) -> str:
    """A value in a line of bounded length, whatever is in it.

    >>> brief("x" * 300)[-20:]
    "x'… (300 characters)"
    """
    if isinstance(value, str) and len(value) > _FIRST:
        return f"{value[:_FIRST]!r}… ({len(value)} characters)"
    return repr(value)[: 2 * _FIRST]
