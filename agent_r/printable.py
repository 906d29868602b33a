"""What others said, as it can be shown anywhere: one line, nothing that steers a terminal."""

from __future__ import annotations

import re


def one_line(text: str, *, mark: str = " ") -> str:
    """A text on one line; `mark` stands for what cannot be printed and is no white space.

    >>> one_line("  open\\n door\\ud800 "), one_line("two\\nlines\\x1b and \\ud800", mark="?")
    ('open door', 'two lines? and ?')
    """
    shown = (c if c.isprintable() or c.isspace() else mark for c in text)
    return " ".join("".join(shown).split())


def public_line(text: str) -> str:
    """One line without user, password or query of a URL.

    >>> public_line("no s3://me:secret@host/bucket?key=1 here")
    'no s3://host/bucket here'
    """
    return one_line(re.sub(r"\?\S*", "", re.sub(r"//[^/@\s]*@", "//", text)))
