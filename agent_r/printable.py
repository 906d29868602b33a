"""Make any text safe to show: one line, without terminal control codes."""

from __future__ import annotations

import re


def printable_line(text: str, *, mark: str = " ") -> str:
    """A text on one line; `mark` stands for what cannot be printed and is no white space.

    >>> printable_line("  open\\n door\\ud800 "), printable_line("two\\nlines\\x1b", mark="?")
    ('open door', 'two lines?')
    """
    shown = (c if c.isprintable() or c.isspace() else mark for c in text)
    return " ".join("".join(shown).split())


def public_line(text: str) -> str:
    """One line without user, password or query of a URL.

    >>> public_line("no s3://me:secret@host/bucket?key=1 here")
    'no s3://host/bucket here'
    """
    return printable_line(re.sub(r"\?\S*", "", re.sub(r"//[^/@\s]*@", "//", text)))
