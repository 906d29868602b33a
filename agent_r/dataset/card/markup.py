"""Escape data inside a card: names and model text never act as markup.

A card is read in a browser by people who did not make the data. So no value may open a tag, a
link, a table cell, a fence or the front matter, and no invisible character may hide what it says.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

_SHORT = 120  # characters of a name in a sentence or a cell
_LONG = 400  # characters of a model's text in a cell
_PLAIN = re.compile(r"[A-Za-z0-9 _.,:/+=-]+")  # what a code span can hold as it is
# What needs no escape, in a link or outside of it.
_ADDRESS = re.compile(r"https://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:\d+)?(/[A-Za-z0-9./-]*)?")
_TEXT = 2000  # characters of a setting
# ASCII marks, but not the commas, hyphens, full stops and points of ordinary prose
_SPECIAL = re.compile(
    r"[!-+/:-@\[-`{-~]|^-|-(?=[- ])|(?<!\d)\.(?=\w)|\.(?=[^\W\d])|(?<=^\d)\.(?!\d)"
)


def clean(text: Any, limit: int) -> str:
    """At most `limit` characters; what cannot be seen is spelt out, line ends are one newline.

    >>> clean("a\\u202eb\\r\\nc", 80)
    'a\\\\u202eb\\nc'
    """
    begin = str(text)[: 4 * limit + 4]  # enough, and a megabyte costs nothing
    for end in ("\r\n", "\r", "\v", "\f", "\u0085", "\u2028", "\u2029"):
        begin = begin.replace(end, "\n")
    seen = "".join(_spell(c) if _hidden(c) else c for c in begin)
    return seen if len(seen) <= limit else seen[: limit - 1].rstrip() + "…"


def _hidden(character: str) -> bool:
    """Controls, formats (zero-width, right-to-left), surrogates; newline is none of them here."""
    return character != "\n" and unicodedata.category(character) in ("Cc", "Cf", "Cs")


def _spell(character: str) -> str:
    return " " if character == "\t" else f"\\u{ord(character):04x}"


def line(value: Any, limit: int = _SHORT) -> str:
    """One line of plain text, for what has a quoting of its own: a string in code, a font.

    >>> line("a\\n  b")
    'a b'
    """
    return " ".join(clean(value, limit).split())


def inline(value: Any, limit: int = _SHORT) -> str:
    """One line of a sentence or a cell, with every mark that could mean something as an entity.

    >>> inline("[a](http://evil) | `x`")
    '&#91;a&#93;&#40;http&#58;&#47;&#47;evil&#41; &#124; &#96;x&#96;'
    """
    safe = _SPECIAL.sub(lambda mark: f"&#{ord(mark[0])};", line(value, limit))
    # GitHub makes links of mail addresses after it has read the entities: part them.
    return safe.replace("&#64;", "<span>&#64;</span>")


def lines(value: Any, limit: int = _LONG) -> str:
    """Several lines in one table cell."""
    kept = [one for one in clean(value, limit).split("\n") if one.strip()]
    return "<br>".join(inline(one, limit) for one in kept)


def code(value: Any) -> str:
    """A name in code letters; one with unusual characters is shown escaped instead.

    >>> code("textcraft"), code("a`b")
    ('`textcraft`', 'a&#96;b')
    """
    name = line(value)
    return f"`{name}`" if _PLAIN.fullmatch(name) else inline(name)


def link(address: Any) -> str:
    """An address that can be followed where it is a plain one; any other is text.

    >>> link("https://example.org/a"), link("javascript:x")
    ('[example.org/a](https://example.org/a)', 'javascript&#58;x')
    """
    plain = line(address, _LONG).removeprefix("git+")
    return f"[{plain[8:]}]({plain})" if _ADDRESS.fullmatch(plain) else inline(address, _LONG)


def fence(text: str, language: str = "") -> str:
    """A block of code whose fence is longer than any run of backticks in it.

    >>> fence("``` x").splitlines()[0]
    '````'
    """
    runs = [len(run) for run in re.findall(r"`+", text)]
    marks = "`" * max(3, max(runs, default=0) + 1)
    return f"{marks}{language}\n{text}\n{marks}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are markup already; a head that ends with `:` is right-aligned."""
    rule = ["---:" if head.endswith(":") else "---" for head in heads]
    body = [[head.removesuffix(":") for head in heads], rule, *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in body)


def details(summary: str, *parts: str) -> str:
    """A part that opens at a click; the empty lines let markdown go on inside."""
    return "\n\n".join((f"<details>\n<summary>{summary}</summary>", *parts, "</details>"))


def number(value: Any) -> str:
    """A count as people read it.

    >>> number(1234567), number(0.25), number("many")
    ('1,234,567', '0.25', 'many')
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return inline(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def megabytes(size: int) -> str:
    """A file's size; nothing where it is not known.

    >>> megabytes(1_234_567), megabytes(20_000), megabytes(0)
    ('1.2 MB', '20 kB', '')
    """
    if size >= 1_000_000:
        return f"{size / 1e6:,.1f} MB"
    return f"{max(1, round(size / 1e3))} kB" if size else ""


def toml(values: dict[str, Any]) -> str:
    """Settings as TOML: plain values first, then a table per group; None is left out.

    >>> print(toml({"seed": 1, "env": {"kind": "textcraft"}}))
    seed = 1
    <BLANKLINE>
    [env]
    kind = "textcraft"
    """
    return "\n".join(_toml_lines(values, ())).strip()


def _toml_lines(values: dict[str, Any], path: tuple[str, ...]) -> list[str]:
    plain = {k: v for k, v in values.items() if not isinstance(v, dict) and v is not None}
    found = [f"{_toml_key(k)} = {_toml_value(v)}" for k, v in plain.items()]
    if path and (found or not values):
        found = ["", f"[{'.'.join(map(_toml_key, path))}]", *found]
    for key, below in values.items():
        if isinstance(below, dict):
            found += _toml_lines(below, (*path, key))
    return found


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]{1,80}", str(key)) else _toml_value(str(key))


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml_value(v) for v in value)}]"
    if isinstance(value, dict):  # in a list: a table of one line
        inner = (f"{_toml_key(k)} = {_toml_value(v)}" for k, v in value.items() if v is not None)
        return f"{{ {', '.join(inner)} }}"
    text = str(value) if len(str(value)) <= _TEXT else f"{str(value)[:_TEXT]}…"
    return f'"{"".join(_toml_character(c) for c in text)}"'


def _toml_character(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character == "\ufffe" or unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp"):
        return f"\\U{ord(character):08x}"
    return "\ufffd" if unicodedata.category(character) == "Cs" else character
